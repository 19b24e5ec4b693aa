import { RecordColumns } from "../../record.ts";
import { RowReader } from "../../row_block.ts";
import { type NewBatch, ROW_OVERHEAD_BYTES } from "../remote/dialect.ts";
import { stateId } from "../remote/state_id.ts";
import { ArrayWriter, bigint, Type, type Value } from "./wire/binary.ts";

/** Parameters of `insertBatch`, or with its state of `insertBatchWithState`. */
export function batchParameters(batch: NewBatch): Value[] {
  const rows = new RowArrays(batch.rows);
  const parameters = [
    bigint(batch.seq),
    batch.id,
    bigint(batch.firstRev),
    bigint(batch.lastRev),
    bigint(batch.timeMs),
    batch.ops,
    bigint(rows.addedBytes),
    ...rows.take(),
    batch.previousId ?? new Uint8Array(0),
  ];
  if (batch.state.length > 0) parameters.push(...stateParameters(batch));
  return parameters;
}

/** The rows of a block as one array for each column. */
class RowArrays {
  /** As `total_bytes` counts. */
  addedBytes = 0;
  readonly #rev: ArrayWriter;
  readonly #sub: ArrayWriter;
  readonly #key: ArrayWriter;
  readonly #value: ArrayWriter;
  readonly #createRev: ArrayWriter;
  readonly #version: ArrayWriter;
  readonly #lease: ArrayWriter;
  readonly #deleted: ArrayWriter;

  constructor(block: Uint8Array) {
    const count = countRows(block);
    const bigints = () => new ArrayWriter(Type.Bigint, count, 8 * count);
    this.#rev = bigints();
    this.#sub = new ArrayWriter(Type.Integer, count, 4 * count);
    this.#key = new ArrayWriter(Type.Bytea, count, USUAL_KEY_BYTES * count);
    this.#value = new ArrayWriter(Type.Bytea, count, block.length);
    this.#createRev = bigints();
    this.#version = bigints();
    this.#lease = bigints();
    this.#deleted = new ArrayWriter(Type.Boolean, count, count);
    const columns = new RecordColumns();
    const reader = new RowReader(block);
    while (reader.next()) {
      columns.read(block, reader.recordStart, reader.recordEnd);
      this.#add(columns, reader);
    }
  }

  /** In the order of the statement. */
  take(): Value[] {
    return [
      this.#rev,
      this.#sub,
      this.#key,
      this.#value,
      this.#createRev,
      this.#version,
      this.#lease,
      this.#deleted,
    ].map((array) => array.take());
  }

  #add(columns: RecordColumns, reader: RowReader): void {
    const { keyStart, keyEnd, valueStart, valueEnd } = columns;
    this.#rev.bigint(columns.modRev);
    this.#sub.integer(reader.sub);
    this.#key.bytea(reader.block, keyStart, keyEnd);
    this.#value.bytea(reader.block, valueStart, valueEnd);
    this.#createRev.bigint(columns.createRev);
    this.#version.bigint(columns.version);
    this.#lease.halves(columns.leaseHigh, columns.leaseLow);
    this.#deleted.boolean(reader.deleted);
    this.addedBytes += keyEnd - keyStart + valueEnd - valueStart +
      ROW_OVERHEAD_BYTES;
  }
}

const USUAL_KEY_BYTES = 64;

function countRows(block: Uint8Array): number {
  const reader = new RowReader(block);
  let count = 0;
  while (reader.next()) count++;
  return count;
}

function stateParameters({ state }: NewBatch): Value[] {
  const set = state.filter(({ value }) => value !== undefined);
  const removed = state.filter(({ value }) => value === undefined);
  return [
    smallints(set.map(({ kind }) => kind)),
    byteas(set.map(({ key }) => stateId(key))),
    byteas(set.map(({ key }) => key)),
    byteas(set.map(({ value }) => value!)),
    smallints(removed.map(({ kind }) => kind)),
    byteas(removed.map(({ key }) => stateId(key))),
  ];
}

function smallints(values: readonly number[]): Value {
  const { length } = values;
  const array = new ArrayWriter(Type.Smallint, length, 2 * length);
  for (const value of values) array.smallint(value);
  return array.take();
}

function byteas(values: readonly Uint8Array[]): Value {
  const bytes = values.reduce((sum, { length }) => sum + length, 0);
  const array = new ArrayWriter(Type.Bytea, values.length, bytes);
  for (const value of values) array.bytea(value);
  return array.take();
}
