import { equalBytes } from "./bytes.ts";
import { hashBytes } from "./hash_bytes.ts";

export { hashBytes };

const MIN_SLOTS = 16;

interface Slot<V> {
  readonly key: Uint8Array;
  readonly hash: number;
  value: V;
}

/**
 * A map with byte strings as keys. Open addressing with linear probing, at most half full; removing moves
 * what follows back, so there are no markers of deleted entries, and no hash is computed twice.
 * Keys are kept, not copied, and must not change.
 */
export class ByteMap<V> {
  #slots: (Slot<V> | undefined)[] = new Array(MIN_SLOTS).fill(undefined);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(key: Uint8Array): V | undefined {
    return this.#slots[this.#find(key, hashBytes(key))]?.value;
  }

  set(key: Uint8Array, value: V): void {
    const hash = hashBytes(key);
    const at = this.#find(key, hash);
    const slot = this.#slots[at];
    if (slot !== undefined) {
      slot.value = value;
      return;
    }
    this.#slots[at] = { key, hash, value };
    if (++this.#size * 2 > this.#slots.length) this.#grow();
  }

  delete(key: Uint8Array): boolean {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = this.#find(key, hashBytes(key));
    if (slots[hole] === undefined) return false;
    for (let at = (hole + 1) & mask;; at = (at + 1) & mask) {
      const slot = slots[at];
      if (slot === undefined) break;
      // It may move back into the hole unless its own place lies behind it.
      if (((at - slot.hash) & mask) >= ((at - hole) & mask)) {
        slots[hole] = slot;
        hole = at;
      }
    }
    slots[hole] = undefined;
    this.#size--;
    return true;
  }

  clear(): void {
    this.#slots = new Array(MIN_SLOTS).fill(undefined);
    this.#size = 0;
  }

  /** In no particular order; the map must not change meanwhile. */
  forEach(visit: (value: V, key: Uint8Array) => void): void {
    for (const slot of this.#slots) {
      if (slot !== undefined) visit(slot.value, slot.key);
    }
  }

  /** The place of the key, or the free one where it belongs. */
  #find(key: Uint8Array, hash: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let at = hash & mask;; at = (at + 1) & mask) {
      const slot = slots[at];
      if (slot === undefined) return at;
      if (slot.hash === hash && equalBytes(slot.key, key)) return at;
    }
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Array(old.length * 2).fill(undefined);
    const mask = this.#slots.length - 1;
    for (const slot of old) {
      if (slot === undefined) continue;
      let at = slot.hash & mask;
      while (this.#slots[at] !== undefined) at = (at + 1) & mask;
      this.#slots[at] = slot;
    }
  }
}
