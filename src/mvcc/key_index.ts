import { assert } from "../base/assert.ts";
import { equalBytes } from "../base/bytes.ts";
import { hashBytes } from "../base/byte_map.ts";
import { KeyEntry } from "./key_entry.ts";
import { KeyTree } from "./key_tree.ts";

const MIN_SLOTS = 64;

/**
 * All keys that have a version left or a write under evaluation: found by a hash of their bytes in
 * constant time, and in order through a tree that counts live keys.
 *
 * Invariant: an entry is in the hash table exactly if it is in the tree, and counted as live there exactly
 * if its newest committed version is not a tombstone (`setLive` tells).
 */
export class KeyIndex {
  #slots: (KeyEntry | undefined)[] = new Array(MIN_SLOTS).fill(undefined);
  #size = 0;
  readonly #tree = new KeyTree();

  /** All entries, dead ones included. */
  get size(): number {
    return this.#size;
  }

  get liveCount(): number {
    return this.#tree.liveCount;
  }

  get(key: Uint8Array): KeyEntry | undefined {
    return this.#slots[this.#find(key, hashBytes(key))];
  }

  /** The entry of a key, made without any version if there is none. Copies the key. */
  getOrCreate(key: Uint8Array): KeyEntry {
    const hash = hashBytes(key);
    const at = this.#find(key, hash);
    const found = this.#slots[at];
    if (found !== undefined) return found;
    const entry = new KeyEntry(key.slice(), hash);
    this.#slots[at] = entry;
    if (++this.#size * 2 > this.#slots.length) this.#grow();
    this.#tree.insert(entry);
    return entry;
  }

  /** Forgets an entry that has no version left. */
  remove(entry: KeyEntry): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = this.#find(entry.key, entry.hash);
    assert(slots[hole] === entry, "an entry to remove is in the index");
    for (let at = (hole + 1) & mask;; at = (at + 1) & mask) {
      const slot = slots[at];
      if (slot === undefined) break;
      if (((at - slot.hash) & mask) >= ((at - hole) & mask)) {
        slots[hole] = slot;
        hole = at;
      }
    }
    slots[hole] = undefined;
    this.#size--;
    this.#tree.remove(entry);
  }

  /** Tells that a commit made the entry live, or dead. */
  setLive(entry: KeyEntry, isLive: boolean): void {
    this.#tree.addLive(entry.key, isLive ? 1 : -1);
  }

  /** Live keys in [start, end), `end` undefined: no upper bound. O(log n). */
  countLive(start: Uint8Array, end: Uint8Array | undefined): number {
    return this.#tree.countLive(start, end);
  }

  /** Visits all entries in [start, end) in order, until `visit` returns false. */
  ascend(
    start: Uint8Array,
    end: Uint8Array | undefined,
    visit: (entry: KeyEntry) => boolean,
  ): void {
    this.#tree.ascend(start, end, visit);
  }

  /** Up to `max` entries behind `key` (from the first if undefined): a walk that can be taken up again. */
  ascendAfter(key: Uint8Array | undefined, max: number): KeyEntry[] {
    return this.#tree.after(key, max);
  }

  #find(key: Uint8Array, hash: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let at = hash & mask;; at = (at + 1) & mask) {
      const entry = slots[at];
      if (entry === undefined) return at;
      if (entry.hash === hash && equalBytes(entry.key, key)) return at;
    }
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Array(old.length * 2).fill(undefined);
    const mask = this.#slots.length - 1;
    for (const entry of old) {
      if (entry === undefined) continue;
      let at = entry.hash & mask;
      while (this.#slots[at] !== undefined) at = (at + 1) & mask;
      this.#slots[at] = entry;
    }
  }
}
