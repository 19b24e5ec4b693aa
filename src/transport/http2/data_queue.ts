/** Bytes of one stream that wait to be sent, as the arrays in which they came. They are not copied until they leave. */
export class DataQueue {
  #chunks: Uint8Array[] = [];
  /** The first byte that waits is #chunks[#first][#offset]. */
  #first = 0;
  #offset = 0;

  push(bytes: Uint8Array): void {
    this.#chunks.push(bytes);
  }

  /** Moves the next `length` bytes to `out` at `at`. The caller knows that there are as many. */
  moveTo(out: Uint8Array, at: number, length: number): void {
    let left = length;
    while (left > 0) {
      const chunk = this.#chunks[this.#first]!;
      const size = Math.min(left, chunk.length - this.#offset);
      out.set(chunk.subarray(this.#offset, this.#offset + size), at);
      at += size;
      left -= size;
      this.#offset += size;
      if (this.#offset === chunk.length) this.#next();
    }
  }

  /** Lets go of the first chunk. The list is moved up when half of it is gone: a constant cost per chunk. */
  #next(): void {
    this.#chunks[this.#first] = GONE;
    this.#first++;
    this.#offset = 0;
    if (this.#first * 2 >= this.#chunks.length) {
      this.#chunks.splice(0, this.#first);
      this.#first = 0;
    }
  }
}

const GONE = new Uint8Array(0);
