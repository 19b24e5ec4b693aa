import { StateKind } from "../backend/state_change.ts";
import type { Clock } from "../base/clock.ts";
import { leaseStateKey } from "../mvcc/lease_book.ts";
import {
  decodeLeaseRecord,
  encodeLeaseRecord,
  type LeaseRecord,
} from "./lease_record.ts";
import type { LeaseStore, LeaseTx } from "./lease_store.ts";
import type { LeaseTable } from "./lease_table.ts";

/** Marks that one write carries: a write is evaluated without a pause. */
const SLICE_MARKS = 256;

/**
 * Makes it durable that leases are being renewed: sets `isRenewing` in their records.
 *
 * One write at a time, for all leases that wait by then; when thousands of clients come back after a
 * restart, the store's queue holds one entry of ours. Who asks for a lease that waits already shares its
 * answer, but nobody shares a write that is under way: a checkpoint may be right behind it.
 * Writers that overload the server do not keep others from renewing: the store never refuses ours.
 */
export class RenewalMarks {
  readonly #waiting = new Map<bigint, PromiseWithResolvers<number>>();
  #isWriting = false;

  constructor(
    readonly store: LeaseStore,
    readonly table: LeaseTable,
    readonly clock: Clock,
  ) {}

  /** Resolves with the lease's TTL in seconds when the mark is durable; 0 if there is no such lease then. */
  set(id: bigint): Promise<number> {
    let waiting = this.#waiting.get(id);
    if (waiting === undefined) {
      waiting = Promise.withResolvers();
      this.#waiting.set(id, waiting);
      if (!this.#isWriting) void this.#writeAll();
    }
    return waiting.promise;
  }

  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    await undefined; // the turn's other renewals come along
    while (this.#waiting.size > 0) await this.#writeSlice();
    this.#isWriting = false;
  }

  async #writeSlice(): Promise<void> {
    const slice = [...this.#waiting.entries().take(SLICE_MARKS)];
    for (const [id] of slice) this.#waiting.delete(id);
    try {
      const { result } = await this.store.write(
        (tx) => slice.map(([id]) => this.#mark(tx, id)),
        { isOwn: true },
      );
      for (let i = 0; i < slice.length; i++) slice[i]![1].resolve(result[i]!);
    } catch (error) {
      for (const [, waiting] of slice) waiting.reject(error);
    }
  }

  #mark(tx: LeaseTx, id: bigint): number {
    const key = leaseStateKey(id);
    const record = this.#recordOf(tx, id, key);
    if (record === undefined) return 0;
    const { ttlSeconds } = record;
    if (!record.isRenewing) {
      const deadlineWallMs = this.clock.wallMs() + ttlSeconds * 1000;
      const marked = { ttlSeconds, deadlineWallMs, isRenewing: true };
      tx.putState(StateKind.Lease, key, encodeLeaseRecord(marked));
    }
    return ttlSeconds;
  }

  #recordOf(tx: LeaseTx, id: bigint, key: Uint8Array): LeaseRecord | undefined {
    const pending = tx.pendingState(StateKind.Lease, key);
    if (pending === null) return this.table.get(id)?.record;
    return pending && decodeLeaseRecord(pending);
  }
}
