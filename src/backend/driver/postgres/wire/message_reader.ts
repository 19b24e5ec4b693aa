import { PostgresError } from "./postgres_error.ts";

/** A message from the server. `body` is valid as long as whoever holds on to it. */
export interface Message {
  /** A letter, as its code. */
  readonly type: number;
  readonly body: Uint8Array;
}

/** The server itself makes none that is longer. */
const MAX_MESSAGE_BYTES = 1 << 30;
const HEADER_BYTES = 5;

/**
 * Cuts what arrives into messages.
 *
 * A message that comes in one chunk is a view of it; one in many is put together once, when its end is there.
 */
export class MessageReader {
  readonly #chunks: Uint8Array[] = [];
  #buffered = 0;
  /** Bytes that must be there before it is worth a look. */
  #needed = HEADER_BYTES;
  #at = 0;

  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
  }

  /** Undefined until the next message is complete. */
  next(): Message | undefined {
    for (;;) {
      if (this.#buffered < this.#needed) return undefined;
      const bytes = this.#whole();
      const at = this.#at;
      const length = int4(bytes, at + 1);
      if (length < 4 || length > MAX_MESSAGE_BYTES) {
        throw new PostgresError("server sent what is no message", "08P01");
      }
      if (this.#buffered < 1 + length) {
        this.#needed = 1 + length;
        continue;
      }
      this.#at += 1 + length;
      this.#buffered -= 1 + length;
      this.#needed = HEADER_BYTES;
      return {
        type: bytes[at]!,
        body: bytes.subarray(at + HEADER_BYTES, at + 1 + length),
      };
    }
  }

  /** What is left, as one chunk that begins at `#at`. */
  #whole(): Uint8Array {
    const [first] = this.#chunks;
    if (first !== undefined && this.#chunks.length === 1) return first;
    const whole = new Uint8Array(this.#buffered);
    let to = 0;
    for (const [i, chunk] of this.#chunks.entries()) {
      const part = i === 0 ? chunk.subarray(this.#at) : chunk;
      whole.set(part, to);
      to += part.length;
    }
    this.#chunks.splice(0, this.#chunks.length, whole);
    this.#at = 0;
    return whole;
  }
}

export function int4(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) |
    bytes[at + 3]!;
}
