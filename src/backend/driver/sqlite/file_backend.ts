import {
  type AppendOutcome,
  type Backend,
  BackendError,
  type Batch,
  type Head,
  type LoadSink,
  type RowId,
  type SizeInfo,
  type Snapshot,
} from "../../backend.ts";
import { RecordColumns } from "../../record.ts";
import { RowBlockWriter } from "../../row_block_writer.ts";
import { StateKind } from "../../state_change.ts";
import { RowScan } from "./row_scan.ts";
import { SELECT_ROW } from "./sql.ts";
import { prepare, type Statement } from "./statement.ts";
import type { StoreFile } from "./store_file.ts";

/** Bytes of a block that `load` hands over. */
const LOAD_BLOCK_BYTES = 512 * 1024;

type StoredRow = [
  bytes: Uint8Array,
  keyBytes: number,
  createRev: number,
  version: number,
  leaseHigh: number,
  leaseLow: number,
  deleted: number,
];

/**
 * A `StoreFile` as a backend that can be read and not written: a store loads from it as a server's would.
 * Works in the calling thread. Closing it leaves the file open: it is its owner's.
 */
export class FileBackend implements Backend {
  readonly name = "sqlite";
  readonly isExclusive = true;
  readonly #file: StoreFile;
  readonly #row: Statement<StoredRow>;

  constructor(file: StoreFile) {
    this.#file = file;
    this.#row = prepare<StoredRow>(file.db, SELECT_ROW);
  }

  open(): Promise<Head> {
    return this.head();
  }

  // deno-lint-ignore require-await
  async load(sink: LoadSink): Promise<Head> {
    for (const kind of Object.values(StateKind)) {
      for (const { key, value } of this.#file.state(kind)) {
        sink.state({ kind, key, value });
      }
    }
    const scan = new RowScan(this.#file.db);
    const cursor = { rev: 0, sub: -1 };
    const out = new RowBlockWriter({ expectedBytes: 2 * LOAD_BLOCK_BYTES });
    for (;;) {
      const slice = scan.next(cursor, Number.MAX_SAFE_INTEGER);
      if (slice !== undefined) {
        scan.write(slice, out, { cursor, maxBytes: Infinity });
      }
      const isFull = out.byteLength >= LOAD_BLOCK_BYTES;
      if (out.byteLength > 0 && (slice === undefined || isFull)) {
        sink.rows(out.take());
      }
      if (slice === undefined) return this.#file.head();
    }
  }

  // deno-lint-ignore require-await
  async head(): Promise<Head> {
    return this.#file.head();
  }

  // deno-lint-ignore require-await
  async valuesOf(
    rows: readonly RowId[],
  ): Promise<(Uint8Array | undefined)[]> {
    return rows.map((row) => this.recordOf(row));
  }

  /** The KeyValue record of a row; undefined if there is no such row. */
  recordOf({ rev, sub }: RowId): Uint8Array | undefined {
    const row = this.#row.get(rev, sub);
    if (row === undefined) return undefined;
    const [source, keyBytes, createRev, version, leaseHigh, leaseLow, deleted] =
      row;
    const columns = new RecordColumns();
    columns.keyStart = 0;
    columns.keyEnd = columns.valueStart = keyBytes;
    columns.valueEnd = source.length;
    columns.modRev = rev;
    columns.createRev = createRev;
    columns.version = version;
    columns.leaseHigh = leaseHigh >>> 0;
    columns.leaseLow = leaseLow;
    const isDeleted = deleted !== 0;
    const record = new Uint8Array(columns.byteLength(isDeleted));
    columns.write(record, 0, { source, deleted: isDeleted });
    return record;
  }

  append(_batch: Batch): Promise<AppendOutcome> {
    return refuse("append");
  }

  batchIdAt(_seq: number): Promise<Uint8Array | undefined> {
    return refuse("look for a batch");
  }

  batchesAfter(_seq: number, _limit: number): Promise<Batch[]> {
    return refuse("read batches");
  }

  eventsAfter(_rev: number, _maxBytes: number): Promise<Uint8Array> {
    return refuse("read events");
  }

  remove(_rows: readonly RowId[]): Promise<void> {
    return refuse("remove rows");
  }

  trimBatches(_belowSeq: number): Promise<void> {
    return refuse("forget batches");
  }

  watchCommits(_onCommit: (seq: number) => void): () => void {
    return () => {};
  }

  snapshot(): Promise<Snapshot> {
    return refuse("make a snapshot");
  }

  // deno-lint-ignore require-await
  async size(): Promise<SizeInfo> {
    const { size } = Deno.statSync(this.#file.path);
    return { totalBytes: size, inUseBytes: size };
  }

  defragment(): Promise<void> {
    return refuse("defragment");
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function refuse(action: string): Promise<never> {
  return Promise.reject(
    new BackendError(`Cannot ${action}: the store is open for reading only`),
  );
}
