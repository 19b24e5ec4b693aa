import { ask, startWorker } from "./load_worker.ts";

export interface ListReport {
  lists: number;
  bytes: number;
  readonly failures: string[];
}

/** A client in a thread of its own that lists everything, again and again, as fast as it comes. */
export class Lister {
  private constructor(readonly worker: Worker) {}

  static async start(port: number): Promise<Lister> {
    const worker = startWorker(new URL("./lister_worker.ts", import.meta.url));
    await ask(worker, { port });
    return new Lister(worker);
  }

  /** Lets the list that is under way end. */
  async stop(): Promise<ListReport> {
    const report = await ask(this.worker, {});
    this.worker.terminate();
    return report as ListReport;
  }
}
