import { EMPTY } from "../base/bytes.ts";

/**
 * The protobuf wire format: what the generated code is made of.
 *
 * Numbers travel as `number` wherever 53 bits suffice, so the common path allocates nothing and knows
 * no BigInt; a 64-bit integer beyond that is saturated on the way in. Only ids are `bigint`.
 * Writers trust their caller to have sized the buffer with the matching `size…` function.
 */

/** The shape of `transport/grpc/codec.ts`, which the generated codecs implement without knowing it. */
export interface Codec<M> {
  /** Full protobuf name, e.g. `etcdserverpb.RangeRequest`. */
  readonly name: string;
  /** Reads a message from `bytes[pos, end)`; byte fields are views into `bytes`. Throws `WireError`. */
  decode(bytes: Uint8Array, pos?: number, end?: number): M;
  /** The number of bytes that `write` will write. */
  size(message: M): number;
  /** Writes the message at `at`; returns the position behind it. */
  write(message: M, out: Uint8Array, at: number): number;
}

/** One call of a service. */
export interface MethodInfo<Req, Res> {
  /** As in the .proto file. */
  readonly name: string;
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly request: Codec<Req>;
  readonly response: Codec<Res>;
  readonly clientStreaming: boolean;
  readonly serverStreaming: boolean;
}

/** The bytes are not a protobuf message of the expected type. */
export class WireError extends Error {
  override name = "WireError";
}

/**
 * How deep messages may be nested. The only recursive one of the API is a transaction (two levels each),
 * and etcd's limit of 128 operations bounds it to 128 transactions inside each other, 256 levels.
 * Go's limit is 10,000, for which a JavaScript stack has no room: it ends between 6,000 and 8,000.
 */
export const MAX_NESTING = 1000;

const MAX_SAFE = Number.MAX_SAFE_INTEGER;
const TWO_32 = 4294967296;

// Wire types (https://protobuf.dev/programming-guides/encoding/#structure).
const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const FIXED32 = 5;

/** Highest field number: 29 bits. A tag is that and three bits of wire type. */
const MAX_TAG = 0xffffffff;

/** From this length on, `TypedArray.set` beats a loop (measured: 0.75 ns a byte against 15 ns). */
const LOOP_COPY_BYTES = 16;

/**
 * For turning a bigint into its two halves and back with one allocation at most. Holds nothing from one
 * call to the next.
 */
const SCRATCH = new DataView(new ArrayBuffer(8));

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * A cursor over one encoded message. `end` is where the message that is being read ends: nothing beyond
 * it is ever looked at, and `pos` never passes it.
 */
export class Reader {
  readonly buf: Uint8Array;
  pos: number;
  end: number;
  /** The halves of the varint that `readLong` read last, unsigned. */
  lo = 0;
  hi = 0;
  #depth = 0;
  /** What views are made of, read once: the getters cost a third of making a view. */
  readonly #memory: ArrayBufferLike;
  readonly #offset: number;

  constructor(bytes: Uint8Array, pos: number, end: number) {
    if (!(pos >= 0 && pos <= end && end <= bytes.length)) {
      throw new WireError("range out of bounds");
    }
    this.buf = bytes;
    this.#memory = bytes.buffer;
    this.#offset = bytes.byteOffset;
    this.pos = pos;
    this.end = end;
  }

  /** A field's tag: number times eight plus wire type. */
  tag(): number {
    const pos = this.pos;
    if (pos < this.end) {
      const byte = this.buf[pos]!;
      if (byte < 0x80) {
        this.pos = pos + 1;
        return byte;
      }
    }
    const tag = readLong(this);
    if (tag > MAX_TAG) throw new WireError("field number out of range");
    return tag;
  }

  /** uint64 as a number, saturated. */
  uint64(): number {
    const pos = this.pos;
    if (pos < this.end) {
      const byte = this.buf[pos]!;
      if (byte < 0x80) {
        this.pos = pos + 1;
        return byte;
      }
    }
    const value = readLong(this);
    return value > MAX_SAFE ? MAX_SAFE : value;
  }

  /** int64 as a number, saturated on both sides. */
  int64(): number {
    const pos = this.pos;
    if (pos < this.end) {
      const byte = this.buf[pos]!;
      if (byte < 0x80) {
        this.pos = pos + 1;
        return byte;
      }
    }
    const value = readLong(this);
    if (value <= MAX_SAFE) return value;
    const signed = (this.hi | 0) * TWO_32 + this.lo;
    return signed > MAX_SAFE
      ? MAX_SAFE
      : signed < -MAX_SAFE
      ? -MAX_SAFE
      : signed;
  }

