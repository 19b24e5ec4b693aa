import type { BodyReader, BodySource } from "../http2/stream_handler.ts";
import type { Codec } from "./codec.ts";

/** Compressed flag and length, before each message. */
export const PREFIX_BYTES = 5;

/** The 5 bytes before a message that is not compressed. */
export function writePrefix(out: Uint8Array, at: number, size: number): void {
  out[at] = 0;
  out[at + 1] = size >>> 24;
  out[at + 2] = size >>> 16;
  out[at + 3] = size >>> 8;
  out[at + 4] = size;
}

/** The length that a message's prefix promises. */
export function prefixLength(bytes: Uint8Array, at: number): number {
  return ((bytes[at + 1]! << 24) | (bytes[at + 2]! << 16) |
    (bytes[at + 3]! << 8) | bytes[at + 4]!) >>> 0;
}

/**
 * A message with its prefix, as the body of a response. One object serves all unary answers, one after the
 * other: the body is written, or its reader made, before `ServerStream.respond` returns.
 */
export class MessageFrame implements BodySource {
  #codec: Codec<unknown> | undefined = undefined;
  #message: unknown = undefined;
  #size = 0;

  /** Takes `message`, whose encoded size is `size`. */
  fill<M>(codec: Codec<M>, message: M, size: number): this {
    this.#codec = codec as Codec<unknown>;
    this.#message = message;
    this.#size = size;
    return this;
  }

  /** Lets the message go. */
  clear(): void {
    this.#message = undefined;
  }

  writeTo(out: Uint8Array, at: number): void {
    writePrefix(out, at, this.#size);
    this.#codec!.write(this.#message, out, at + PREFIX_BYTES);
  }

  reader(): BodyReader | undefined {
    const body = this.#codec!.reader?.(this.#message);
    return body && new FramedReader(body, this.#size);
  }
}

/** The prefix, then the message in pieces. */
class FramedReader implements BodyReader {
  readonly #prefix = new Uint8Array(PREFIX_BYTES);
  #offset = 0;

  constructor(readonly body: BodyReader, size: number) {
    writePrefix(this.#prefix, 0, size);
  }

  read(out: Uint8Array, at: number, length: number): void {
    let left = length;
    while (left > 0 && this.#offset < PREFIX_BYTES) {
      out[at++] = this.#prefix[this.#offset++]!;
      left--;
    }
    if (left > 0) this.body.read(out, at, left);
  }
}
