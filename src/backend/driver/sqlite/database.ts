import { DatabaseSync } from "node:sqlite";
import { assert } from "../../../base/assert.ts";
import { equalBytes } from "../../../base/bytes.ts";
import {
  type AppendOutcome,
  BackendError,
  type Head,
  type SizeInfo,
} from "../../backend.ts";
import { RecordColumns } from "../../record.ts";
import { RowReader } from "../../row_block.ts";
import { RowBlockWriter } from "../../row_block_writer.ts";
import { SCHEMA_VERSION_KEY } from "../../schema_version.ts";
import { decodeState, encodeState } from "../../state_codec.ts";
import { type StateChange, StateKind } from "../../state_change.ts";
import type { DataDir } from "./data_dir.ts";
import { type Job, Step } from "./job.ts";
import type { SlotBatch } from "./mailbox.ts";
import {
  type BatchAnswer,
  type DatabaseOptions,
  MISSING,
  type ValuesAnswer,
} from "./protocol.ts";
import { RowScan } from "./row_scan.ts";
import { configure, createOrCheckSchema } from "./schema.ts";
import { ROW_COLUMNS, ROWS_PER_INSERT, VACUUM_PAGES } from "./sql.ts";
import {
  isFatal,
  isSqliteError,
  SQLITE_CONSTRAINT_PRIMARYKEY,
} from "./sqlite_error.ts";
import { prepareStatements, type Statements } from "./statements.ts";
import type { Parameter } from "./statement.ts";
import { WalBudget } from "./wal_budget.ts";

/**
 * The database file, synchronous, inside the worker.
 *
 * What is quick is a method; what may take long is a `Job`, and no transaction is ever open between two of
 * its slices. Holds the only connection that writes.
 * Invariant: `head` is the last committed batch. After a failed sync or in a corrupt file nothing is written
 * any more until the store is opened again.
 */
export class Database {
  readonly #db: DatabaseSync;
  readonly #dir: DataDir;
  readonly #scan: RowScan;
  readonly #wal = new WalBudget();
  readonly #columns = new RecordColumns();
  readonly #statements: Statements;
  /** Parameters of `INSERT_ROWS`, filled anew for each statement. */
  readonly #parameters: Parameter[] = [];
  #head: Head;
  #broken: BackendError | undefined;

  private constructor(db: DatabaseSync, dir: DataDir) {
    this.#db = db;
    this.#dir = dir;
    this.#scan = new RowScan(db);
    this.#statements = prepareStatements(db);
    const row = this.#statements.head.get();
    this.#head = row === undefined
      ? { seq: 0, revision: 1 }
      : { seq: row[0], revision: row[1] };
  }

  /** Opens the file, recovers it, and creates the tables if it is new. */
  static open(dir: DataDir, options: DatabaseOptions): Database {
    const db = new DatabaseSync(dir.databasePath);
    try {
      configure(db, options);
      createOrCheckSchema(db, dir.path);
      return new Database(db, dir);
    } catch (error) {
      db.close();
      throw error;
    }
  }

  get head(): Head {
    return this.#head;
  }

