import { gunzipSync } from "node:zlib";
import { EMPTY } from "../../base/bytes.ts";
import { Code, StatusError } from "./status.ts";

/** Compressed flag and length, before each message. */
export const PREFIX_BYTES = 5;
/** A message's buffer grows with what arrives: a length that lies costs no more than what was sent. */
const FIRST_BUFFER_BYTES = 4096;

/**
 * Cuts a stream of DATA into gRPC messages, however they are spread over frames.
 *
 * Invariant: it holds less than one message, and no more memory than twice the bytes that have arrived of it.
 */
export class MessageReader {
  readonly #prefix = new Uint8Array(PREFIX_BYTES);
  #prefixBytes = 0;
  #message: Uint8Array = EMPTY;
  #messageBytes = 0;
  #length = 0;

  constructor(
    readonly maxBytes: number,
    /** The value of `grpc-encoding`. */
    readonly encoding: string | undefined,
  ) {}

  /** Whether it stands between two messages. */
  get isEmpty(): boolean {
    return this.#prefixBytes === 0;
  }

  /** Takes a chunk and hands on each message that is complete. Throws `StatusError`. */
  read(chunk: Uint8Array, onMessage: (message: Uint8Array) => void): void {
    let at = 0;
    for (;;) {
      while (this.#prefixBytes < PREFIX_BYTES) {
        if (at === chunk.length) return;
        this.#prefix[this.#prefixBytes++] = chunk[at++]!;
        if (this.#prefixBytes === PREFIX_BYTES) this.#begin();
      }
      const needed = this.#length - this.#messageBytes;
      if (chunk.length - at < needed) {
        this.#keep(chunk.subarray(at));
        return;
      }
      let message: Uint8Array;
      if (this.#messageBytes === 0) {
        message = chunk.subarray(at, at + needed);
      } else {
        this.#keep(chunk.subarray(at, at + needed));
        message = this.#message.subarray(0, this.#length);
      }
      at += needed;
      const isCompressed = this.#prefix[0] === 1;
      this.#prefixBytes = 0;
      this.#message = EMPTY;
      this.#messageBytes = 0;
      onMessage(isCompressed ? this.#inflate(message) : message);
    }
  }

  #begin(): void {
    const p = this.#prefix;
    this.#length = ((p[1]! << 24) | (p[2]! << 16) | (p[3]! << 8) | p[4]!) >>> 0;
    if (p[0]! > 1) {
      throw new StatusError(
        Code.Internal,
        `grpc: received unexpected payload format ${p[0]}`,
      );
    }
    if (p[0] === 1) checkEncoding(this.encoding);
    if (this.#length > this.maxBytes) {
      throw tooLarge(this.#length, this.maxBytes);
    }
  }

  #keep(part: Uint8Array): void {
    const needed = this.#messageBytes + part.length;
    if (needed > this.#message.length) {
      const size = Math.min(
        this.#length,
        Math.max(needed, this.#message.length * 2, FIRST_BUFFER_BYTES),
      );
      const grown = new Uint8Array(size);
      grown.set(this.#message.subarray(0, this.#messageBytes));
      this.#message = grown;
    }
    this.#message.set(part, this.#messageBytes);
    this.#messageBytes = needed;
  }

  /** Stops at the limit, so that a small message cannot become a huge one. */
  #inflate(message: Uint8Array): Uint8Array {
    try {
      return gunzipSync(message, { maxOutputLength: this.maxBytes });
    } catch (error) {
      if ((error as { code?: string }).code === "ERR_BUFFER_TOO_LARGE") {
        throw new StatusError(
          Code.ResourceExhausted,
          `grpc: received message after decompression larger than max ${this.maxBytes}`,
        );
      }
      throw new StatusError(
        Code.Internal,
        "grpc: failed to decompress the received message",
      );
    }
  }
}

function checkEncoding(encoding: string | undefined): void {
  if (encoding === "gzip") return;
  if (encoding === undefined || encoding === "identity") {
    throw new StatusError(
      Code.Internal,
      "grpc: compressed flag set with identity or empty encoding",
    );
  }
  throw new StatusError(
    Code.Unimplemented,
    `grpc: Decompressor is not installed for grpc-encoding "${encoding}"`,
  );
}

export function tooLarge(bytes: number, maxBytes: number): StatusError {
  return new StatusError(
    Code.ResourceExhausted,
    `grpc: received message larger than max (${bytes} vs. ${maxBytes})`,
  );
}
