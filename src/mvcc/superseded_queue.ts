import type { KeyEntry } from "./key_entry.ts";

/**
 * Which keys compaction has to look at: an entry for each change that replaced a version or was a
 * tombstone, in order of revision. Compaction at R takes all entries up to R, and so costs the changes
 * since the last one, never the number of keys.
 *
 * Invariant: every key with more than its newest live version in memory has an entry here with a
 * revision that is not larger than that of its newest version.
 */
export class SupersededQueue {
  #revs: number[] = [];
  #entries: (KeyEntry | undefined)[] = [];
  #first = 0;
  #front: KeyEntry[] = [];

  get length(): number {
    return this.#revs.length - this.#first + this.#front.length;
  }

  /** Adds a change that replaced a version of the key, or deleted it; they come in order of revision. */
  push(rev: number, entry: KeyEntry): void {
    this.#revs.push(rev);
    this.#entries.push(entry);
  }

  /** Puts a key back that the last compaction had to leave: a tombstone exactly at its revision. */
  pushFront(entry: KeyEntry): void {
    this.#front.push(entry);
  }

  /** Takes the next key that changed at or before `rev`; undefined when there is none. */
  takeUpTo(rev: number): KeyEntry | undefined {
    const front = this.#front.pop();
    if (front !== undefined) return front;
    const at = this.#first;
    if (at >= this.#revs.length || this.#revs[at]! > rev) return undefined;
    const entry = this.#entries[at];
    this.#entries[at] = undefined;
    this.#first = at + 1;
    if (this.#first > 4096 && this.#first * 2 > this.#revs.length) {
      this.#revs = this.#revs.slice(this.#first);
      this.#entries = this.#entries.slice(this.#first);
      this.#first = 0;
    }
    return entry;
  }
}