  /** Makes the batch durable if it is the next one. */
  append(batch: SlotBatch): AppendOutcome {
    if (this.#broken !== undefined) throw this.#broken;
    if (batch.seq <= this.#head.seq) return this.#settle(batch);
    if (batch.seq !== this.#head.seq + 1) {
      throw new BackendError(
        `Cannot append batch ${batch.seq}: the log ends at ${this.#head.seq}`,
      );
    }
    const s = this.#statements;
    try {
      s.begin.run();
      s.insertBatch.run(
        batch.seq,
        batch.id,
        batch.firstRev,
        batch.lastRev,
        batch.timeMs,
        batch.ops,
      );
      this.#insertRows(batch);
      if (batch.ops.length > 0) this.#applyState(decodeState(batch.ops));
      s.commit.run();
    } catch (error) {
      this.#rollback();
      if (
        isSqliteError(error) && error.errcode === SQLITE_CONSTRAINT_PRIMARYKEY
      ) {
        const id = this.batchIdAt(batch.seq);
        if (id !== undefined) {
          return equalBytes(id, batch.id) ? "committed" : "conflict";
        }
      }
      this.#noteFatal(error);
      throw error;
    }
    this.#head = { seq: batch.seq, revision: batch.lastRev };
    this.#wal.appended(batch.rows.length + batch.ops.length);
    return "committed";
  }

  batchIdAt(seq: number): Uint8Array | undefined {
    const row = this.#statements.batchId.get(seq);
    return row?.[0];
  }

  /** Streams all state, then all rows, into `sink`, which says whether it can take more. */
  *load(sink: LoadWindow): Job<void> {
    for (const kind of Object.values(StateKind)) {
      let after: Uint8Array | string = "";
      for (;;) {
        const rows = this.#statements.state[kind].after.all(
          after,
          STATE_SLICE_ROWS,
        );
        if (rows.length === 0) break;
        const changes: StateChange[] = [];
        for (const [key, value] of rows) {
          after = key;
          if (kind === StateKind.Meta && equalBytes(key, SCHEMA_VERSION_KEY)) {
            continue;
          }
          changes.push({ kind, key, value });
        }
        if (changes.length > 0) sink.state(encodeState(changes));
        yield Step.More;
        while (!sink.hasRoom) yield Step.Waiting;
      }
    }
    const cursor = { rev: 0, sub: -1 };
    const out = new RowBlockWriter({
      expectedBytes: LOAD_BLOCK_BYTES + LOAD_SLICE_BYTES,
    });
    for (;;) {
      const slice = this.#scan.next(cursor, Number.MAX_SAFE_INTEGER);
      if (slice !== undefined) {
        this.#scan.write(slice, out, { cursor, maxBytes: Infinity });
      }
      if (
        out.byteLength > 0 &&
        (slice === undefined || out.byteLength >= LOAD_BLOCK_BYTES)
      ) {
        sink.rows(out.take());
      }
      if (slice === undefined) return;
      yield Step.More;
      while (!sink.hasRoom) yield Step.Waiting;
    }
  }

  *eventsAfter(rev: number, maxBytes: number): Job<Uint8Array<ArrayBuffer>> {
    const out = new RowBlockWriter();
    const cursor = { rev, sub: MAX_SUB_INTEGER };
    for (;;) {
      const slice = this.#scan.next(cursor, Number.MAX_SAFE_INTEGER);
      if (
        slice === undefined ||
        this.#scan.write(slice, out, { cursor, maxBytes })
      ) {
        return out.take();
      }
      yield Step.More;
    }
  }

  *batchesAfter(seq: number, limit: number): Job<BatchAnswer[]> {
    const found = this.#statements.batchesAfter.all(
      seq,
      limit,
    );
    const batches: BatchAnswer[] = [];
    for (const [seq, id, firstRev, lastRev, timeMs, ops] of found) {
      const out = new RowBlockWriter();
      const cursor = { rev: firstRev, sub: -1 };
      for (;;) {
        const slice = this.#scan.next(cursor, lastRev);
        if (slice === undefined) break;
        this.#scan.write(slice, out, { cursor, maxBytes: Infinity });
        yield Step.More;
      }
      batches.push({
        seq,
        id,
        firstRev,
        lastRev,
        timeMs,
        rows: out.take(),
        ops,
      });
    }
    return batches;
  }

  /** `rows` are pairs of revision and sub-revision. */
  *valuesOf(rows: Float64Array): Job<ValuesAnswer> {
    const sizes = new Uint32Array(rows.length / 2);
    const out = new RowBlockWriter();
    const columns = this.#columns;
    let sliceEnd = SLICE_BYTES;
    for (let i = 0; i < sizes.length; i++) {
      if (out.byteLength >= sliceEnd || (i > 0 && i % SLICE_ROWS === 0)) {
        yield Step.More;
        sliceEnd = out.byteLength + SLICE_BYTES;
      }
      const rev = rows[2 * i]!;
      const row = this.#statements.row.get(rev, rows[2 * i + 1]!);
      if (row === undefined) {
        sizes[i] = MISSING;
        continue;
      }
      columns.keyStart = 0;
      columns.keyEnd = columns.valueStart = row[1];
      columns.valueEnd = row[0].length;
      columns.modRev = rev;
      columns.createRev = row[2];
      columns.version = row[3];
      columns.leaseHigh = row[4] >>> 0;
      columns.leaseLow = row[5];
      sizes[i] = out.addRecord(columns, {
        source: row[0],
        deleted: row[6] !== 0,
      });
    }
    return { bytes: out.take(), sizes };
  }

