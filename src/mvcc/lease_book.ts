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
