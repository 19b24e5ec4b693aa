/** A write that is not durable yet: nobody sees it but later writes of its batch and of the one behind it. */
export interface PendingWrite {
  readonly entry: KeyEntry;
  readonly rev: number;
  readonly sub: number;
  readonly createRev: number;
  readonly version: number;
  readonly lease: bigint;
  readonly deleted: boolean;
  readonly address: number;
  readonly recordBytes: number;
  /** The write of the same key that came before; it may have been applied meanwhile. */
  readonly prior: PendingWrite | undefined;
  readonly isApplied: boolean;
}

/** A place to put a version; one object serves many look-ups. */
export class VersionRef {
  rev = 0;
  sub = 0;
  address = 0;
  recordBytes = 0;
  deleted = false;
}

/** What a version that compaction removes is handed to. */
export type DropVersion = (
  rev: number,
  sub: number,
  address: number,
  recordBytes: number,
) => void;

/** Numbers that a version takes in `history`: revision, sub-revision, address, bytes (negative: a tombstone). */
const STRIDE = 4;
/** A history that is shorter is made anew with each version: pushing would make it 16 numbers too long. */
const EXACT_BELOW = 8 * STRIDE;

/**
 * One key with all versions that compaction has left: the newest committed one inline, since most keys
 * have no other, older ones packed in `history`.
 *
 * Invariant: revisions ascend from the history's first to the inline one. `rev` is 0 as long as nothing
 * is committed: the entry is there only because a write is being evaluated.
 */
export class KeyEntry {
  /** Of the newest committed version. */
  rev = 0;
  sub = 0;
  createRev = 0;
  /** 0: a tombstone, or nothing yet. */
  version = 0;
  lease = 0n;
  address = 0;
  recordBytes = 0;
  pending: PendingWrite | undefined = undefined;
  #history: number[] | undefined = undefined;

  #block: Uint8Array;
  #start: number;
  #end: number;

  /** The key is at [start, end) of the block. */
  constructor(
    block: Uint8Array,
    start: number,
    end: number,
    readonly hash: number,
  ) {
    this.#block = block;
    this.#start = start;
    this.#end = end;
  }

  /** The key: a view that never changes, made at each call (23 ns); `compareKey` and `hasKey` need none. */
  get key(): Uint8Array {
    return this.#block.subarray(this.#start, this.#end);
  }

  get keyLength(): number {
    return this.#end - this.#start;
  }

