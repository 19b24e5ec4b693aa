import type { StateKind } from "../backend/state_change.ts";

/** What leases need of one write in the making. */
export interface LeaseTx {
  /** Writes a tombstone at this write's revision; false if the key does not exist. */
  deleteKey(key: Uint8Array): boolean;
  putState(
    kind: StateKind,
    key: Uint8Array,
    value: Uint8Array | undefined,
  ): void;
  /** What the batch makes of a state key: value, undefined if removed, null if the batch leaves it alone. */
  pendingState(kind: StateKind, key: Uint8Array): Uint8Array | undefined | null;
  /** Whether the lease exists, this batch included. */
  hasLease(id: bigint): boolean;
  /** The keys of a lease, those of this batch included, sorted. */
  keysOfLease(id: bigint): Uint8Array[];
}

/** What leases need of the store. */
export interface LeaseStore {
  readonly currentRevision: number;
  /**
   * Queues a write. Resolves when it is durable and applied; rejects with what `evaluate` threw, or
   * because the batch is not durable, or because too much waits. `evaluate` has no effects but on `tx`: it may be
   * called again. `isOwn`: is never refused because too much waits, so there may be few of them at a time.
   */
  write<T>(
    evaluate: (tx: LeaseTx) => T,
    options?: { readonly isOwn: boolean },
  ): Promise<{ readonly result: T; readonly revision: number }>;
}
