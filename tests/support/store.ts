import type { Backend } from "../../src/backend/backend.ts";
import { MemoryBackend } from "../../src/backend/memory.ts";
import { StateKind } from "../../src/backend/state_change.ts";
import { ByteMap } from "../../src/base/byte_map.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { Alarms } from "../../src/mvcc/alarms.ts";
import { type LeaseBook, leaseOfStateKey } from "../../src/mvcc/lease_book.ts";
import {
  DEFAULT_STORE_OPTIONS,
  Store,
  type StoreOptions,
} from "../../src/mvcc/store.ts";
import { FakeClock } from "./fake_clock.ts";

/** Leases without time: which there are, and which keys they hold. */
export class FakeLeases implements LeaseBook {
  readonly #keys = new Map<bigint, ByteMap<true>>();

  apply(key: Uint8Array, value: Uint8Array | undefined): void {
    const id = leaseOfStateKey(key);
    if (value === undefined) this.#keys.delete(id);
    else if (!this.#keys.has(id)) this.#keys.set(id, new ByteMap());
  }

  has(id: bigint): boolean {
    return this.#keys.has(id);
  }

  attach(id: bigint, key: Uint8Array): void {
    this.#keys.get(id)?.set(key, true);
  }

  detach(id: bigint, key: Uint8Array): void {
    this.#keys.get(id)?.delete(key);
  }

  keysOf(id: bigint): readonly Uint8Array[] {
    const keys: Uint8Array[] = [];
    this.#keys.get(id)?.forEach((_, key) => keys.push(key));
    return keys;
  }
}

/** A loaded store over a backend, an empty one in memory by default. */
export async function openTestStore(
  backend: Backend = new MemoryBackend(),
  options: Partial<StoreOptions> = {},
): Promise<{ store: Store; leases: FakeLeases; clock: FakeClock }> {
  const leases = new FakeLeases();
  const clock = new FakeClock();
  const store = new Store(backend, leases, clock, {
    ...DEFAULT_STORE_OPTIONS,
    ...options,
  });
  store.addTable(StateKind.Lease, leases);
  store.addTable(StateKind.Alarm, new Alarms());
  store.addTable(StateKind.Auth, { apply: () => {} });
  await backend.open();
  await store.load();
  return { store, leases, clock };
}

/** Removes all rows that compaction has made unreachable. */
export async function reap(store: Store): Promise<number> {
  let removed = 0;
  for (;;) {
    const rows = store.nextGarbage(100);
    if (rows.length === 0) return removed;
    removed += rows.length;
    await store.backend.remove(rows);
  }
}

/** A key like those of Kubernetes. */
export function keyOf(n: number): Uint8Array {
  return utf8(`/registry/pods/${String(n).padStart(4, "0")}`);
}

/** The guard of a write that anybody may make. */
export const ANYBODY = (): void => {};