  /** Whether this is the entry of `key`. */
  hasKey(key: Uint8Array): boolean {
    const n = key.length;
    const start = this.#start;
    if (this.#end - start !== n) return false;
    const bytes = this.#block;
    for (let i = 0; i < n; i++) if (bytes[start + i] !== key[i]) return false;
    return true;
  }

  /**
   * How many bytes the entry's key and `key` have in common from their beginnings, `known` of which the
   * caller knows already; as -1 - n if the entry's key is below the other.
   */
  commonPrefix(key: Uint8Array, known: number): number {
    const bytes = this.#block;
    const start = this.#start;
    const own = this.#end - start;
    const n = own < key.length ? own : key.length;
    let i = known;
    while (i < n && bytes[start + i] === key[i]) i++;
    const isBelow = i < n ? bytes[start + i]! < key[i]! : own < key.length;
    return isBelow ? -1 - i : i;
  }

  /** The order of the entry's key relative to `key`: negative, zero or positive. */
  compareKey(key: Uint8Array): number {
    const common = this.commonPrefix(key, 0);
    if (common < 0) return -1;
    return common === key.length && common === this.keyLength ? 0 : 1;
  }

  /** Whether the key lies at this place. */
  isAt(block: Uint8Array, start: number): boolean {
    return this.#block === block && this.#start === start;
  }

  /** The block that holds the key. */
  get keyBlock(): Uint8Array {
    return this.#block;
  }

  /** The same key now begins at another place. */
  moveKey(block: Uint8Array, start: number): void {
    this.#end = start + this.keyLength;
    this.#block = block;
    this.#start = start;
  }

  get isLive(): boolean {
    return this.version > 0;
  }

  /** How many versions there are beside the newest. */
  get olderVersions(): number {
    return this.#history === undefined ? 0 : this.#history.length / STRIDE;
  }

  /** Makes a version the newest. */
  commit(
    rev: number,
    sub: number,
    createRev: number,
    version: number,
    lease: bigint,
    address: number,
    recordBytes: number,
  ): void {
    if (this.rev !== 0) {
      const bytes = this.version > 0 ? this.recordBytes : -this.recordBytes;
      const history = this.#history;
      if (history === undefined) {
        this.#history = [this.rev, this.sub, this.address, bytes];
      } else if (history.length < EXACT_BELOW) {
        this.#history = history.concat([
          this.rev,
          this.sub,
          this.address,
          bytes,
        ]);
      } else history.push(this.rev, this.sub, this.address, bytes);
    }
    this.rev = rev;
    this.sub = sub;
    this.createRev = createRev;
    this.version = version;
    this.lease = lease;
    this.address = address;
    this.recordBytes = recordBytes;
  }

  /** The version that a reader at `rev` sees; false if the key did not exist then. */
  versionAt(rev: number, out: VersionRef): boolean {
    return this.versionBefore(rev, out) && !out.deleted;
  }

  /** The newest version with a revision of at most `rev`, tombstones included; false if there is none. */
  versionBefore(rev: number, out: VersionRef): boolean {
    if (this.rev <= rev) {
      out.rev = this.rev;
      out.sub = this.sub;
      out.address = this.address;
      out.recordBytes = this.recordBytes;
      out.deleted = this.version === 0;
      return this.rev !== 0;
    }
    const history = this.#history;
    if (history === undefined) return false;
    const at = this.#lastUpTo(rev, history);
    if (at < 0) return false;
    this.#read(history, at, out);
    return true;
  }

  /**
   * Drops what compaction at `rev` makes unreachable: of the versions up to `rev` only the newest stays,
   * and if that is a tombstone it goes as well, unless it stands exactly at `rev`, where a watcher that
   * starts there still has to see it (etcd, key_index.go). Returns true if nothing is left.
   *
   *   versions 3 5 9 12(tombstone)     compact(9): keeps 9 12     compact(12): keeps 12     compact(13): nothing
   */
  compact(rev: number, drop: DropVersion): boolean {
    const history = this.#history;
    if (history !== undefined) {
      const kept = this.rev <= rev
        ? history.length
        : this.#firstKept(rev, history);
      for (let at = 0; at < kept; at += STRIDE) {
        drop(
          history[at]!,
          history[at + 1]!,
          history[at + 2]!,
          Math.abs(history[at + 3]!),
        );
      }
      if (kept === history.length) this.#history = undefined;
      else if (kept > 0) this.#history = history.slice(kept);
    }
    if (this.rev < rev && this.version === 0 && this.rev !== 0) {
      drop(this.rev, this.sub, this.address, this.recordBytes);
      this.rev = 0;
      return true;
    }
    return this.rev === 0;
  }

  /**
   * Visits, in order, the versions that a reader at any revision from `compactRev` to `rev` can see: the
   * newest one up to `compactRev` unless it is a tombstone, and all after it up to `rev`.
   */
  forEachVersion(
    compactRev: number,
    rev: number,
    visit: (version: VersionRef) => void,
  ): void {
    const history = this.#history;
    const ref = new VersionRef();
    if (history !== undefined) {
      const first = Math.max(0, this.#lastUpTo(compactRev, history));
      for (let at = first; at < history.length; at += STRIDE) {
        if (history[at]! > rev) return;
        // The next version takes its place at the compact revision.
        const next = at + STRIDE < history.length
          ? history[at + STRIDE]!
          : this.rev;
        if (next <= compactRev) continue;
        this.#read(history, at, ref);
        if (ref.rev > compactRev || !ref.deleted) visit(ref);
      }
    }
    if (this.rev === 0 || this.rev > rev) return;
    this.versionBefore(rev, ref);
    if (ref.rev > compactRev || !ref.deleted) visit(ref);
  }

  /** Where the record of the version at exactly `rev` is; undefined if there is no such version. */
  addressAt(rev: number): number | undefined {
    if (this.rev === rev) return rev === 0 ? undefined : this.address;
    const history = this.#history;
    if (history === undefined) return undefined;
    const at = this.#lastUpTo(rev, history);
    return at >= 0 && history[at] === rev ? history[at + 2] : undefined;
  }

  /** The record of the version at `rev` moved. */
  relocate(rev: number, address: number): void {
    if (this.rev === rev) {
      this.address = address;
      return;
    }
    const history = this.#history;
    if (history === undefined) return;
    const at = this.#lastUpTo(rev, history);
    if (at >= 0 && history[at] === rev) history[at + 2] = address;
  }

  #read(history: readonly number[], at: number, out: VersionRef): void {
    const bytes = history[at + 3]!;
    out.rev = history[at]!;
    out.sub = history[at + 1]!;
    out.address = history[at + 2]!;
    out.recordBytes = Math.abs(bytes);
    out.deleted = bytes < 0;
  }

  /** Where the first version begins that compaction at `rev` keeps, given that the newest is younger. */
  #firstKept(rev: number, history: readonly number[]): number {
    const at = this.#lastUpTo(rev, history);
    if (at < 0) return 0;
    const isTombstone = history[at + 3]! < 0;
    return isTombstone && history[at]! < rev ? at + STRIDE : at;
  }

  /** Where the newest version with a revision of at most `rev` begins, or -STRIDE. */
  #lastUpTo(rev: number, history: readonly number[]): number {
    let low = 0;
    let high = history.length / STRIDE;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (history[middle * STRIDE]! <= rev) low = middle + 1;
      else high = middle;
    }
    return (low - 1) * STRIDE;
  }
}
