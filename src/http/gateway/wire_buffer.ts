import { sizeVarint, writeVarint } from "../../pb/wire.ts";

/** Most requests are smaller. */
const INITIAL_BYTES = 256;

/**
 * A buffer that grows with what is written to it; for a request, and for the wire form of one: the lengths of nested
 * messages are known only when they end.
 */
export class WireBuffer {
  #bytes = new Uint8Array(INITIAL_BYTES);
  #size = 0;

  add(part: Uint8Array): void {
    this.#reserve(part.length);
    this.#bytes.set(part, this.#size);
    this.#size += part.length;
  }

  /** Writes an integer from 0 to 2^53 as a varint. */
  addVarint(value: number): void {
    this.#reserve(sizeVarint(value));
    this.#size = writeVarint(this.#bytes, this.#size, value);
  }

  /** Begins something whose length stands in front of it; returns what to give to `end`. */
  begin(): number {
    this.#reserve(1);
    return ++this.#size;
  }

  /** A length of more than one byte moves what it stands in front of. */
  end(from: number): void {
    const length = this.#size - from;
    const more = sizeVarint(length) - 1;
    if (more > 0) {
      this.#reserve(more);
      this.#bytes.copyWithin(from + more, from, this.#size);
      this.#size += more;
    }
    writeVarint(this.#bytes, from - 1, length);
  }

  /** What was written; a view that the next write may overwrite. */
  toBytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#size);
  }

  #reserve(more: number): void {
    const needed = this.#size + more;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}
