import { compareBytes, equalBytes } from "../base/bytes.ts";

/**
 * The keys of one lease. Most leases hold one key, which then costs no collection of its own.
 *
 * Keys are told apart by identity first: the index gives the same array for a key as long as it is
 * attached. An equal copy is found too, by looking at all keys.
 */
export class AttachedKeys {
  #keys: undefined | Uint8Array | Set<Uint8Array> = undefined;

  get size(): number {
    const keys = this.#keys;
    return keys === undefined ? 0 : keys instanceof Set ? keys.size : 1;
  }

  add(key: Uint8Array): void {
    const keys = this.#keys;
    if (keys === undefined) this.#keys = key;
    else if (keys instanceof Set) keys.add(key);
    else if (!equalBytes(keys, key)) this.#keys = new Set([keys, key]);
  }

  /** False if the key is not attached. */
  delete(key: Uint8Array): boolean {
    const keys = this.#keys;
    if (keys === undefined) return false;
    if (!(keys instanceof Set)) {
      if (!equalBytes(keys, key)) return false;
      this.#keys = undefined;
      return true;
    }
    if (keys.delete(key)) return true;
    for (const known of keys) {
      if (equalBytes(known, key)) return keys.delete(known);
    }
    return false;
  }

  /** A new array, in the order of keys. */
  sorted(): Uint8Array[] {
    const keys = this.#keys;
    if (keys === undefined) return [];
    if (!(keys instanceof Set)) return [keys];
    return [...keys].sort(compareBytes);
  }
}
