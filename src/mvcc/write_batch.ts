import { ROW_HEADER_BYTES, writeRowHeader } from "../backend/row_block.ts";
import type { StateChange, StateKind } from "../backend/state_change.ts";
import { StateKind as Kind } from "../backend/state_change.ts";
import { assert } from "../base/assert.ts";
import { compareBytes } from "../base/bytes.ts";
import {
  sizeKeyValueRecord,
  sizeTombstoneRecord,
  writeKeyValueRecord,
  writeTombstoneRecord,
} from "../pb/key_value.ts";
import { Change } from "./change.ts";
import type { KeyEntry } from "./key_entry.ts";
import type { KeyIndex } from "./key_index.ts";
import { type LeaseBook, leaseStateKey } from "./lease_book.ts";
import type { ReadView } from "./range_reader.ts";
import type { FetchedRecords, Records } from "./records.ts";

/** What a write may do while it is evaluated. Everything it does is kept, or, if it throws, nothing. */
export interface WriteTx {
  /** The revision before this write. */
  readonly baseRevision: number;
  /** Writes a key at this write's revision. */
  putKey(key: Uint8Array, value: Uint8Array, lease: bigint): void;
  /** Writes a tombstone; false if the key does not exist. */
  deleteKey(key: Uint8Array): boolean;
  /** Changes replicated state; applied to its table when the batch is durable. */
  putState(
    kind: StateKind,
    key: Uint8Array,
    value: Uint8Array | undefined,
  ): void;
  /** What this batch will make of a state key: its value, undefined if it is removed, null if the batch leaves it alone. */
  pendingState(kind: StateKind, key: Uint8Array): Uint8Array | undefined | null;
  /** The keys of a kind that this batch has changed, each once. */
  pendingStateKeys(kind: StateKind): Iterable<Uint8Array>;
  /** Has the batch made durable although nothing may have changed: to learn whether the database takes writes. */
  touch(): void;
  /** The keys attached to a lease, those of this batch included, sorted. */
  keysOfLease(id: bigint): Uint8Array[];
  /** Whether the lease exists, this batch included. */
  hasLease(id: bigint): boolean;
}

/** A state change and how many key changes came before it: the order in which they are applied. */
interface PlacedState extends StateChange {
  readonly after: number;
}

/**
 * The batch under evaluation: writes that nobody but later writes of the same batch can see.
 *
 * Writes are evaluated one after another between `begin()` and `end()`; one that throws is taken back
 * with `rollback()` and leaves no trace. A write that changed keys takes one revision, its changes
 * the sub-revisions 0, 1, 2… in order.
 *
 * A batch may be evaluated on top of another one, `below`, which is being made durable: what that will do counts as
 * done, until it is applied or fails, and then this one fails with it.
 *
 * Invariant: `entry.pending` is the newest change of that key in the batches that are not applied, and undefined
 * if there is none.
 */
export class WriteBatch implements WriteTx {
  readonly changes: Change[] = [];
  readonly state: PlacedState[] = [];
  /** The revision after the writes that have ended so far. */
  revision: number;
  fetched: FetchedRecords | undefined = undefined;
  /** The place in `state` of each key's newest change, and the place that it took over from. */
  readonly #stateByKey = new Map<string, number>();
  readonly #replaced: (number | undefined)[] = [];
  #isTouched = false;
  #markChanges = 0;
  #markState = 0;

  constructor(
    readonly firstRev: number,
    readonly index: KeyIndex,
    readonly records: Records,
    readonly leases: LeaseBook,
    /** Undefined once it is applied. */
    public below: WriteBatch | undefined = undefined,
  ) {
    this.revision = firstRev - 1;
  }

  get isEmpty(): boolean {
    return this.changes.length === 0 && this.state.length === 0 &&
      !this.#isTouched;
  }

  touch(): void {
    this.#isTouched = true;
  }

  get baseRevision(): number {
    return this.revision;
  }

  /** Whether the write under evaluation has changed a key. */
  get hasChanged(): boolean {
    return this.changes.length > this.#markChanges;
  }

  /** The revision that reads inside the write see: its own once it has changed something. */
  get writeRevision(): number {
    return this.hasChanged ? this.revision + 1 : this.revision;
  }

  /** The state before the write under evaluation began. */
  viewBefore(): ReadView {
    return {
      revision: this.revision,
      seesPending: true,
      fetched: this.fetched,
    };
  }

  /** The state with what the write under evaluation has done so far. */
  viewNow(): ReadView {
    return {
      revision: this.writeRevision,
      seesPending: true,
      fetched: this.fetched,
    };
  }

  begin(): void {
    this.#markChanges = this.changes.length;
    this.#markState = this.state.length;
  }

  end(): void {
    if (this.hasChanged) this.revision++;
  }

  /** Takes back what the write under evaluation did. */
  rollback(): void {
    this.#truncate(this.#markChanges);
    this.#truncateState(this.#markState);
  }

  /** Takes back everything: the batch did not become durable. */
  abort(): void {
    this.#truncate(0);
    this.#truncateState(0);
  }

