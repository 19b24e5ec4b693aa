import { assert } from "../../../../base/assert.ts";
import { BackendError } from "../../../backend.ts";
import { int4 } from "./message_reader.ts";
import { putInt4 } from "./message_writer.ts";

/**
 * Values in PostgreSQL's binary formats: numbers are big-endian, bytes and texts are as they are, and an array of one
 * dimension is
 *
 *   i32 1, i32 0 (no nulls), i32 type of the elements, i32 how many, i32 1 (the first index), then i32 length and
 *   bytes of each
 */
export type Value = Uint8Array;

/** A row of a result; null is SQL's. */
export type Row = readonly (Uint8Array | null)[];

/** Types by their number in the catalogue, which never changes. */
export const Type = {
  Boolean: 16,
  Bytea: 17,
  Bigint: 20,
  Smallint: 21,
  Integer: 23,
} as const;

export function smallint(value: number): Value {
  return new Uint8Array([value >>> 8, value]);
}

export function integer(value: number): Value {
  const out = new Uint8Array(4);
  putInt4(out, 0, value);
  return out;
}

/** A safe integer. */
export function bigint(value: number): Value {
  const out = new Uint8Array(8);
  putBigint(out, 0, value);
  return out;
}

/** All 64 bits, signed. */
export function int8(value: bigint): Value {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigInt64(0, value);
  return out;
}

export function text(value: string): Value {
  return new TextEncoder().encode(value);
}

/** Builds an array. The number of elements is known, their bytes need not be. */
export class ArrayWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #at = ARRAY_HEADER_BYTES;

  constructor(type: number, count: number, expectedBytes: number) {
    const size = ARRAY_HEADER_BYTES + 4 * count + expectedBytes;
    const bytes = new Uint8Array(size);
    putInt4(bytes, 0, count === 0 ? 0 : 1);
    putInt4(bytes, 8, type);
    putInt4(bytes, 12, count);
    putInt4(bytes, 16, 1);
    this.#bytes = bytes;
    if (count === 0) this.#at = EMPTY_ARRAY_BYTES;
  }

  boolean(value: boolean): void {
    this.#element(1);
    this.#bytes[this.#at++] = value ? 1 : 0;
  }

  smallint(value: number): void {
    this.#element(2);
    this.#bytes[this.#at++] = value >>> 8;
    this.#bytes[this.#at++] = value;
  }

  integer(value: number): void {
    this.#element(4);
    putInt4(this.#bytes, this.#at, value);
    this.#at += 4;
  }

  /** A safe integer. */
  bigint(value: number): void {
    this.#element(8);
    putBigint(this.#bytes, this.#at, value);
    this.#at += 8;
  }

  /** 64 bits as two halves. */
  halves(high: number, low: number): void {
    this.#element(8);
    putInt4(this.#bytes, this.#at, high);
    putInt4(this.#bytes, this.#at + 4, low);
    this.#at += 8;
  }

  bytea(source: Uint8Array, start = 0, end = source.length): void {
    this.#element(end - start);
    this.#bytes.set(source.subarray(start, end), this.#at);
    this.#at += end - start;
  }

  take(): Value {
    return this.#bytes.subarray(0, this.#at);
  }

  #element(length: number): void {
    const needed = this.#at + 4 + length;
    if (needed > this.#bytes.length) {
      const size = Math.max(needed, this.#bytes.length * 2);
      this.#bytes = new Uint8Array(this.#bytes.buffer.transfer(size));
    }
    putInt4(this.#bytes, this.#at, length);
    this.#at += 4;
  }
}

/** The bytes of a column; a view. */
export function bytesIn(row: Row, column: number): Uint8Array {
  const cell = row[column];
  if (cell instanceof Uint8Array) return cell;
  throw unreadable("a column is null or missing");
}

/** An integer of whatever width the column has; null is 0. */
export function numberIn(row: Row, column: number): number {
  if (row[column] === null) return 0;
  const cell = bytesIn(row, column);
  switch (cell.length) {
    case 8: {
      const value = int4(cell, 0) * 2 ** 32 + (int4(cell, 4) >>> 0);
      if (Number.isSafeInteger(value)) return value;
      throw unreadable("a number is too large");
    }
    case 4:
      return int4(cell, 0);
    case 2:
      return (cell[0]! << 24 >> 16) | cell[1]!;
    default:
      throw unreadable("a column is not a number");
  }
}

/** 64 bits, signed, in decimal. */
export function decimalIn(row: Row, column: number): string {
  const cell = bytesIn(row, column);
  if (cell.length !== 8) throw unreadable("a column is not a bigint");
  const high = int4(cell, 0);
  const low = int4(cell, 4) >>> 0;
  return high === 0 ? String(low) : String((BigInt(high) << 32n) | BigInt(low));
}

export function booleanIn(row: Row, column: number): boolean {
  return bytesIn(row, column)[0] === 1;
}

/** Null is the empty text. */
export function textIn(row: Row, column: number): string {
  return row[column] === null ? "" : UTF8.decode(bytesIn(row, column));
}

const ARRAY_HEADER_BYTES = 20;
/** No dimension, so that its length and first index are left out. */
const EMPTY_ARRAY_BYTES = 12;
const UTF8 = new TextDecoder();

function putBigint(out: Uint8Array, at: number, value: number): void {
  assert(Number.isSafeInteger(value), "number is not a safe integer");
  putInt4(out, at, Math.floor(value / 2 ** 32));
  putInt4(out, at + 4, value);
}

function unreadable(why: string): BackendError {
  return new BackendError(`Cannot read a row: ${why}`, { kind: "corrupt" });
}
