import { gunzipSync } from "node:zlib";
import { assert } from "../../base/assert.ts";
import { EMPTY } from "../../base/bytes.ts";
import { PREFIX_BYTES, prefixLength } from "./message_frame.ts";
import type { ReceiveBudget } from "./receive_budget.ts";
import { Code, StatusError } from "./status.ts";

/**
 * A message's buffer grows with what arrives: a length that lies costs no more than what was sent. With 4 KiB to begin
 * with, a client that sent six bytes on each of 65,536 streams used up the memory that is there for all.
 */
const FIRST_BUFFER_BYTES = 128;

export interface MessageReaderOptions {
  /** A message's size, decompressed or not. */
  readonly maxBytes: number;
  /** Whether the call's `grpc-encoding` is gzip: then a message may be compressed, none otherwise. */
  readonly isGzip: boolean;
  readonly budget: ReceiveBudget;
}

/**
 * Cuts a stream of DATA into gRPC messages, however they are spread over frames.
 *
 * `push` a chunk, then take messages with `next` until there is none. A message that lies in one chunk is a view of
 * it; others are gathered. Invariant: between two chunks it holds less than one message, and no more memory than
 * twice the bytes that have arrived of it, or 128 bytes.
 */
export class MessageReader {
  readonly #options: MessageReaderOptions;
  #chunk: Uint8Array = EMPTY;
  #at = 0;
  readonly #prefix = new Uint8Array(PREFIX_BYTES);
  #prefixBytes = 0;
  /** Of the message behind the prefix. */
  #length = 0;
  #message: Uint8Array = EMPTY;
  #messageBytes = 0;

  constructor(options: MessageReaderOptions) {
    this.#options = options;
  }

  /** Whether it stands between two messages. */
  get isEmpty(): boolean {
    return this.#prefixBytes === 0;
  }

  push(chunk: Uint8Array): void {
    assert(this.#at === this.#chunk.length, "the last chunk is not used up");
    this.#chunk = chunk;
    this.#at = 0;
  }

  /** The next whole message; undefined if it takes more DATA. Throws `StatusError`. */
  next(): Uint8Array | undefined {
    const chunk = this.#chunk;
    while (this.#prefixBytes < PREFIX_BYTES) {
      if (this.#at === chunk.length) return undefined;
      this.#prefix[this.#prefixBytes++] = chunk[this.#at++]!;
      if (this.#prefixBytes === PREFIX_BYTES) this.#begin();
    }
    const needed = this.#length - this.#messageBytes;
    const there = Math.min(needed, chunk.length - this.#at);
    const part = chunk.subarray(this.#at, this.#at + there);
    this.#at += there;
    if (there < needed) {
      this.#keep(part);
      return undefined;
    }
    let message = part;
    if (this.#messageBytes > 0) {
      this.#keep(part);
      message = this.#message.subarray(0, this.#length);
    }
    const isCompressed = this.#prefix[0] === 1;
    this.#drop();
    this.#prefixBytes = 0;
    return isCompressed ? inflate(message, this.#options.maxBytes) : message;
  }

  /** Lets go of what came in part. */
  close(): void {
    this.#drop();
    this.#chunk = EMPTY;
    this.#at = 0;
  }

  #begin(): void {
    const flag = this.#prefix[0]!;
    this.#length = prefixLength(this.#prefix, 0);
    const { maxBytes, isGzip } = this.#options;
    if (this.#length > maxBytes) throw tooLarge(this.#length, maxBytes);
    if (flag > 1) {
      throw new StatusError(
        Code.Internal,
        `grpc: received unexpected payload format ${flag}`,
      );
    }
    if (flag === 1 && !isGzip) {
      throw new StatusError(
        Code.Internal,
        "grpc: compressed flag set with identity or empty encoding",
      );
    }
  }

  #keep(part: Uint8Array): void {
    const needed = this.#messageBytes + part.length;
    if (needed > this.#message.length) this.#grow(needed);
    this.#message.set(part, this.#messageBytes);
    this.#messageBytes = needed;
  }

  #grow(needed: number): void {
    const old = this.#message;
    const size = Math.min(
      this.#length,
      Math.max(needed, old.length * 2, FIRST_BUFFER_BYTES),
    );
    this.#options.budget.take(size - old.length);
    this.#message = new Uint8Array(size);
    this.#message.set(old.subarray(0, this.#messageBytes));
  }

  #drop(): void {
    this.#options.budget.giveBack(this.#message.length);
    this.#message = EMPTY;
    this.#messageBytes = 0;
  }
}

/** Stops at the limit, so that a small message cannot become a huge one. */
function inflate(message: Uint8Array, maxBytes: number): Uint8Array {
  try {
    return gunzipSync(message, { maxOutputLength: maxBytes });
  } catch (error) {
    if ((error as { code?: string }).code === "ERR_BUFFER_TOO_LARGE") {
      throw new StatusError(
        Code.ResourceExhausted,
        `grpc: received message after decompression larger than max ${maxBytes}`,
      );
    }
    throw new StatusError(
      Code.Internal,
      `grpc: failed to decompress the message: ${(error as Error).message}`,
    );
  }
}

export function tooLarge(bytes: number, maxBytes: number): StatusError {
  return new StatusError(
    Code.ResourceExhausted,
    `grpc: received message larger than max (${bytes} vs. ${maxBytes})`,
  );
}
