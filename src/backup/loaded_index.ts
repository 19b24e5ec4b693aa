import type { Backend } from "../backend/backend.ts";
import { StateKind } from "../backend/state_change.ts";
import { SystemClock } from "../base/clock.ts";
import type { LeaseBook } from "../mvcc/lease_book.ts";
import { DEFAULT_STORE_OPTIONS, Store } from "../mvcc/store.ts";

/** Memory for values while the index is built: what does not fit is read back, as a server would. */
const VALUE_CACHE_BYTES = 256 << 20;

/** The store of an opened backend, loaded as a server would, apart from leases, users and alarms. For reading only. */
export async function loadedIndex(backend: Backend): Promise<Store> {
  const store = new Store(backend, NO_LEASES, new SystemClock(), {
    ...DEFAULT_STORE_OPTIONS,
    valueCacheBytes: VALUE_CACHE_BYTES,
  });
  for (const kind of [StateKind.Lease, StateKind.Auth, StateKind.Alarm]) {
    store.addTable(kind, { apply: () => {} });
  }
  await store.load();
  return store;
}

/** Leases have no part in what is compared. */
const NO_LEASES: LeaseBook = {
  has: () => true,
  attach: () => {},
  detach: () => {},
  keysOf: () => [],
};
