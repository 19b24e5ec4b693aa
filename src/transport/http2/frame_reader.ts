import { ConnectionError } from "./errors.ts";
import {
  CLIENT_PREFACE,
  ErrorCode,
  FRAME_HEADER_BYTES,
  readUint31,
} from "./frame.ts";

/** First size of the buffer for a frame that spans chunks; it doubles as bytes arrive. */
const FIRST_ASSEMBLY_BYTES = 2048;

/** Takes frames in order. */
export interface FrameHandler {
  /** The payload is bytes[start, end). The bytes are never overwritten. */
  onFrame(
    type: number,
    flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void;
}

/**
 * Cuts a client's bytes into frames, however they are split, after checking the preface.
 *
 * A frame that lies within a chunk is parsed in place. One that spans chunks is gathered in a buffer of its own,
 * which grows with the bytes that arrive and is dropped afterwards: views into it stay valid, and each byte is
 * copied at most a constant number of times.
 */
export class FrameReader {
  readonly #handler: FrameHandler;
  readonly #maxFrameSize: number;
  #prefaceSeen = 0;
  #chunk: Uint8Array = NOTHING;
  #at = 0;
  /** The start of a frame whose rest has not arrived. */
  #partial: Uint8Array | undefined = undefined;
  #partialLength = 0;
  #isStopped = false;

  constructor(handler: FrameHandler, maxFrameSize: number) {
    this.#handler = handler;
    this.#maxFrameSize = maxFrameSize;
  }

  get hasPreface(): boolean {
    return this.#prefaceSeen === CLIENT_PREFACE.length;
  }

  /** Adds a chunk, which must not change any more; `run` follows. */
  push(chunk: Uint8Array): void {
    this.#chunk = chunk;
    this.#at = 0;
  }

  /**
   * Hands over all complete frames. If the handler throws, the frame in question counts as read, and calling `run`
   * again goes on behind it.
   */
  run(): void {
    if (!this.hasPreface && !this.#preface()) return;
    if (this.#partial !== undefined && !this.#assemble()) return;
    this.#inPlace();
  }

  /** No more frames are handed over. */
  stop(): void {
    this.#isStopped = true;
  }

  #inPlace(): void {
    const bytes = this.#chunk;
    const end = bytes.length;
    let at = this.#at;
    while (!this.#isStopped && end - at >= FRAME_HEADER_BYTES) {
      const length = this.#length(bytes, at);
      const next = at + FRAME_HEADER_BYTES + length;
      if (next > end) break;
      this.#at = next;
      this.#handler.onFrame(
        bytes[at + 3]!,
        bytes[at + 4]!,
        readUint31(bytes, at + 5),
        bytes,
        at + FRAME_HEADER_BYTES,
        next,
      );
      at = next;
    }
    this.#chunk = NOTHING;
    this.#at = 0;
    if (at === end || this.#isStopped) return;
    const rest = end - at;
    this.#partial = new Uint8Array(Math.max(rest, FIRST_ASSEMBLY_BYTES));
    this.#partial.set(bytes.subarray(at));
    this.#partialLength = rest;
  }

  /** Completes the partial frame; false if the chunk ends before it does. */
  #assemble(): boolean {
    if (!this.#fill(FRAME_HEADER_BYTES)) return false;
    const size = FRAME_HEADER_BYTES + this.#length(this.#partial!, 0);
    if (!this.#fill(size)) return false;
    const frame = this.#partial!;
    this.#partial = undefined;
    this.#handler.onFrame(
      frame[3]!,
      frame[4]!,
      readUint31(frame, 5),
      frame,
      FRAME_HEADER_BYTES,
      size,
    );
    return true;
  }

  /** Copies from the chunk until the partial frame has `size` bytes; false if it does not get there. */
  #fill(size: number): boolean {
    const missing = size - this.#partialLength;
    if (missing <= 0) return true;
    const from = this.#at;
    const to = Math.min(from + missing, this.#chunk.length);
    const length = this.#partialLength + to - from;
    let partial = this.#partial!;
    if (length > partial.length) {
      const grown = new Uint8Array(
        Math.max(length, Math.min(size, 2 * partial.length)),
      );
      grown.set(partial.subarray(0, this.#partialLength));
      partial = this.#partial = grown;
    }
    partial.set(this.#chunk.subarray(from, to), this.#partialLength);
    this.#partialLength = length;
    this.#at = to;
    return to - from === missing;
  }

  #length(bytes: Uint8Array, at: number): number {
    const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
    if (length > this.#maxFrameSize) {
      throw new ConnectionError(
        ErrorCode.FrameSizeError,
        "frame exceeds SETTINGS_MAX_FRAME_SIZE",
      );
    }
    return length;
  }

  #preface(): boolean {
    const bytes = this.#chunk;
    while (this.#at < bytes.length && !this.hasPreface) {
      if (bytes[this.#at] !== CLIENT_PREFACE[this.#prefaceSeen]) {
        throw new ConnectionError(
          ErrorCode.ProtocolError,
          "invalid connection preface",
        );
      }
      this.#at++;
      this.#prefaceSeen++;
    }
    return this.hasPreface;
  }
}

const NOTHING = new Uint8Array(0);
