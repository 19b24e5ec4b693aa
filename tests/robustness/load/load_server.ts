import { cpuMs, residentMib } from "../../../scripts/bench/process.ts";
import { ServerProcess } from "../crash/server_process.ts";
import { GrpcConnection } from "./grpc_connection.ts";

/** How often memory is looked at. */
const SAMPLE_MS = 200;

/** A server in a process of its own, whose memory is watched. Linux only: memory is read from /proc. */
export class LoadServer {
  #peakMib = 0;
  readonly #sampler: ReturnType<typeof setInterval>;

  private constructor(
    readonly process: ServerProcess,
    readonly port: number,
    /** From the start of the process until it serves, milliseconds. */
    readonly readyMs: number,
  ) {
    this.#sampler = setInterval(() => this.#sample(), SAMPLE_MS);
  }

  /** Rejects with the server's log if it does not start. */
  static async start(
    dataDir: string,
    flags: readonly string[] = [],
  ): Promise<LoadServer> {
    const began = performance.now();
    const process = ServerProcess.spawn(dataDir, [
      "--quota-backend-bytes=-1",
      ...flags,
    ]);
    const address = await process.ready;
    const readyMs = performance.now() - began;
    if (address === undefined) {
      throw new Error(`the server did not start: ${process.log}`);
    }
    return new LoadServer(process, Number(address.split(":")[1]), readyMs);
  }

  connect(): Promise<GrpcConnection> {
    return GrpcConnection.open(this.port);
  }

  /** Memory in RAM now. */
  get residentMib(): number {
    return residentMib(this.process.pid);
  }

  /** The most that was seen since the last time. */
  takePeakMib(): number {
    this.#sample();
    const peak = this.#peakMib;
    this.#peakMib = 0;
    return peak;
  }

  get cpuMs(): number {
    return cpuMs(this.process.pid);
  }

  async stop(): Promise<void> {
    clearInterval(this.#sampler);
    const { code, signal } = await this.process.stop();
    if (code !== 0) {
      throw new Error(`the server ended with ${signal ?? code}`);
    }
  }

  #sample(): void {
    try {
      this.#peakMib = Math.max(this.#peakMib, this.residentMib);
    } catch {
      // It has ended: the next call to it says so.
    }
  }
}
