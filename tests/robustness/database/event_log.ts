import assert from "node:assert/strict";
import { EtcdClient, type WatchClient } from "../../support/etcd_client.ts";

/** What one watch of everything has seen; it is opened once and must never break. */
export class EventLog implements Disposable {
  /** `mod_revision key value`, in the order of their coming. */
  readonly events: string[] = [];
  readonly #client: EtcdClient;
  readonly #watch: WatchClient;
  #revision = 0;

  private constructor(client: EtcdClient, watch: WatchClient) {
    this.#client = client;
    this.#watch = watch;
  }

  static async open(address: string): Promise<EventLog> {
    const client = new EtcdClient(address);
    const watch = client.openWatch();
    await watch.create({
      key: Buffer.from("\0"),
      range_end: Buffer.from("\0"),
      start_revision: 1,
    });
    return new EventLog(client, watch);
  }

  /** Reads until the event of that revision is there. */
  async readThrough(revision: number): Promise<void> {
    while (this.#revision < revision) {
      const { events, canceled } = await this.#watch.next(MAX_WAIT_MS);
      assert(!canceled, "a watch was canceled");
      for (const { kv } of events) {
        const modRevision = Number(kv.mod_revision);
        assert(modRevision > this.#revision, "an event came late, or again");
        this.#revision = modRevision;
        this.events.push(`${modRevision} ${kv.key} ${kv.value}`);
      }
    }
  }

  [Symbol.dispose](): void {
    this.#watch.stream.on("error", () => {}); // of the cancellation
    this.#watch.stream.cancel();
    this.#client.close();
  }
}

const MAX_WAIT_MS = 20_000;
