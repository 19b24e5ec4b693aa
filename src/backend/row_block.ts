import { assert } from "../base/assert.ts";

/**
 * A row block is a run of rows, each one change of a key:
 *
 *   u32 length of the record, little-endian
 *   u32 sub-revision, little-endian; the top bit is set for a tombstone
 *   the record: wire bytes of `mvccpb.KeyValue` (key, create_revision, mod_revision, version, value, lease);
 *   a tombstone's holds only key and mod_revision
 *
 * One layout serves the write path, the worker messages, start-up and catch-up.
 */
export const ROW_HEADER_BYTES = 8;

/** The largest sub-revision: the top bit of its field marks tombstones. */
export const MAX_SUB = 0x7fffffff;

/** Writes a row's header at `at`; the record goes behind it. */
export function writeRowHeader(
  out: Uint8Array,
  at: number,
  row: { recordBytes: number; sub: number; deleted: boolean },
): number {
  assert(row.sub <= MAX_SUB, "sub-revision out of range");
  let at_ = at;
  const n = row.recordBytes;
  out[at_++] = n;
  out[at_++] = n >>> 8;
  out[at_++] = n >>> 16;
  out[at_++] = n >>> 24;
  const sub = row.sub;
  out[at_++] = sub;
  out[at_++] = sub >>> 8;
  out[at_++] = sub >>> 16;
  out[at_++] = (sub >>> 24) | (row.deleted ? 0x80 : 0);
  return at_;
}

/** Steps through a row block without copying. */
export class RowReader {
  #at = 0;
  /** The record of the current row is `block[recordStart, recordEnd)`. */
  recordStart = 0;
  recordEnd = 0;
  sub = 0;
  deleted = false;

  constructor(readonly block: Uint8Array) {}

  /** Moves to the next row; false at the end. */
  next(): boolean {
    const b = this.block;
    const at = this.#at;
    if (at === b.length) return false;
    assert(at + ROW_HEADER_BYTES <= b.length, "row block ends inside a header");
    const size =
      (b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24)) >>>
      0;
    const top = b[at + 7]!;
    this.sub = b[at + 4]! | (b[at + 5]! << 8) | (b[at + 6]! << 16) |
      ((top & 0x7f) << 24);
    this.deleted = (top & 0x80) !== 0;
    this.recordStart = at + ROW_HEADER_BYTES;
    this.recordEnd = this.recordStart + size;
    assert(this.recordEnd <= b.length, "row block ends inside a record");
    this.#at = this.recordEnd;
    return true;
  }
}
