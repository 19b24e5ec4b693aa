/** With blocks of this size what a block itself costs (300 bytes) is shared by some 500 keys. */
const BLOCK_BYTES = 16 << 10;
/** A key that would take more of a block than this gets an array of its own. */
const MAX_SHARED_BYTES = BLOCK_BYTES >>> 4;
/** Keys in a block lie one behind the other, each behind its length in two bytes. */
const LENGTH_BYTES = 2;
/** A length that no key has: behind it, a full block holds nothing. */
const END = 0xffff;
/** Of a full block; with less than that still in use, its keys move out and the block goes. */
const SPARSE_BELOW = BLOCK_BYTES >>> 2;

/**
 * Where the index keeps the bytes of its keys. An array of its own would cost each key 230 bytes, a view
 * of a shared one 130; a place in a block costs the key's length and 26.
 *
 * Blocks are written once, front to back, and never again, so that views of them stay what they are. One
 * whose keys are mostly gone is given up: `release` tells, the index moves what is left. Only the garbage
 * collector frees it, once no key and no view is in it.
 */
export class KeyArena {
  /** Where the key that was added last begins. */
  start = 0;
  #open = new Uint8Array(BLOCK_BYTES);
  #used = 0;
  /** For each shared block with keys, how many bytes of keys are still there. */
  readonly #live = new Map<Uint8Array, number>();
  /** The same for the open one. */
  #liveInOpen = 0;

  /** Copies a key in; returns the block, sets `start`. */
  add(key: Uint8Array): Uint8Array {
    const n = key.length;
    if (n > MAX_SHARED_BYTES) {
      this.start = 0;
      return key.slice();
    }
    if (this.#used + LENGTH_BYTES + n > BLOCK_BYTES) this.#nextBlock();
    const block = this.#open;
    let at = this.#used;
    block[at++] = n;
    block[at++] = n >>> 8;
    this.start = at;
    for (let i = 0; i < n; i++) block[at + i] = key[i]!;
    this.#used = at + n;
    this.#liveInOpen += n;
    return block;
  }

  /** A key of `n` bytes in the block is gone. Returns true if what is left there should move. */
  release(block: Uint8Array, n: number): boolean {
    if (block === this.#open) {
      this.#liveInOpen -= n;
      return false;
    }
    const before = this.#live.get(block);
    if (before === undefined) return false; // a key with an array of its own
    const live = before - n;
    if (live > 0) this.#live.set(block, live);
    else this.#live.delete(block);
    return live > 0 && live < SPARSE_BELOW;
  }

  /** Calls `visit` with the place of each key that was ever added to a full block. */
  forEach(
    block: Uint8Array,
    visit: (start: number, end: number) => void,
  ): void {
    for (let at = 0; at + LENGTH_BYTES <= block.length;) {
      const start = at + LENGTH_BYTES;
      const length = block[at]! | block[at + 1]! << 8;
      if (length === END) return;
      visit(start, start + length);
      at = start + length;
    }
  }

  /** Shared blocks that hold keys. */
  get blocks(): number {
    return this.#live.size + 1;
  }

  #nextBlock(): void {
    const full = this.#open;
    if (this.#used + LENGTH_BYTES <= BLOCK_BYTES) {
      full[this.#used] = END & 0xff;
      full[this.#used + 1] = END >>> 8;
    }
    if (this.#liveInOpen > 0) this.#live.set(full, this.#liveInOpen);
    this.#open = new Uint8Array(BLOCK_BYTES);
    this.#used = 0;
    this.#liveInOpen = 0;
  }
}
