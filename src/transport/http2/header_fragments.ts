import { ConnectionError } from "./errors.ts";
import { ErrorCode } from "./frame.ts";

/** First size of the buffer; it doubles as fragments arrive. */
const FIRST_BYTES = 1024;

/** A header section that came in HEADERS and CONTINUATION frames (RFC 9113 §4.3), until it is complete. */
export class HeaderFragments {
  #bytes = new Uint8Array(FIRST_BYTES);
  #length = 0;
  #continuations = 0;

  constructor(
    readonly streamId: number,
    readonly endStream: boolean,
    /** The PRIORITY fields name the stream itself. */
    readonly isSelfDependent: boolean,
    readonly limits: {
      maxHeaderListBytes: number;
      maxContinuationFrames: number;
    },
  ) {}

  /** The block so far. */
  get block(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  append(bytes: Uint8Array, start: number, end: number): void {
    const length = this.#length + end - start;
    // No encoder makes a section longer than its fields are, so a longer one would be too large decoded.
    if (length > this.limits.maxHeaderListBytes) {
      throw calm("header section too large");
    }
    if (length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(length, 2 * this.#bytes.length));
      grown.set(this.block);
      this.#bytes = grown;
    }
    this.#bytes.set(bytes.subarray(start, end), this.#length);
    this.#length = length;
  }

  /** Appends a CONTINUATION frame's fragment. */
  continue(bytes: Uint8Array, start: number, end: number): void {
    this.#continuations++;
    if (this.#continuations > this.limits.maxContinuationFrames) {
      throw calm("too many CONTINUATION frames");
    }
    this.append(bytes, start, end);
  }
}

function calm(message: string): ConnectionError {
  return new ConnectionError(ErrorCode.EnhanceYourCalm, message);
}