  putKey(key: Uint8Array, value: Uint8Array, lease: bigint): void {
    const entry = this.index.getOrCreate(key);
    const rev = this.revision + 1;
    const prior = entry.pending;
    const live = prior === undefined ? entry.version > 0 : !prior.deleted;
    const version = live ? (prior ?? entry).version + 1 : 1;
    const createRev = live ? (prior ?? entry).createRev : rev;
    const values = this.records.values;
    const size = sizeKeyValueRecord(
      key,
      createRev,
      rev,
      version,
      value,
      lease,
    );
    const address = values.reserve(size);
    writeKeyValueRecord(
      values.reserveBuffer,
      values.reserveOffset,
      key,
      createRev,
      rev,
      version,
      value,
      lease,
    );
    this.#push(entry, createRev, version, lease, address, size);
  }

  deleteKey(key: Uint8Array): boolean {
    const entry = this.index.get(key);
    if (entry === undefined) return false;
    const prior = entry.pending;
    const live = prior === undefined ? entry.version > 0 : !prior.deleted;
    if (!live) return false;
    const rev = this.revision + 1;
    const values = this.records.values;
    const size = sizeTombstoneRecord(key, rev);
    const address = values.reserve(size);
    writeTombstoneRecord(
      values.reserveBuffer,
      values.reserveOffset,
      key,
      rev,
    );
    this.#push(entry, 0, 0, 0n, address, size);
    return true;
  }

  putState(
    kind: StateKind,
    key: Uint8Array,
    value: Uint8Array | undefined,
  ): void {
    const name = stateName(kind, key);
    this.#replaced.push(this.#stateByKey.get(name));
    this.#stateByKey.set(name, this.state.length);
    this.state.push({ kind, key, value, after: this.changes.length });
  }

  pendingState(
    kind: StateKind,
    key: Uint8Array,
  ): Uint8Array | undefined | null {
    if (this.state.length === 0 && this.below === undefined) return null;
    return this.#pendingNamed(stateName(kind, key));
  }

  *pendingStateKeys(kind: StateKind): Iterable<Uint8Array> {
    if (this.below !== undefined) {
      for (const key of this.below.pendingStateKeys(kind)) {
        if (!this.#stateByKey.has(stateName(kind, key))) yield key;
      }
    }
    for (const at of [...this.#stateByKey.values()]) {
      const change = this.state[at]!;
      if (change.kind === kind) yield change.key;
    }
  }

  hasLease(id: bigint): boolean {
    if (this.state.length > 0 || this.below !== undefined) {
      const pending = this.pendingState(Kind.Lease, leaseStateKey(id));
      if (pending !== null) return pending !== undefined;
    }
    return this.leases.has(id);
  }

  keysOfLease(id: bigint): Uint8Array[] {
    const keys = this.leases.keysOf(id).filter((key) => {
      const pending = this.index.get(key)?.pending;
      return pending === undefined ||
        (!pending.deleted && pending.lease === id);
    });
    const seen = new Set<KeyEntry>(keys.map((key) => this.index.get(key)!));
    for (const changes of [this.below?.changes ?? [], this.changes]) {
      for (const change of changes) {
        if (
          change.entry.pending !== change || change.lease !== id ||
          change.deleted
        ) continue;
        if (!seen.has(change.entry)) keys.push(change.key);
      }
    }
    return keys.sort(compareBytes);
  }

  /** The row block of all changes. */
  encodeRows(): Uint8Array<ArrayBuffer> {
    const changes = this.changes;
    let size = 0;
    for (let i = 0; i < changes.length; i++) {
      size += ROW_HEADER_BYTES + changes[i]!.recordBytes;
    }
    const out = new Uint8Array(size);
    let at = 0;
    for (let i = 0; i < changes.length; i++) {
      const change = changes[i]!;
      at = writeRowHeader(out, at, change);
      out.set(this.#recordOf(change), at);
      at += change.recordBytes;
    }
    return out;
  }

  #pendingNamed(name: string): Uint8Array | undefined | null {
    const at = this.#stateByKey.get(name);
    if (at !== undefined) return this.state[at]!.value;
    return this.below === undefined ? null : this.below.#pendingNamed(name);
  }

  #recordOf(change: Change): Uint8Array {
    const record = change.locate();
    assert(record !== undefined, "a pending record is in memory");
    return record;
  }

  #push(
    entry: KeyEntry,
    createRev: number,
    version: number,
    lease: bigint,
    address: number,
    size: number,
  ): void {
    const rev = this.revision + 1;
    const sub = this.changes.length - this.#markChanges;
    const change = new Change(
      this.records.values,
      entry,
      rev,
      sub,
      createRev,
      version,
      lease,
      address,
      size,
      entry.pending,
    );
    entry.pending = change;
    this.changes.push(change);
  }

  #truncateState(length: number): void {
    for (let i = this.state.length - 1; i >= length; i--) {
      const { kind, key } = this.state[i]!;
      const name = stateName(kind, key);
      const replaced = this.#replaced[i];
      if (replaced === undefined) this.#stateByKey.delete(name);
      else this.#stateByKey.set(name, replaced);
    }
    this.state.length = length;
    this.#replaced.length = length;
  }

  #truncate(length: number): void {
    for (let i = this.changes.length - 1; i >= length; i--) {
      const { entry, prior, address, recordBytes } = this.changes[i]!;
      entry.pending = prior?.isApplied ? undefined : prior;
      this.records.values.release(address, recordBytes);
      if (prior === undefined && entry.rev === 0) this.index.remove(entry);
    }
    this.changes.length = length;
  }
}

function stateName(kind: StateKind, key: Uint8Array): string {
  return `${kind}/${String.fromCharCode(...key)}`;
}
