import { ByteMap } from "../base/byte_map.ts";
import { compareBytes, equalBytes } from "../base/bytes.ts";

/** The keys of one lease. Most leases hold one key, which then costs no collection of its own. */
export class AttachedKeys {
  #keys: undefined | Uint8Array | ByteMap<true> = undefined;

  get size(): number {
    const keys = this.#keys;
    return keys === undefined ? 0 : keys instanceof ByteMap ? keys.size : 1;
  }

  add(key: Uint8Array): void {
    const keys = this.#keys;
    if (keys === undefined) this.#keys = key;
    else if (keys instanceof ByteMap) keys.set(key, true);
    else if (!equalBytes(keys, key)) {
      const map = new ByteMap<true>();
      map.set(keys, true);
      map.set(key, true);
      this.#keys = map;
    }
  }

  /** False if the key is not attached. */
  delete(key: Uint8Array): boolean {
    const keys = this.#keys;
    if (keys === undefined) return false;
    if (keys instanceof ByteMap) return keys.delete(key);
    if (!equalBytes(keys, key)) return false;
    this.#keys = undefined;
    return true;
  }

  /** A new array, in the order of keys. */
  sorted(): Uint8Array[] {
    const keys = this.#keys;
    if (keys === undefined) return [];
    if (!(keys instanceof ByteMap)) return [keys];
    const sorted: Uint8Array[] = [];
    keys.forEach((_, key) => sorted.push(key));
    return sorted.sort(compareBytes);
  }
}
