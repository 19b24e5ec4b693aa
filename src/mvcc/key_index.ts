import { assert } from "../base/assert.ts";
import { hashBytes } from "../base/hash_bytes.ts";
import { KeyArena } from "./key_arena.ts";
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
  readonly #arena = new KeyArena();

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
    const block = this.#arena.add(key);
    const { start } = this.#arena;
    const entry = new KeyEntry(block, start, start + key.length, hash);
    this.#slots[at] = entry;
    if (++this.#size * 2 > this.#slots.length) this.#grow();
    this.#tree.insert(entry);
    return entry;
  }

  /** Forgets an entry that has no version left. Its `key` remains what it was. */
  remove(entry: KeyEntry): void {
    this.#tree.remove(entry);
    this.#removeSlot(entry);
    const { keyBlock } = entry;
    if (this.#arena.release(keyBlock, entry.keyLength)) this.#vacate(keyBlock);
  }

  /** Tells that a commit has made the entry live, or dead. Once for each time that it changes. */
  setLive(entry: KeyEntry, isLive: boolean): void {
    assert(entry.isLive === isLive, "liveness is that of the newest version");
    this.#tree.addLive(entry, isLive ? 1 : -1);
  }

  /** Live keys in [start, end), `end` undefined: no upper bound. O(log n). */
  countLive(start: Uint8Array, end: Uint8Array | undefined): number {
    return this.#tree.countLive(start, end);
  }

  /** Visits all entries in [start, end), dead and pending ones too, in order, until `visit` returns false. */
  ascend(
    start: Uint8Array,
    end: Uint8Array | undefined,
    visit: (entry: KeyEntry) => boolean,
  ): void {
    this.#tree.ascend(start, end, visit);
  }

  /** As `ascend`, from the last to the first. */
  descend(
    start: Uint8Array,
    end: Uint8Array | undefined,
    visit: (entry: KeyEntry) => boolean,
  ): void {
    this.#tree.descend(start, end, visit);
  }

  /** Up to `max` entries behind `key` (from the first if undefined): a walk that can be taken up again. */
  ascendAfter(key: Uint8Array | undefined, max: number): KeyEntry[] {
    return this.#tree.after(key, max);
  }

  /** Throws if an invariant does not hold; for tests. */
  check(): void {
    this.#tree.check();
    const entries = this.ascendAfter(undefined, Infinity);
    assert(entries.length === this.#size, "the tree holds what is counted");
    for (const entry of entries) {
      assert(this.get(entry.key) === entry, "what is in the tree is found");
    }
  }

  #removeSlot(entry: KeyEntry): void {
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
  }

  /** Moves the keys that are left in a block to another, so that it can go. */
  #vacate(block: Uint8Array): void {
    this.#arena.forEach(block, (start, end) => {
      const entry = this.get(block.subarray(start, end));
      if (entry === undefined || !entry.isAt(block, start)) return;
      const to = this.#arena.add(block.subarray(start, end));
      entry.moveKey(to, this.#arena.start);
      this.#arena.release(block, end - start);
    });
  }

  #find(key: Uint8Array, hash: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let at = hash & mask;; at = (at + 1) & mask) {
      const entry = slots[at];
      if (entry === undefined) return at;
      if (entry.hash === hash && entry.hasKey(key)) return at;
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
