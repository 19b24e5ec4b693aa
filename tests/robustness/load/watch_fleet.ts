import { decodeEvent } from "../../../src/pb/mvccpb.ts";
import {
  decodeWatchResponse,
  encodeWatchRequest,
  newWatchCreateRequest,
  newWatchRequest,
} from "../../../src/pb/etcdserverpb.ts";
import {
  etcdPath,
  type GrpcConnection,
  type GrpcStream,
} from "./grpc_connection.ts";
import type { KeyLedger } from "./key_ledger.ts";

/** What one watcher has seen. */
interface Watcher {
  readonly slice: number;
  events: number;
  revisionSum: number;
  lastRevision: number;
}

/** Watchers that count what they get, and compare it with what was acknowledged. */
export class WatchFleet {
  /** What was wrong on the way: events out of order, streams that ended. */
  readonly violations: string[] = [];
  readonly #watchers: Watcher[] = [];
  readonly #streams: GrpcStream[] = [];
  #created = 0;
  #waiting: { count: number; resolve: () => void } | undefined;
  events = 0;

  constructor(readonly ledger: KeyLedger) {}

  get size(): number {
    return this.#watchers.length;
  }

  /** One stream with a watcher for each slice; resolves once the server has made them. */
  async open(
    connection: GrpcConnection,
    slices: readonly number[],
    keyOf: (key: number) => Uint8Array,
  ): Promise<void> {
    const first = this.#watchers.length;
    const stream = connection.duplex(
      etcdPath("Watch/Watch"),
      (message) => this.#receive(first, message),
      (failure) =>
        this.#violate(`a watch stream ended: ${failure?.message ?? "OK"}`),
    );
    this.#streams.push(stream);
    for (const slice of slices) {
      this.#watchers.push({
        slice,
        events: 0,
        revisionSum: 0,
        lastRevision: 0,
      });
    }
    const created = new Promise<void>((resolve) => {
      this.#waiting = { count: this.#created + slices.length, resolve };
    });
    slices.forEach((slice, at) =>
      stream.send(encodeWatchRequest(newWatchRequest({
        createRequest: newWatchCreateRequest({
          key: keyOf(this.ledger.firstKey(slice)),
          rangeEnd: keyOf(this.ledger.firstKey(slice + 1)),
          watchId: BigInt(at + 1),
        }),
      })))
    );
    await created;
  }

  /** Waits until every watcher has all it should have, or nothing has come for `patienceMs`. */
  async settle(patienceMs: number): Promise<void> {
    let seen = -1;
    while (!this.#isComplete() && seen !== this.events) {
      seen = this.events;
      const until = performance.now() + patienceMs;
      while (performance.now() < until && !this.#isComplete()) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  /** One line for each watcher that did not get exactly what was acknowledged. */
  check(): string[] {
    const { puts, revisionSums } = this.ledger;
    const wrong = [...this.violations];
    for (const { slice, events, revisionSum } of this.#watchers) {
      if (events === puts[slice] && revisionSum === revisionSums[slice]) {
        continue;
      }
      wrong.push(
        `a watcher of slice ${slice} got ${events} events of ${
          puts[slice]
        }, revisions add up to ${revisionSum}, not ${revisionSums[slice]}`,
      );
    }
    return wrong;
  }

  close(): void {
    for (const stream of this.#streams) stream.cancel();
  }

  #isComplete(): boolean {
    return this.#watchers.every((w) => w.events >= this.ledger.puts[w.slice]!);
  }

  #receive(first: number, message: Uint8Array): void {
    const response = decodeWatchResponse(message);
    if (response.created) {
      this.#created++;
      if (this.#waiting?.count === this.#created) this.#waiting.resolve();
      return;
    }
    if (response.canceled) {
      this.#violate(`a watcher was cancelled: ${response.cancelReason}`);
      return;
    }
    const watcher = this.#watchers[first + Number(response.watchId) - 1]!;
    for (const bytes of response.events) {
      const { modRevision } = decodeEvent(bytes).kv!;
      if (modRevision <= watcher.lastRevision) {
        this.#violate(
          `event ${modRevision} came after ${watcher.lastRevision}`,
        );
      }
      watcher.lastRevision = modRevision;
      watcher.revisionSum += modRevision;
      watcher.events++;
      this.events++;
    }
  }

  #violate(line: string): void {
    if (this.violations.length < 100) this.violations.push(line);
  }
}