  /** int32 or enum: the low 32 bits, as Go has it. */
  int32(): number {
    const pos = this.pos;
    if (pos < this.end) {
      const byte = this.buf[pos]!;
      if (byte < 0x80) {
        this.pos = pos + 1;
        return byte;
      }
    }
    readLong(this);
    return this.lo | 0;
  }

  /** uint32: the low 32 bits, as Go has it. */
  uint32(): number {
    return this.int32() >>> 0;
  }

  bool(): boolean {
    return this.uint64() !== 0;
  }

  /** A signed 64-bit id. */
  int64Id(): bigint {
    const pos = this.pos;
    if (pos < this.end && this.buf[pos] === 0) {
      this.pos = pos + 1;
      return 0n;
    }
    readLong(this);
    SCRATCH.setUint32(0, this.lo, true);
    SCRATCH.setUint32(4, this.hi, true);
    return SCRATCH.getBigInt64(0, true);
  }

  /** An unsigned 64-bit id. */
  uint64Id(): bigint {
    const pos = this.pos;
    if (pos < this.end && this.buf[pos] === 0) {
      this.pos = pos + 1;
      return 0n;
    }
    readLong(this);
    SCRATCH.setUint32(0, this.lo, true);
    SCRATCH.setUint32(4, this.hi, true);
    return SCRATCH.getBigUint64(0, true);
  }

  /** Reads a length and checks it; returns where the delimited bytes end. */
  stop(): number {
    const length = this.uint64();
    if (length > this.end - this.pos) {
      throw new WireError("length beyond the end of the message");
    }
    return this.pos + length;
  }

