import { ask, startWorker } from "./load_worker.ts";

/** What the probe saw; latencies in milliseconds, in no order. */
export interface ProbeReport {
  readonly latencies: { readonly put: number[]; readonly get: number[] };
  /** CPU time, in milliseconds, that the server used while each call was under way; empty without its pid. */
  readonly serverCpuMs: number[];
  readonly failures: string[];
}

/**
 * A client in a thread of its own that puts and gets at a fixed rate, while others do what they want: what it
 * measures is the server, and not how busy the load's own thread is.
 */
export class Probe {
  private constructor(readonly worker: Worker) {}

  /** With the server's `pid`, its CPU time is looked at, too. Linux only. */
  static async start(port: number, pid?: number): Promise<Probe> {
    const worker = startWorker(new URL("./probe_worker.ts", import.meta.url));
    await ask(worker, { port, pid });
    return new Probe(worker);
  }

  /** Waits for the calls that are under way. */
  async stop(): Promise<ProbeReport> {
    const report = await ask(this.worker, {});
    this.worker.terminate();
    return report as ProbeReport;
  }
}

/** The value that this share (0 to 1) of all does not exceed; 0 if there is none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = Math.min(sorted.length - 1, Math.floor(share * sorted.length));
  return sorted[at] ?? 0;
}
