import type { BodyReader } from "./stream_handler.ts";

/** Bytes that wait: as an array, or as a body that is written when it leaves. */
interface Chunk {
  bytes: Uint8Array | undefined;
  readonly reader: BodyReader | undefined;
  length: number;
  /** `bytes` is ours, and there may be room behind `length`. */
  isGathered: boolean;
}

/** Shorter pieces are gathered: an array of its own costs some 200 bytes. */
const SMALL_BYTES = 512;
const GATHERED_BYTES = 2 << 10;

/**
 * Bytes of one stream that wait to be sent, as the arrays in which they came. They are not copied until they leave,
 * but for those of many short messages.
 *
 * Measured with 1.4 million answers to keep-alives that nobody reads: 330 MiB one by one, 40 MiB gathered.
 */
export class DataQueue {
  #chunks: Chunk[] = [];
  /** The first byte that waits is number #offset of #chunks[#first]. */
  #first = 0;
  #offset = 0;

  push(bytes: Uint8Array): void {
    const { length } = bytes;
    if (length === 0) return;
    const last = this.#chunks[this.#chunks.length - 1];
    if (length < SMALL_BYTES && last !== undefined && gather(last, bytes)) {
      return;
    }
    this.#chunks.push({ bytes, reader: undefined, length, isGathered: false });
  }

  /** Queues a body that is there only as it is sent. */
  pushReader(reader: BodyReader, length: number): void {
    this.#chunks.push({ bytes: undefined, reader, length, isGathered: false });
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

const GONE: Chunk = Object.freeze({
  bytes: undefined,
  reader: undefined,
  length: 0,
  isGathered: false,
});

/** Puts short `bytes` behind those of a chunk that is short, too, or gathered; false if they do not go there. */
function gather(chunk: Chunk, bytes: Uint8Array): boolean {
  const before = chunk.bytes;
  if (before === undefined) return false;
  const end = chunk.length + bytes.length;
  if (!chunk.isGathered) {
    if (chunk.length >= SMALL_BYTES) return false;
    chunk.bytes = new Uint8Array(GATHERED_BYTES);
    chunk.bytes.set(before);
    chunk.isGathered = true;
  } else if (end > GATHERED_BYTES) return false;
  chunk.bytes!.set(bytes, chunk.length);
  chunk.length = end;
  return true;
}