  /** A view of the delimited bytes. */
  bytes(): Uint8Array {
    const stop = this.stop();
    const pos = this.pos;
    if (stop === pos) return EMPTY;
    this.pos = stop;
    // Always a plain Uint8Array, also where `buf` is a node Buffer: call sites stay monomorphic.
    return new Uint8Array(this.#memory, this.#offset + pos, stop - pos);
  }

  string(): string {
    const bytes = this.bytes();
    if (bytes.length === 0) return "";
    try {
      return DECODER.decode(bytes);
    } catch (cause) {
      throw new WireError("string is not UTF-8", { cause });
    }
  }

  /** Narrows the reader to the delimited message that follows; returns what to give to `leave`. */
  enter(): number {
    if (++this.#depth > MAX_NESTING) {
      throw new WireError("messages nested too deep");
    }
    const outer = this.end;
    this.end = this.stop();
    return outer;
  }

  leave(outer: number): void {
    this.#depth--;
    this.end = outer;
  }

  /** Passes over a field that is unknown, or known with another wire type. */
  skip(tag: number): void {
    if (tag < 8) throw new WireError("field number 0");
    const type = tag & 7;
    if (type === VARINT) {
      readLong(this);
    } else if (type === DELIMITED) {
      this.pos = this.stop();
    } else if (type === FIXED64 || type === FIXED32) {
      const size = type === FIXED64 ? 8 : 4;
      if (size > this.end - this.pos) {
        throw new WireError("message ends inside a field");
      }
      this.pos += size;
    } else {
      throw new WireError("groups are not supported");
    }
  }
}

/**
 * Reads a varint of any length into `r.lo` and `r.hi`; returns it as a number, exact up to 2^53 and
 * rounded beyond.
 */
function readLong(r: Reader): number {
  const buf = r.buf;
  const end = r.end;
  let pos = r.pos;
  let low = 0; // bits 0..27
  let mid = 0; // bits 28..55
  let high = 0; // bits 56..63
  let byte = 0x80;
  for (let shift = 0; shift < 28 && byte >= 0x80; shift += 7) {
    if (pos >= end) throw new WireError("message ends inside a varint");
    byte = buf[pos++]!;
    low |= (byte & 0x7f) << shift;
  }
  for (let shift = 0; shift < 28 && byte >= 0x80; shift += 7) {
    if (pos >= end) throw new WireError("message ends inside a varint");
    byte = buf[pos++]!;
    mid |= (byte & 0x7f) << shift;
  }
  if (byte >= 0x80) {
    if (pos >= end) throw new WireError("message ends inside a varint");
    byte = buf[pos++]!;
    high = byte & 0x7f;
    if (byte >= 0x80) {
      if (pos >= end) throw new WireError("message ends inside a varint");
      byte = buf[pos++]!;
      if (byte > 1) throw new WireError("varint longer than 64 bits");
      high |= byte << 7;
    }
  }
  r.pos = pos;
  const lo = (low | (mid << 28)) >>> 0;
  const hi = ((mid >>> 4) | (high << 24)) >>> 0;
  r.lo = lo;
  r.hi = hi;
  return hi * TWO_32 + lo;
}

/** Bytes of a varint; `n` is an integer from 0 to below 2^63. */
export function sizeVarint(n: number): number {
  if (n < 0x80) return 1;
  if (n < 0x4000) return 2;
  if (n < 0x200000) return 3;
  if (n < 0x10000000) return 4;
  if (n < 0x800000000) return 5;
  if (n < 0x40000000000) return 6;
  if (n < 0x2000000000000) return 7;
  return n < 0x100000000000000 ? 8 : 9;
}

/** Bytes of an int64, int32 or enum: negative ones take ten. */
export function sizeInt64(n: number): number {
  return n < 0 ? 10 : sizeVarint(n);
}

/** Bytes of a 64-bit id, signed or not. */
export function sizeId(id: bigint): number {
  SCRATCH.setBigInt64(0, id, true);
  const lo = SCRATCH.getUint32(0, true);
  const hi = SCRATCH.getUint32(4, true);
  if (hi < 0x20000) return sizeVarint(hi * TWO_32 + lo);
  // From 2^49 on by the upper half alone: the number would be rounded.
  if (hi < 0x1000000) return 8;
  return hi < 0x80000000 ? 9 : 10;
}

/** Bytes of a delimited field behind its tag: the length, then so many bytes. */
export function sizeDelimited(length: number): number {
  return sizeVarint(length) + length;
}

/** Bytes of `text` in UTF-8; a lone surrogate counts as U+FFFD, which is what is written. */
export function utf8Length(text: string): number {
  const n = text.length;
  let size = n;
  for (let i = 0; i < n; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    if (unit < 0x800) {
      size++;
    } else if (unit >= 0xd800 && unit < 0xdc00 && isLowSurrogate(text, i + 1)) {
      size += 2;
      i++;
    } else {
      size += 2;
    }
  }
  return size;
}

function isLowSurrogate(text: string, i: number): boolean {
  if (i >= text.length) return false;
  const unit = text.charCodeAt(i);
  return unit >= 0xdc00 && unit < 0xe000;
}

/** Writes an integer from 0 to below 2^63; returns the position behind it. */
export function writeVarint(out: Uint8Array, at: number, n: number): number {
  while (n >= 0x10000000) {
    // Beyond 28 bits: take seven at a time without the 32-bit operators.
    const rest = Math.floor(n / 0x80);
    out[at++] = (n - rest * 0x80) | 0x80;
    n = rest;
  }
  while (n >= 0x80) {
    out[at++] = n | 0x80;
    n >>>= 7;
  }
  out[at++] = n;
  return at;
}

/** Writes an int64, int32 or enum. */
export function writeInt64(out: Uint8Array, at: number, n: number): number {
  if (n >= 0) return writeVarint(out, at, n);
  // Two's complement by halves: n = hi * 2^32 + lo, lo unsigned.
  const hi = Math.floor(n / TWO_32);
  return writeHalves(out, at, n - hi * TWO_32, hi >>> 0);
}

/** Writes a 64-bit id, signed or not. */
export function writeId(out: Uint8Array, at: number, id: bigint): number {
  SCRATCH.setBigInt64(0, id, true);
  return writeHalves(
    out,
    at,
    SCRATCH.getUint32(0, true),
    SCRATCH.getUint32(4, true),
  );
}

/** Writes the varint of two unsigned halves. */
function writeHalves(
  out: Uint8Array,
  at: number,
  lo: number,
  hi: number,
): number {
  while (hi !== 0) {
    out[at++] = lo | 0x80;
    lo = ((lo >>> 7) | (hi << 25)) >>> 0;
    hi >>>= 7;
  }
  while (lo >= 0x80) {
    out[at++] = lo | 0x80;
    lo >>>= 7;
  }
  out[at++] = lo;
  return at;
}

/** Writes length and bytes. */
export function writeBytes(
  out: Uint8Array,
  at: number,
  bytes: Uint8Array,
): number {
  const n = bytes.length;
  at = writeVarint(out, at, n);
  if (n < LOOP_COPY_BYTES) {
    for (let i = 0; i < n; i++) out[at + i] = bytes[i]!;
  } else {
    out.set(bytes, at);
  }
  return at + n;
}

/** Writes length and UTF-8; `size` is `utf8Length(text)`. */
export function writeString(out: Uint8Array, at: number, text: string): number {
  const size = utf8Length(text);
  at = writeVarint(out, at, size);
  if (size === text.length) {
    for (let i = 0; i < size; i++) out[at + i] = text.charCodeAt(i);
  } else {
    ENCODER.encodeInto(text, out.subarray(at, at + size));
  }
  return at + size;
}

/** Two encodings of one message type in a row are the encoding of both merged. */
export function mergeRaw(
  first: Uint8Array | undefined,
  second: Uint8Array,
): Uint8Array {
  if (first === undefined || first.length === 0) return second;
  const out = new Uint8Array(first.length + second.length);
  out.set(first);
  out.set(second, first.length);
  return out;
}
