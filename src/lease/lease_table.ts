import type { StateTable } from "../backend/state_change.ts";
import { assert } from "../base/assert.ts";
import { type LeaseBook, leaseOfStateKey } from "../mvcc/lease_book.ts";
import { Lease } from "./lease.ts";
import { decodeLeaseRecord } from "./lease_record.ts";

/** Told of leases as they come and go; `LeaseTable` has changed already. */
export interface LeaseTableListener {
  leaseAdded(lease: Lease): void;
  leaseRemoved(lease: Lease): void;
}

/**
 * The leases and what is attached to them: a function of the log and of nothing else, the same on every
 * replica. It knows neither clock nor timers; an expired lease is here until its revoke is committed.
 */
export class LeaseTable implements LeaseBook, StateTable {
  readonly #byId = new Map<bigint, Lease>();
  readonly #listener: LeaseTableListener;

  constructor(listener: LeaseTableListener) {
    this.#listener = listener;
  }

  get size(): number {
    return this.#byId.size;
  }

  get(id: bigint): Lease | undefined {
    return this.#byId.get(id);
  }

  /** All leases, oldest grant first. */
  values(): IterableIterator<Lease> {
    return this.#byId.values();
  }

  apply(key: Uint8Array, value: Uint8Array | undefined): void {
    const id = leaseOfStateKey(key);
    const known = this.#byId.get(id);
    if (value === undefined) {
      if (known === undefined) return;
      this.#byId.delete(id);
      this.#listener.leaseRemoved(known);
      return;
    }
    const record = decodeLeaseRecord(value);
    if (known !== undefined) {
      known.record = record;
      return;
    }
    const lease = new Lease(id, record);
    this.#byId.set(id, lease);
    this.#listener.leaseAdded(lease);
  }

  has(id: bigint): boolean {
    return this.#byId.has(id);
  }

  attach(id: bigint, key: Uint8Array): void {
    const lease = this.#byId.get(id);
    assert(lease !== undefined, "a key is attached to a lease that exists");
    lease.keys.add(key);
  }

  detach(id: bigint, key: Uint8Array): void {
    this.#byId.get(id)?.keys.delete(key);
  }

  keysOf(id: bigint): readonly Uint8Array[] {
    return this.#byId.get(id)?.keys.sorted() ?? [];
  }
}
