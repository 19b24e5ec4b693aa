import { assert } from "../../../base/assert.ts";
import { BackendError } from "../../backend.ts";
import { RecordColumns } from "../../record.ts";
import { MAX_SUB } from "../../row_block.ts";
import { RowBlockWriter } from "../../row_block_writer.ts";
import type { StoredRow } from "./dialect.ts";

/** Turns rows as a database server keeps them into row blocks and records. */
export class RowOutput {
  readonly #columns = new RecordColumns();
  readonly #block: RowBlockWriter;

  constructor(options: { expectedBytes?: number } = {}) {
    this.#block = new RowBlockWriter(options);
  }

  get byteLength(): number {
    return this.#block.byteLength;
  }

  add(row: StoredRow): void {
    this.#set(row);
    const { bytes: source, sub, deleted } = row;
    this.#block.add(this.#columns, { source, sub, deleted });
  }

  /** Adds only the record; returns its length. */
  addRecord(row: StoredRow): number {
    this.#set(row);
    const { bytes: source, deleted } = row;
    return this.#block.addRecord(this.#columns, { source, deleted });
  }

  /** What was added, in a buffer of its own; starts afresh. */
  take(): Uint8Array<ArrayBuffer> {
    return this.#block.take();
  }

  #set(row: StoredRow): void {
    const columns = this.#columns;
    const { rev, sub, bytes, keyBytes, createRev, version, lease } = row;
    if (
      !isNumber(rev) || !isNumber(createRev) || !isNumber(version) ||
      !isNumber(sub) || sub > MAX_SUB || keyBytes > bytes.length
    ) {
      throw new BackendError(`Cannot read row ${rev}/${sub}: it is damaged`, {
        kind: "corrupt",
      });
    }
    columns.keyStart = 0;
    columns.keyEnd = columns.valueStart = keyBytes;
    columns.valueEnd = bytes.length;
    columns.modRev = rev;
    columns.createRev = createRev;
    columns.version = version;
    if (lease === "0") columns.leaseHigh = columns.leaseLow = 0;
    else {
      const bits = BigInt.asUintN(64, BigInt(lease));
      columns.leaseHigh = Number(bits >> 32n);
      columns.leaseLow = Number(bits & 0xffffffffn);
    }
  }
}

/** A lease's two halves as signed 64 bits in decimal. */
export function leaseText(columns: RecordColumns): string {
  return columns.lease.toString();
}

/** For SQL that is made of numbers: a safe integer in decimal. */
export function decimal(value: number): string {
  assert(Number.isSafeInteger(value), "number is not a safe integer");
  return String(value);
}

function isNumber(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