  /** `rows` are pairs of revision and sub-revision. One transaction for each `REMOVE_SLICE_ROWS` of them. */
  *remove(rows: Float64Array): Job<void> {
    for (let from = 0; from < rows.length; from += 2 * REMOVE_SLICE_ROWS) {
      if (from > 0) yield Step.More;
      const end = Math.min(rows.length, from + 2 * REMOVE_SLICE_ROWS);
      this.#transaction(() => {
        for (let i = from; i < end; i += 2) {
          this.#statements.deleteRow.run(rows[i]!, rows[i + 1]!);
        }
      });
      this.#wal.changed((end - from) / 2);
    }
  }

  /** Keeps the last batch in any case: it says where the log ends. */
  *trimBatches(belowSeq: number): Job<void> {
    const end = Math.min(belowSeq, this.#head.seq);
    for (;;) {
      const [first] = this.#statements.firstSeq.get()!;
      if (first === null || first >= end) return;
      this.#transaction(() => {
        this.#statements.deleteBatches.run(
          Math.min(end, first + TRIM_SLICE_BATCHES),
        );
      });
      this.#wal.changed(TRIM_SLICE_PAGES);
      yield Step.More;
    }
  }

  /** Moves pages from the end of the file into free ones and cuts it off there, a few at a time. */
  *defragment(): Job<void> {
    for (
      let left = this.#pragma("freelist_count");
      left > 0;
      left -= VACUUM_PAGES
    ) {
      this.#transaction(() => void this.#statements.vacuum.all());
      this.#wal.changed(VACUUM_PAGES);
      yield Step.More;
      if (this.#wal.due) this.checkpoint();
    }
    this.#truncateWal();
  }

  size(): SizeInfo {
    const pages = this.#pragma("page_count");
    const free = this.#pragma("freelist_count");
    const pageBytes = this.#pragma("page_size");
    return {
      totalBytes: pages * pageBytes + this.#dir.walBytes(),
      inUseBytes: (pages - free) * pageBytes,
    };
  }

  get checkpointDue(): boolean {
    return this.#wal.due && this.#broken === undefined;
  }

  get checkpointOverdue(): boolean {
    return this.#wal.overdue && this.#broken === undefined;
  }

  /** Copies the WAL into the database. A failure is not the fault of any request: it is kept for the next write. */
  checkpoint(): void {
    this.#wal.checkpointed();
    try {
      this.#statements.checkpoint.get();
    } catch (error) {
      if (!isSqliteError(error)) throw error;
      this.#noteFatal(error);
    }
  }

  close(): void {
    if (this.#broken === undefined) this.#truncateWal();
    this.#db.close();
  }

  /** What became of a batch whose seq the log has passed. */
  #settle(batch: SlotBatch): AppendOutcome {
    const id = this.batchIdAt(batch.seq);
    return id !== undefined && equalBytes(id, batch.id)
      ? "committed"
      : "conflict";
  }

  #insertRows(batch: SlotBatch): void {
    const block = batch.rows;
    const reader = new RowReader(block);
    const columns = this.#columns;
    const p = this.#parameters;
    const full = ROWS_PER_INSERT * ROW_COLUMNS;
    let at = 0;
    while (reader.next()) {
      columns.read(block, reader.recordStart, reader.recordEnd);
      assert(
        columns.modRev >= batch.firstRev && columns.modRev <= batch.lastRev,
        "row is outside its batch",
      );
      p[at++] = columns.modRev;
      p[at++] = reader.sub;
      p[at++] = block.subarray(columns.keyStart, columns.keyEnd);
      p[at++] = block.subarray(columns.valueStart, columns.valueEnd);
      p[at++] = columns.createRev;
      p[at++] = columns.version;
      p[at++] = columns.lease;
      p[at++] = reader.deleted ? 1 : 0;
      if (at === full) {
        this.#statements.insertRows.run(...p);
        at = 0;
      }
    }
    for (let i = 0; i < at; i += ROW_COLUMNS) {
      this.#statements.insertRow.run(...p.slice(i, i + ROW_COLUMNS));
    }
  }

  #applyState(changes: readonly StateChange[]): void {
    for (const { kind, key, value } of changes) {
      assert(
        kind !== StateKind.Meta || !equalBytes(key, SCHEMA_VERSION_KEY),
        "state uses the key of the schema's version",
      );
      const statements = this.#statements.state[kind];
      if (value === undefined) statements.remove.run(key);
      else statements.upsert.run(key, value);
    }
  }

  #transaction(work: () => void): void {
    if (this.#broken !== undefined) throw this.#broken;
    try {
      this.#statements.begin.run();
      work();
      this.#statements.commit.run();
    } catch (error) {
      this.#rollback();
      this.#noteFatal(error);
      throw error;
    }
  }

  /** After some errors SQLite has rolled back by itself. */
  #rollback(): void {
    if (this.#db.isTransaction) this.#statements.rollback.run();
  }

  #noteFatal(error: unknown): void {
    if (
      !isSqliteError(error) || !isFatal(error) || this.#broken !== undefined
    ) return;
    this.#broken = new BackendError(
      `Cannot write: an earlier write failed (${error.message}), and the store must be opened again`,
      { kind: "failed", cause: error },
    );
  }

  #truncateWal(): void {
    this.#wal.checkpointed();
    this.#statements.truncate.get();
  }

  #pragma(name: "page_count" | "page_size" | "freelist_count"): number {
    const [value] = this.#statements[name].get()!;
    return value;
  }
}

/** Takes what `Database.load` reads. */
export interface LoadWindow {
  readonly hasRoom: boolean;
  state(encoded: Uint8Array<ArrayBuffer>): void;
  rows(block: Uint8Array<ArrayBuffer>): void;
}

/**
 * A block that `load` hands over is full from here on: big enough that messages cost nothing, and with one
 * more slice of rows still below 1 MiB, so that it can serve as a slab of values as it is.
 */
const LOAD_BLOCK_BYTES = 768 * 1024;

/** About what one slice of `RowScan` adds. */
const LOAD_SLICE_BYTES = 192 * 1024;

/** State rows read at a time; they are small. */
const STATE_SLICE_ROWS = 1000;

/** Rows and bytes that `valuesOf` reads at a time, under a millisecond. */
const SLICE_ROWS = 128;
const SLICE_BYTES = 512 * 1024;

/** Rows that one transaction removes: about 2 ms. */
const REMOVE_SLICE_ROWS = 500;

/** Batches that one transaction forgets, and about how many pages they take. */
const TRIM_SLICE_BATCHES = 1000;
const TRIM_SLICE_PAGES = 30;

/** Greater than every sub-revision. */
const MAX_SUB_INTEGER = Number.MAX_SAFE_INTEGER;
