import { assert } from "../base/assert.ts";

/**
 * The wire bytes of `mvccpb.KeyValue`, taken apart into columns and put together again.
 *
 * A driver that keeps records in columns needs both directions, and nothing more of Protocol Buffers.
 * Invariant: a record that was written in canonical form (fields in order, zeros left out) comes back
 * byte for byte.
 */
export class RecordColumns {
  /** The key is `[keyStart, keyEnd)` of the bytes that the record was read from. */
  keyStart = 0;
  keyEnd = 0;
  valueStart = 0;
  valueEnd = 0;
  createRev = 0;
  modRev = 0;
  version = 0;
  /** The lease's 64 bits as two unsigned halves: the common path never makes a `bigint`. */
  leaseHigh = 0;
  leaseLow = 0;

  #at = 0;

  /** The lease as a database parameter: a number where it is a safe integer, else a signed 64-bit `bigint`. */
  get lease(): number | bigint {
    if (this.leaseHigh < 0x200000) {
      return this.leaseHigh * 0x100000000 + this.leaseLow;
    }
    return BigInt.asIntN(
      64,
      (BigInt(this.leaseHigh) << 32n) | BigInt(this.leaseLow),
    );
  }

  /** Reads the record at `[start, end)`. Rows are written by ourselves, so anything unexpected is an assertion. */
  read(bytes: Uint8Array, start: number, end: number): void {
    assert(
      start >= 0 && start <= end && end <= bytes.length,
      "record out of range",
    );
    this.keyStart =
      this.keyEnd =
      this.valueStart =
      this.valueEnd =
        start;
    this.createRev =
      this.modRev =
      this.version =
      this.leaseHigh =
      this.leaseLow =
        0;
    this.#at = start;
    while (this.#at < end) {
      const tag = bytes[this.#at++]!;
      if (tag === KEY) {
        const n = this.#varint(bytes, end);
        this.keyStart = this.#at;
        this.keyEnd = this.#at += n;
      } else if (tag === VALUE) {
        const n = this.#varint(bytes, end);
        this.valueStart = this.#at;
        this.valueEnd = this.#at += n;
      } else if (tag === CREATE_REVISION) {
        this.createRev = this.#varint(bytes, end);
      } else if (tag === MOD_REVISION) this.modRev = this.#varint(bytes, end);
      else if (tag === VERSION) this.version = this.#varint(bytes, end);
      else if (tag === LEASE) this.#lease(bytes, end);
      else assert(false, "record holds an unknown field");
    }
    assert(this.#at === end, "record ends inside a field");
  }

  /** Bytes that `write` takes. */
  byteLength(deleted: boolean): number {
    const keyBytes = this.keyEnd - this.keyStart;
    let n = field(this.modRev);
    if (keyBytes > 0) n += 1 + varintBytes(keyBytes) + keyBytes;
    if (deleted) return n;
    const valueBytes = this.valueEnd - this.valueStart;
    if (valueBytes > 0) n += 1 + varintBytes(valueBytes) + valueBytes;
    n += field(this.createRev) + field(this.version);
    if (this.leaseHigh !== 0) n += 1 + highBytes(this.leaseHigh);
    else n += field(this.leaseLow);
    return n;
  }

  /** Writes the record into `out` at `at`, key and value taken from `source`; a tombstone has key and revision only. */
  write(
    out: Uint8Array,
    at: number,
    from: { source: Uint8Array; deleted: boolean },
  ): number {
    const source = from.source;
    if (this.keyEnd > this.keyStart) {
      out[at++] = KEY;
      at = putVarint(out, at, this.keyEnd - this.keyStart);
      at = copy(out, at, source, this.keyStart, this.keyEnd);
    }
    if (!from.deleted) at = putField(out, at, CREATE_REVISION, this.createRev);
    at = putField(out, at, MOD_REVISION, this.modRev);
    if (from.deleted) return at;
    at = putField(out, at, VERSION, this.version);
    if (this.valueEnd > this.valueStart) {
      out[at++] = VALUE;
      at = putVarint(out, at, this.valueEnd - this.valueStart);
      at = copy(out, at, source, this.valueStart, this.valueEnd);
    }
    if (this.leaseHigh !== 0) {
      out[at++] = LEASE;
      return putHalves(out, at, this.leaseHigh, this.leaseLow);
    }
    return putField(out, at, LEASE, this.leaseLow);
  }

  /** A varint below 2^53. */
  #varint(bytes: Uint8Array, end: number): number {
    let at = this.#at;
    let value = 0;
    let scale = 1;
    for (;;) {
      assert(at < end, "record ends inside a number");
      const b = bytes[at++]!;
      value += (b & 0x7f) * scale;
      if (b < 0x80) break;
      scale *= 128;
      assert(at - this.#at < 8, "number is not a safe integer");
    }
    assert(value <= Number.MAX_SAFE_INTEGER, "number is not a safe integer");
    this.#at = at;
    return value;
  }

  /** A varint of up to 64 bits, as two halves. */
  #lease(bytes: Uint8Array, end: number): void {
    let low = 0;
    let high = 0;
    for (let shift = 0;; shift += 7) {
      assert(this.#at < end && shift < 70, "record ends inside a number");
      const b = bytes[this.#at++]!;
      const bits = b & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (shift - 32);
      if (b < 0x80) break;
    }
    this.leaseLow = low >>> 0;
    this.leaseHigh = high >>> 0;
  }
}

const KEY = 0x0a;
const CREATE_REVISION = 0x10;
const MOD_REVISION = 0x18;
const VERSION = 0x20;
const VALUE = 0x2a;
const LEASE = 0x30;

/** Below this a loop beats the call into `TypedArray.set`. */
const SHORT_COPY_BYTES = 24;

function copy(
  out: Uint8Array,
  at: number,
  source: Uint8Array,
  start: number,
  end: number,
): number {
  if (end - start > SHORT_COPY_BYTES) {
    out.set(source.subarray(start, end), at);
    return at + end - start;
  }
  while (start < end) out[at++] = source[start++]!;
  return at;
}

function varintBytes(value: number): number {
  let n = 1;
  while (value >= 128) {
    value = Math.floor(value / 128);
    n++;
  }
  return n;
}

/** Bytes of a field with this number, none for zero. */
function field(value: number): number {
  return value === 0 ? 0 : 1 + varintBytes(value);
}

/** Bytes of a varint whose upper half is `high`, which is not zero. */
function highBytes(high: number): number {
  return Math.ceil((64 - Math.clz32(high)) / 7);
}

function putVarint(out: Uint8Array, at: number, value: number): number {
  while (value > 0x7fffffff) {
    out[at++] = (value % 128) | 0x80;
    value = Math.floor(value / 128);
  }
  while (value >= 128) {
    out[at++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  out[at++] = value;
  return at;
}

function putField(
  out: Uint8Array,
  at: number,
  tag: number,
  value: number,
): number {
  if (value === 0) return at;
  out[at++] = tag;
  return putVarint(out, at, value);
}

function putHalves(
  out: Uint8Array,
  at: number,
  high: number,
  low: number,
): number {
  for (let i = 0; i < 4; i++) {
    out[at++] = (low & 0x7f) | 0x80;
    low >>>= 7;
  }
  // 28 bits are written; the low half's last four lead into the high half.
  const middle = low | ((high & 0x7) << 4);
  let rest = high >>> 3;
  out[at++] = rest === 0 ? middle : middle | 0x80;
  while (rest !== 0) {
    const bits = rest & 0x7f;
    rest >>>= 7;
    out[at++] = rest === 0 ? bits : bits | 0x80;
  }
  return at;
}
