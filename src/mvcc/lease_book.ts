/** What the store needs to know of leases; `lease/` implements it. */
export interface LeaseBook {
  /** Whether a committed lease with this id exists (expired but not yet revoked counts). */
  has(id: bigint): boolean;
  /** A committed write attached the key to the lease. The array is the index's own and never changes. */
  attach(id: bigint, key: Uint8Array): void;
  /** A committed write took the key from the lease. */
  detach(id: bigint, key: Uint8Array): void;
  /** The keys attached to a lease, sorted; empty if it is unknown. */
  keysOf(id: bigint): readonly Uint8Array[];
}

/** The state key of a lease: its id as 8 bytes, big-endian two's complement. */
export function leaseStateKey(id: bigint): Uint8Array {
  const key = new Uint8Array(8);
  new DataView(key.buffer).setBigInt64(0, id);
  return key;
}

/** The id behind a state key. */
export function leaseOfStateKey(key: Uint8Array): bigint {
  return new DataView(key.buffer, key.byteOffset, key.byteLength).getBigInt64(
    0,
  );
}
