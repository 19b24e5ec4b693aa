import { Buffer } from "node:buffer";
import { concatBytes } from "../../base/bytes.ts";

/** Tags of DER (X.690), as far as certificates and revocation lists have them. */
export const Tag = {
  Boolean: 0x01,
  Integer: 0x02,
  BitString: 0x03,
  OctetString: 0x04,
  ObjectId: 0x06,
  Utf8String: 0x0c,
  UtcTime: 0x17,
  GeneralizedTime: 0x18,
  Sequence: 0x30,
  Set: 0x31,
} as const;

/** `[n]`, as a field of a structure. */
export function contextTag(n: number, isConstructed: boolean): number {
  return (isConstructed ? 0xa0 : 0x80) | n;
}

/** One value: its tag, what is in it, and all of it with tag and length. */
export interface DerValue {
  readonly tag: number;
  readonly content: Uint8Array;
  readonly raw: Uint8Array;
}

/** What is not DER, or not what was looked for. */
export class DerError extends Error {
  override readonly name = "DerError";
}

/** A length takes this many bytes at most: 4 GiB, which no file of ours has. */
const MAX_LENGTH_BYTES = 4;

/**
 * Reads values one after another. Strict: lengths have their shortest form and stay within the bytes, and tags
 * are single bytes. Nothing is allocated for a length that was promised.
 */
export class DerReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The reader of what is in the only value of `bytes`. */
  static of(bytes: Uint8Array, tag: number): DerReader {
    const reader = new DerReader(bytes);
    const { content } = reader.read(tag);
    reader.end();
    return new DerReader(content);
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** The tag of the next value; undefined at the end. */
  get nextTag(): number | undefined {
    return this.#bytes[this.#at];
  }

  /** The next value; throws if it has another tag. */
  read(tag: number): DerValue {
    const value = this.next();
    if (value.tag !== tag) {
      throw new DerError(`tag ${value.tag} where ${tag} was expected`);
    }
    return value;
  }

  /** The next value if it has this tag. */
  readIf(tag: number): DerValue | undefined {
    return this.nextTag === tag ? this.next() : undefined;
  }

  /** The next value, which holds others. */
  enter(tag: number): DerReader {
    return new DerReader(this.read(tag).content);
  }

  next(): DerValue {
    const start = this.#at;
    const tag = this.#byte();
    if ((tag & 0x1f) === 0x1f) throw new DerError("a tag of several bytes");
    const length = this.#length();
    const begin = this.#at;
    if (length > this.#bytes.length - begin) {
      throw new DerError("a value is cut short");
    }
    this.#at = begin + length;
    return {
      tag,
      content: this.#bytes.subarray(begin, this.#at),
      raw: this.#bytes.subarray(start, this.#at),
    };
  }

  /** Throws if there is more. */
  end(): void {
    if (!this.isAtEnd) throw new DerError("bytes behind the last value");
  }

  #length(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    const count = first & 0x7f;
    if (count === 0 || count > MAX_LENGTH_BYTES) {
      throw new DerError("a length that DER does not allow");
    }
    let length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + this.#byte();
    if (length < 0x80 || length < 256 ** (count - 1)) {
      throw new DerError("a length longer than needed");
    }
    return length;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new DerError("a value is cut short");
    this.#at++;
    return byte;
  }
}

/** One value with its tag and length. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(...parts);
  const length: number[] = [];
  for (let n = content.length; n > 0; n = Math.floor(n / 256)) {
    length.unshift(n % 256);
  }
  const head = content.length < 0x80
    ? [tag, content.length]
    : [tag, 0x80 | length.length, ...length];
  return concatBytes(Uint8Array.from(head), content);
}

export function derSequence(...parts: readonly Uint8Array[]): Uint8Array {
  return der(Tag.Sequence, ...parts);
}

/** A number that is not negative, most significant byte first. */
export function derUnsigned(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const digits = bytes.subarray(start);
  const sign = Uint8Array.of(0);
  return (digits[0] ?? 0) < 0x80 && digits.length > 0
    ? der(Tag.Integer, digits)
    : der(Tag.Integer, sign, digits);
}

/** `2.5.4.3` */
export function derObjectId(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes: number[] = [];
  for (const part of [first * 40 + second, ...rest]) {
    const groups = [part % 128];
    for (let n = Math.floor(part / 128); n > 0; n = Math.floor(n / 128)) {
      groups.unshift(0x80 | (n % 128));
    }
    bytes.push(...groups);
  }
  return der(Tag.ObjectId, Uint8Array.from(bytes));
}

/** Whole bytes, no bits left over. */
export function derBitString(bytes: Uint8Array): Uint8Array {
  return der(Tag.BitString, Uint8Array.of(0), bytes);
}

/** A time as RFC 5280 §4.1.2.5 wants it: two digits of the year until 2049, four from then on. */
export function derTime(ms: number): Uint8Array {
  const digits = new Date(ms).toISOString().replace(/\.\d+|[-:T]/g, "");
  const isShort = ms < Date.UTC(2050, 0);
  return der(
    isShort ? Tag.UtcTime : Tag.GeneralizedTime,
    new TextEncoder().encode(isShort ? digits.slice(2) : digits),
  );
}

const TIME = /^(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/;

/** Milliseconds since the Unix epoch. */
export function readDerTime(reader: DerReader): number {
  const value = reader.next();
  const isShort = value.tag === Tag.UtcTime;
  if (!isShort && value.tag !== Tag.GeneralizedTime) {
    throw new DerError(`tag ${value.tag} where a time was expected`);
  }
  const match = TIME.exec(new TextDecoder().decode(value.content));
  if (match === null || match[1]!.length !== (isShort ? 2 : 4)) {
    throw new DerError("a time that RFC 5280 does not allow");
  }
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number);
  const fullYear = !isShort ? year! : year! < 50 ? 2000 + year! : 1900 + year!;
  return Date.UTC(fullYear, month! - 1, day, hour, minute, second);
}

/** Bytes as text that can be compared: object identifiers, serial numbers. */
export function hexText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
