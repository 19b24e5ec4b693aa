/** What each entry costs on top of its name and value (RFC 7541 §4.1). */
export const ENTRY_OVERHEAD_BYTES = 32;

interface Entry {
  readonly name: string;
  readonly value: string;
  /** What the decoder's user knows about the field; see `classifyField`. */
  readonly kind: number;
}

/**
 * The dynamic table of RFC 7541 §2.3.2 and §4: a queue of fields, the newest has index 0.
 *
 * Invariant: the sum of the entries' sizes is at most `maxBytes`, and so there are at most maxBytes / 32 of them.
 * `version` changes whenever an index may mean something else than before.
 */
export class DynamicTable {
  version = 0;
  #maxBytes: number;
  #bytes = 0;
  #length = 0;
  /** A ring; its length is a power of two. */
  #ring: (Entry | undefined)[] = new Array(8).fill(undefined);
  #newest = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get length(): number {
    return this.#length;
  }

  /** Size of all entries as §4.1 counts it. */
  get bytes(): number {
    return this.#bytes;
  }

  get maxBytes(): number {
    return this.#maxBytes;
  }

  /** The entry `index` places behind the newest, or undefined. */
  at(index: number): Entry | undefined {
    if (index >= this.#length) return undefined;
    return this.#ring[(this.#newest - index) & (this.#ring.length - 1)];
  }

  /** Adds a field and evicts the oldest ones. A field larger than the table empties it (§4.4). */
  add(name: string, value: string, kind: number): void {
    const size = fieldBytes(name, value);
    this.version++;
    this.#evict(this.#maxBytes - size);
    if (size > this.#maxBytes) return;
    if (this.#length === this.#ring.length) this.#grow();
    this.#newest = (this.#newest + 1) & (this.#ring.length - 1);
    this.#ring[this.#newest] = { name, value, kind };
    this.#length++;
    this.#bytes += size;
  }

  /** Whether a field can be added without evicting another. */
  hasRoomFor(name: string, value: string): boolean {
    return this.#bytes + fieldBytes(name, value) <= this.#maxBytes;
  }

  resize(maxBytes: number): void {
    this.version++;
    this.#maxBytes = maxBytes;
    this.#evict(maxBytes);
  }

  /** Index of the newest entry with this name and value, or -1. */
  find(name: string, value: string): number {
    for (let i = 0; i < this.#length; i++) {
      const entry = this.at(i)!;
      if (entry.value === value && entry.name === name) return i;
    }
    return -1;
  }

  /** Index of the newest entry with this name, or -1. */
  findName(name: string): number {
    for (let i = 0; i < this.#length; i++) {
      if (this.at(i)!.name === name) return i;
    }
    return -1;
  }

  #evict(maxBytes: number): void {
    while (this.#length > 0 && this.#bytes > maxBytes) {
      const at = (this.#newest - this.#length + 1) & (this.#ring.length - 1);
      const oldest = this.#ring[at]!;
      this.#ring[at] = undefined;
      this.#length--;
      this.#bytes -= fieldBytes(oldest.name, oldest.value);
    }
  }

  #grow(): void {
    const entries: (Entry | undefined)[] = [];
    for (let i = this.#length - 1; i >= 0; i--) entries.push(this.at(i));
    const ring = new Array(2 * this.#ring.length).fill(undefined);
    for (let i = 0; i < entries.length; i++) ring[i] = entries[i];
    this.#ring = ring;
    this.#newest = this.#length - 1;
  }
}

function fieldBytes(name: string, value: string): number {
  return name.length + value.length + ENTRY_OVERHEAD_BYTES;
}
