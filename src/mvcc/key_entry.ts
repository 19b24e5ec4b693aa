/** A write of the batch that is being evaluated: nobody sees it but later writes of that batch. */
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
  /** The pending write of the same key that came before. */
  readonly prior: PendingWrite | undefined;
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

/**
 * One key with all versions that compaction has left: the newest committed one inline, since most keys
 * have no other, older ones packed in `history`.
 *
 * Invariant: revisions ascend from the history's first to the inline one. `rev` is 0 as long as nothing
 * is committed: the entry is there only because a write is being evaluated.
 */
export class KeyEntry {
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

  /** `key` is the entry's own and never changes. */
  constructor(readonly key: Uint8Array, readonly hash: number) {}

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
      if (this.#history === undefined) {
        this.#history = [this.rev, this.sub, this.address, bytes];
      } else this.#history.push(this.rev, this.sub, this.address, bytes);
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
    const bytes = history[at + 3]!;
    out.rev = history[at]!;
    out.sub = history[at + 1]!;
    out.address = history[at + 2]!;
    out.recordBytes = Math.abs(bytes);
    out.deleted = bytes < 0;
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

  /** Whether one of the versions has its record at the address. */
  hasAddress(address: number): boolean {
    if (this.rev !== 0 && this.address === address) return true;
    return this.#addressAt(address) >= 0;
  }

  /** The record of a version moved; false if no version was at `from`. */
  relocate(from: number, to: number): boolean {
    if (this.rev !== 0 && this.address === from) {
      this.address = to;
      return true;
    }
    const at = this.#addressAt(from);
    if (at < 0) return false;
    this.#history![at] = to;
    return true;
  }

  #addressAt(address: number): number {
    const history = this.#history;
    if (history === undefined) return -1;
    for (let at = 2; at < history.length; at += STRIDE) {
      if (history[at] === address) return at;
    }
    return -1;
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
