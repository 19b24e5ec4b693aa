const FIRST_BYTES = 512;
const UTF8 = new TextEncoder();

/** Builds messages of PostgreSQL's protocol, one behind the other, to be written at once. Numbers are big-endian. */
export class MessageWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #at = 0;
  #lengthAt = 0;

  /** `expectedBytes`: what will be written; it then does not grow step by step. */
  constructor(options: { expectedBytes?: number } = {}) {
    this.#bytes = new Uint8Array(options.expectedBytes ?? FIRST_BYTES);
  }

  /** `type` is a letter, or empty for the messages that a connection begins with. */
  begin(type: string): this {
    if (type !== "") this.int1(type.charCodeAt(0));
    this.#lengthAt = this.#at;
    return this.int4(0);
  }

  /** The length counts itself, and not the letter. */
  end(): this {
    putInt4(this.#bytes, this.#lengthAt, this.#at - this.#lengthAt);
    return this;
  }

  int1(value: number): this {
    this.#room(1);
    this.#bytes[this.#at++] = value;
    return this;
  }

  int2(value: number): this {
    this.#room(2);
    this.#bytes[this.#at++] = value >>> 8;
    this.#bytes[this.#at++] = value;
    return this;
  }

  int4(value: number): this {
    this.#room(4);
    putInt4(this.#bytes, this.#at, value);
    this.#at += 4;
    return this;
  }

  bytes(value: Uint8Array): this {
    this.#room(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
    return this;
  }

  /** With a zero at its end. */
  string(value: string): this {
    return this.bytes(UTF8.encode(value)).int1(0);
  }

  /** What was written; nothing more is to be. */
  take(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#at);
  }

  #room(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= this.#bytes.length) return;
    const size = Math.max(needed, this.#bytes.length * 2);
    this.#bytes = new Uint8Array(this.#bytes.buffer.transfer(size));
  }
}

/** Big-endian, as everything in this protocol. */
export function putInt4(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
}
