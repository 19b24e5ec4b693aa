import type { BodyReader } from "./stream_handler.ts";

/** Bytes that wait: as an array, or as a body that is written when it leaves. */
interface Chunk {
  readonly bytes: Uint8Array | undefined;
  readonly reader: BodyReader | undefined;
  readonly length: number;
}

/** Bytes of one stream that wait to be sent, as the arrays in which they came. They are not copied until they leave. */
export class DataQueue {
  #chunks: Chunk[] = [];
  /** The first byte that waits is number #offset of #chunks[#first]. */
  #first = 0;
  #offset = 0;

  push(bytes: Uint8Array): void {
    this.#chunks.push({ bytes, reader: undefined, length: bytes.length });
  }

  /** Queues a body that is there only as it is sent. */
  pushReader(reader: BodyReader, length: number): void {
    this.#chunks.push({ bytes: undefined, reader, length });
  }

  /** Moves the next `length` bytes to `out` at `at`. The caller knows that there are as many. */
  moveTo(out: Uint8Array, at: number, length: number): void {
    let left = length;
    while (left > 0) {
      const chunk = this.#chunks[this.#first]!;
      const offset = this.#offset;
      const size = Math.min(left, chunk.length - offset);
      if (chunk.bytes !== undefined) {
        out.set(chunk.bytes.subarray(offset, offset + size), at);
      } else chunk.reader!.read(out, at, size);
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

const GONE: Chunk = { bytes: undefined, reader: undefined, length: 0 };
