import type { RecordColumns } from "./record.ts";
import { ROW_HEADER_BYTES, writeRowHeader } from "./row_block.ts";

/** What a block starts with; it doubles from there as rows arrive. */
const FIRST_BYTES = 64 * 1024;

/** Builds a row block (see `row_block.ts`) from columns. Grows with what is written into it. */
export class RowBlockWriter {
  readonly #firstBytes: number;
  #bytes = new Uint8Array(0);
  #at = 0;

  /** `expectedBytes`: what a block will hold; it then does not grow step by step. */
  constructor(options: { expectedBytes?: number } = {}) {
    this.#firstBytes = options.expectedBytes ?? FIRST_BYTES;
  }

  get byteLength(): number {
    return this.#at;
  }

  /** What was written from `start` on; valid until more is. */
  from(start: number): Uint8Array {
    return this.#bytes.subarray(start, this.#at);
  }

  /** Adds a row whose key and value are ranges of `source`. */
  add(
    columns: RecordColumns,
    row: { source: Uint8Array; sub: number; deleted: boolean },
  ): void {
    const recordBytes = columns.byteLength(row.deleted);
    this.#room(ROW_HEADER_BYTES + recordBytes);
    const at = writeRowHeader(this.#bytes, this.#at, {
      recordBytes,
      sub: row.sub,
      deleted: row.deleted,
    });
    this.#at = columns.write(this.#bytes, at, row);
  }

  /** Adds only the record, without a row header; returns its length. */
  addRecord(
    columns: RecordColumns,
    row: { source: Uint8Array; deleted: boolean },
  ): number {
    const recordBytes = columns.byteLength(row.deleted);
    this.#room(recordBytes);
    this.#at = columns.write(this.#bytes, this.#at, row);
    return recordBytes;
  }

  /** Hands out what was written, in a buffer of its own, and starts afresh. */
  take(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.#bytes.buffer.transfer(this.#at));
    this.#bytes = new Uint8Array(0);
    this.#at = 0;
    return bytes;
  }

  #room(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= this.#bytes.length) return;
    const size = Math.max(
      needed,
      this.#bytes.length * 2,
      this.#firstBytes,
    );
    this.#bytes = new Uint8Array(this.#bytes.buffer.transfer(size));
  }
}
