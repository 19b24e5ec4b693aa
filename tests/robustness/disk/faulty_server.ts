import { defaultConfig } from "../../../mod.ts";
import { SqliteBackend } from "../../../src/backend/driver/sqlite/sqlite_backend.ts";
import { SystemClock } from "../../../src/base/clock.ts";
import { type RunningServer, startServer } from "../../../src/server.ts";
import { EtcdClient } from "../../support/etcd_client.ts";
import { eventually } from "../../support/failure.ts";
import { FaultFile } from "../../support/fault_file.ts";
import type { Fault } from "../../support/faulty_disk.ts";
import { CapturingLogger } from "../../support/log.ts";

/** A loaded machine may take so long for what takes a second. */
const PATIENCE_MS = 30_000;

const WORKER = new URL(
  "../../support/faulty_sqlite_worker.ts",
  import.meta.url,
);

export interface FaultyServerOptions {
  /** Upper bound of the database in pages of 4 KiB. Default: none. */
  readonly maxPageCount?: number;
  /** Memory for values. Default: that of a server. */
  readonly valueCacheBytes?: number;
}

/** A server in this process whose SQLite gets the errors that a test asks for, on a directory of its own. */
export class FaultyServer implements AsyncDisposable {
  readonly dir: string;
  log = new CapturingLogger();
  readonly #faults: FaultFile;
  readonly #options: FaultyServerOptions;
  #running: { server: RunningServer; client: EtcdClient } | undefined;

  private constructor(dir: string, options: FaultyServerOptions) {
    this.dir = dir;
    this.#faults = new FaultFile(dir);
    this.#options = options;
  }

  static async start(options: FaultyServerOptions = {}): Promise<FaultyServer> {
    const dir = await Deno.makeTempDir({ prefix: "stele-faulty-" });
    const faulty = new FaultyServer(dir, options);
    await faulty.#start();
    return faulty;
  }

  get client(): EtcdClient {
    return this.#parts.client;
  }

  /** Resolves if the server cannot go on. */
  get failed(): Promise<Error> {
    return this.#parts.server.failed;
  }

  /** From now on, until `heal` or the next `inject`. */
  inject(...faults: readonly Fault[]): void {
    this.#faults.write(faults);
  }

  heal(): void {
    this.inject();
  }

  /** The status and the text of `/livez`, `/readyz` or `/health`. */
  async probe(path: string): Promise<{ status: number; text: string }> {
    const response = await fetch(this.#parts.server.clientUrls[0]! + path);
    return { status: response.status, text: await response.text() };
  }

  async isReady(): Promise<boolean> {
    return (await this.probe("/readyz")).status === 200;
  }

  /** Resolves once the server says that it is ready again. */
  async recovered(): Promise<void> {
    await eventually("ready again", () => this.isReady(), PATIENCE_MS);
  }

  /** Resolves once such a line was logged, with the line as text. */
  async logged(pattern: RegExp): Promise<string> {
    const find = () => this.logLines().find((line) => pattern.test(line));
    await eventually(
      `a line of the log: ${pattern}`,
      () => find() !== undefined,
      PATIENCE_MS,
    );
    return find()!;
  }

  /** Each line of the log as its level, message and fields. */
  logLines(): string[] {
    return this.log.entries.map(({ level, msg, fields }) => {
      const texts = Object.values(fields).map((value) => String(value));
      return [level, msg, ...texts].join("; ");
    });
  }

  /** Stops the server and starts another on the same files. */
  async restart(): Promise<void> {
    await this.#stop();
    await this.#start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.heal();
    await this.#stop();
    await Deno.remove(this.dir, { recursive: true });
  }

  get #parts(): { server: RunningServer; client: EtcdClient } {
    if (this.#running === undefined) throw new Error("the server is stopped");
    return this.#running;
  }

  async #start(): Promise<void> {
    const clock = new SystemClock();
    const { valueCacheBytes, ...sqlite } = this.#options;
    const backend = new SqliteBackend(
      { dir: this.dir, workerUrl: WORKER, ...sqlite },
      clock,
      this.log,
    );
    const config = defaultConfig({
      dataDir: this.dir,
      listenClientUrls: ["http://127.0.0.1:0"],
      advertiseClientUrls: ["http://127.0.0.1:0"],
      ...(valueCacheBytes === undefined ? {} : { valueCacheBytes }),
    });
    const head = backend.open();
    const server = await startServer(config, { backend, head }, {
      log: this.log,
      clock,
    });
    const client = new EtcdClient(new URL(server.clientUrls[0]!).host);
    this.#running = { server, client };
  }

  async #stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    running?.client.close();
    await running?.server.stop();
  }
}
