import { MISSING, type ValuesAnswer } from "../thread_messages.ts";
import { DatabaseSync } from "node:sqlite";
import { assert } from "../../../base/assert.ts";
import { equalBytes } from "../../../base/bytes.ts";
import {
  type AppendOutcome,
  BackendError,
  type Head,
  type SizeInfo,
} from "../../backend.ts";
import {
  addChecksum,
  batchChecksum,
  rowChecksum,
  stateChecksum,
  subtractChecksum,
} from "../../checksum.ts";
import { RecordColumns } from "../../record.ts";
import { RowReader } from "../../row_block.ts";
import { RowBlockWriter } from "../../row_block_writer.ts";
import { SCHEMA_VERSION_KEY } from "../../schema_version.ts";
import { decodeState, encodeState } from "../../state_codec.ts";
import { type StateChange, StateKind } from "../../state_change.ts";
import {
  checkBatch,
  checkRow,
  checkRowsSum,
  checkStateSum,
  corrupt,
  stateSumOf,
  type Sums,
} from "./checksums.ts";
import { readSums } from "./checksum_check.ts";
import type { DataDir } from "./data_dir.ts";
import { DiskReserve } from "./disk_reserve.ts";
import { HighWaterMark } from "./high_water_mark.ts";
import { type Job, Step } from "./job.ts";
import type { SlotBatch } from "./mailbox.ts";
import type { BatchAnswer, DatabaseOptions } from "./protocol.ts";
import { RowScan } from "./row_scan.ts";
import { configure, createFile, createOrCheckSchema } from "./schema.ts";
import { ROW_COLUMNS, ROWS_PER_INSERT, VACUUM_PAGES } from "./sql.ts";
import {
  diskFull,
  isSqliteError,
  isSyncFailure,
  SQLITE_CONSTRAINT_PRIMARYKEY,
  toBackendError,
} from "./sqlite_error.ts";
import {
  type FullRow,
  prepareStatements,
  type Statements,
} from "./statements.ts";
import type { Parameter } from "./statement.ts";
import { WalBudget } from "./wal_budget.ts";
import { checkWal } from "./wal_check.ts";

/**
 * The database file, synchronous, inside the worker.
 *
 * What is quick is a method; what may take long is a `Job`, and no transaction is ever open between two of
 * its slices. Holds the only connection that writes.
 *
 * After a failed sync the kernel's cache may hold what is not on the disk, and the next sync would succeed all the
 * same: the file is closed and opened again, which copies the write-ahead log into it anew, and the log must still
 * end where it did, before anything else is written. In a corrupt file nothing is written any more.
 * When the disk is full a reserve is given back, for deletes; see `DiskReserve`.
 *
 * Invariant: `head` is the last committed batch, and `#sums` are those of what is committed.
 */
export class Database {
  #db: DatabaseSync;
  readonly #dir: DataDir;
  readonly #connect: () => Connection;
  readonly #reserve: DiskReserve;
  /** Undefined if nothing is synced: then no batch is known to be on the disk. */
  readonly #mark: HighWaterMark | undefined;
  #scan: RowScan;
  #wal = new WalBudget();
  readonly #columns = new RecordColumns();
  #statements: Statements;
  /** Parameters of `INSERT_ROWS`, filled anew for each statement. */
  readonly #parameters: Parameter[] = [];
  #head: Head;
  #sums: Sums;
  /** Of the batch or transaction under way. */
  #rowsSum = 0;
  #stateSum = 0;
  /** Of the files that are open. */
  #identities: string;
  /** A sync failed: to be opened again before the next write. */
  #isSuspect = false;
  /** False while the file cannot be opened again. */
  #isOpen = true;
  #corruption: BackendError | undefined;

  private constructor(
    { db, scan, statements }: Connection,
    dir: DataDir,
    connect: () => Connection,
    mark: HighWaterMark | undefined,
  ) {
    this.#db = db;
    this.#scan = scan;
    this.#statements = statements;
    this.#dir = dir;
    this.#connect = connect;
    this.#reserve = new DiskReserve(dir.reservePath);
    this.#sums = readSums(db);
    this.#identities = dir.fileIdentities();
    // Here, and not while it is loaded: what is damaged must not reach those who believe it.
    checkStateSum(stateSumOf(db), this.#sums);
    this.#head = this.#readHead();
    this.#mark = mark;
    mark?.check(this.#head.seq);
    this.#reserve.hold();
  }

  /** Opens the file, recovers it, and creates the tables if it is new. `openFile`: default SQLite itself. */
  static open(
    dir: DataDir,
    options: DatabaseOptions,
    openFile: (path: string) => DatabaseSync = (path) => new DatabaseSync(path),
  ): Database {
    const isSynced = options.synchronous === "full";
    // What is never synced may be torn anywhere by a power failure.
    if (isSynced) checkWal(dir.walPath);
    const mark = new HighWaterMark(dir.markPath);
    if (!isSynced) mark.remove();
    createFile(dir, options);
    const connect = () => {
      const db = openFile(dir.databasePath);
      try {
        configure(db, options);
        createOrCheckSchema(db, dir.path);
        return {
          db,
          scan: new RowScan(db),
          statements: prepareStatements(db),
        };
      } catch (error) {
        db.close();
        throw error;
      }
    };
    const connection = connect();
    try {
      return new Database(
        connection,
        dir,
        connect,
        isSynced ? mark : undefined,
      );
    } catch (error) {
      connection.db.close();
      throw error;
    }
  }

  get head(): Head {
    return this.#head;
  }

  /** Makes the batch durable if it is the next one. */
  append(batch: SlotBatch): AppendOutcome {
    this.#recover();
    if (batch.seq <= this.#head.seq) return this.#settle(batch);
    if (batch.seq !== this.#head.seq + 1) {
      throw new BackendError(
        `Cannot append batch ${batch.seq}: the log ends at ${this.#head.seq}`,
      );
    }
    // The first failure may have been a checkpoint's, of which nobody knows.
    if (!this.#reserve.isHeld && takesSpace(batch.rows)) throw diskFull();
    const s = this.#statements;
    try {
      s.begin.run();
      this.#rowsSum = this.#sums.rows;
      this.#stateSum = this.#sums.state;
      this.#insertRows(batch);
      if (batch.ops.length > 0) this.#applyState(decodeState(batch.ops));
      this.#insertBatch(batch);
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
      this.#noteFailure(error);
      throw error;
    }
    this.#head = { seq: batch.seq, revision: batch.lastRev };
    this.#sums = {
      ...this.#sums,
      rows: this.#rowsSum,
      state: this.#stateSum,
    };
    this.#mark?.raise(batch.seq);
    this.#wal.appended(batch.rows.length + batch.ops.length);
    return "committed";
  }

  /** Settles what became of a lost answer; so not from a cache that a failed sync has left. */
  batchIdAt(seq: number): Uint8Array | undefined {
    this.#recover();
    const row = this.#statements.batchId.get(seq);
    return row?.[0];
  }

  /**
   * Streams all state, then all rows, into `sink`, which says whether it can take more; returns the end of the log.
   * What is written meanwhile may be in it or not.
   */
  *load(sink: LoadWindow): Job<Head> {
    const before = this.#sums;
    yield* this.#checkBatches();
    yield* this.#loadState(sink);
    const rowsSum = yield* this.#loadRows(sink);
    if (this.#sums === before) checkRowsSum(rowsSum, before);
    return this.#head;
  }

  *eventsAfter(rev: number, maxBytes: number): Job<Uint8Array<ArrayBuffer>> {
    const out = new RowBlockWriter();
    const cursor = { rev, sub: MAX_SUB_INTEGER };
    for (;;) {
      this.#reopen();
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
    this.#reopen();
    const found = this.#statements.batchesAfter.all(
      seq,
      limit,
    );
    const batches: BatchAnswer[] = [];
    for (const batch of found) {
      checkBatch(batch);
      const [seq, id, firstRev, lastRev, timeMs, ops] = batch;
      const out = new RowBlockWriter();
      const cursor = { rev: firstRev, sub: -1 };
      for (;;) {
        this.#reopen();
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
    this.#reopen();
    for (let i = 0; i < sizes.length; i++) {
      if (out.byteLength >= sliceEnd || (i > 0 && i % SLICE_ROWS === 0)) {
        yield Step.More;
        this.#reopen();
        sliceEnd = out.byteLength + SLICE_BYTES;
      }
      const rev = rows[2 * i]!;
      const sub = rows[2 * i + 1]!;
      const row = this.#statements.row.get(rev, sub);
      if (row === undefined) {
        sizes[i] = MISSING;
        continue;
      }
      if (!isSane(row)) throw corrupt(`row ${rev}/${sub} is damaged`);
      columns.keyStart = 0;
      columns.keyEnd = columns.valueStart = row[1];
      columns.valueEnd = row[0].length;
      columns.modRev = rev;
      columns.createRev = row[2];
      columns.version = row[3];
      columns.leaseHigh = row[4] >>> 0;
      columns.leaseLow = row[5];
      const start = out.byteLength;
      const deleted = row[6] !== 0;
      sizes[i] = out.addRecord(columns, { source: row[0], deleted });
      checkRow(out.from(start), { rev, sub, deleted, crc: row[7] });
    }
    return { bytes: out.take(), sizes };
  }

  /** `rows` are pairs of revision and sub-revision. One transaction for each `REMOVE_SLICE_ROWS` of them. */
  *remove(rows: Float64Array): Job<void> {
    for (let from = 0; from < rows.length; from += 2 * REMOVE_SLICE_ROWS) {
      if (from > 0) yield Step.More;
      const end = Math.min(rows.length, from + 2 * REMOVE_SLICE_ROWS);
      let removed = this.#sums.removed;
      this.#transaction(() => {
        removed = this.#sums.removed;
        for (let i = from; i < end; i += 2) {
          const row = this.#statements.deleteRow.get(rows[i]!, rows[i + 1]!);
          if (row !== undefined) removed = addChecksum(removed, row[0]);
        }
        this.#statements.updateRemoved.run(removed);
      });
      this.#sums = { ...this.#sums, removed };
      this.#wal.changed((end - from) / 2);
    }
  }

  /** Keeps the last batch in any case: it says where the log ends. */
  *trimBatches(belowSeq: number): Job<void> {
    const end = Math.min(belowSeq, this.#head.seq);
    for (;;) {
      this.#reopen();
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

  /** Looks whether a full disk has room again, too, and whether the files are still where the next start finds them. */
  size(): SizeInfo {
    this.#checkFiles();
    const pages = this.#pragma("page_count");
    const free = this.#pragma("freelist_count");
    const pageBytes = this.#pragma("page_size");
    return {
      totalBytes: pages * pageBytes + this.#dir.walBytes(),
      inUseBytes: (pages - free) * pageBytes,
      isDiskFull: !this.#reserve.hold(),
    };
  }

  get checkpointDue(): boolean {
    return this.#wal.due && this.#canCheckpoint;
  }

  get checkpointOverdue(): boolean {
    return this.#wal.overdue && this.#canCheckpoint;
  }

  /** Copies the WAL into the database. A failure is not the fault of any request: it is returned, for the log. */
  checkpoint(): BackendError | undefined {
    this.#wal.tried();
    try {
      this.#statements.checkpoint.get();
      this.#wal.checkpointed();
      return undefined;
    } catch (error) {
      if (!isSqliteError(error)) throw error;
      const hadReserve = this.#reserve.isHeld;
      this.#noteFailure(error);
      const hasRoomNow = hadReserve && !this.#reserve.isHeld;
      if (hasRoomNow && this.#canCheckpoint) return this.checkpoint();
      return toBackendError("copy the log into the database", error);
    }
  }

  close(): void {
    this.#mark?.close();
    if (!this.#isOpen) return;
    try {
      if (this.#isSound) this.#truncateWal();
    } finally {
      this.#db.close();
    }
  }

  /** On a full disk one that cannot be completed would take what deletes need. */
  get #canCheckpoint(): boolean {
    const hasRoom = this.#reserve.isHeld ||
      this.#wal.pendingBytes <= this.#reserve.bytes;
    return this.#isSound && hasRoom;
  }

  get #isSound(): boolean {
    return !this.#isSuspect && this.#corruption === undefined;
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
      const crc = rowChecksum(
        block.subarray(reader.recordStart, reader.recordEnd),
        reader,
      );
      p[at++] = crc;
      this.#rowsSum = addChecksum(this.#rowsSum, crc);
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
      const old = statements.select.get(key)?.[0];
      if (old !== undefined) {
        const crc = stateChecksum(kind, key, old);
        this.#stateSum = subtractChecksum(this.#stateSum, crc);
      }
      if (value !== undefined) {
        const crc = stateChecksum(kind, key, value);
        this.#stateSum = addChecksum(this.#stateSum, crc);
      }
      if (value === undefined) statements.remove.run(key);
      else statements.upsert.run(key, value);
    }
  }

  #insertBatch(batch: SlotBatch): void {
    const { seq, id, firstRev, lastRev, timeMs, ops } = batch;
    const rowsSum = this.#rowsSum;
    const stateSum = this.#stateSum;
    this.#statements.insertBatch.run(
      seq,
      id,
      firstRev,
      lastRev,
      timeMs,
      ops,
      rowsSum,
      stateSum,
      batchChecksum({
        seq,
        id,
        firstRev,
        lastRev,
        timeMs,
        rowsSum,
        stateSum,
        ops,
      }),
    );
  }

  #readHead(): Head {
    const row = this.#statements.lastBatch.get();
    return row === undefined
      ? { seq: 0, revision: 1 }
      : { seq: row[0], revision: row[3] };
  }

  /** Each batch that is kept, and that none is missing between the first and the last. */
  *#checkBatches(): Job<void> {
    const [first] = this.#statements.firstSeq.get()!;
    let after = (first ?? 1) - 1;
    for (;;) {
      const slice = this.#statements.batchesAfter.all(
        after,
        BATCHES_PER_SLICE,
      );
      for (const batch of slice) {
        checkBatch(batch);
        if (batch[0] !== ++after) throw corrupt(`batch ${after} is missing`);
      }
      if (slice.length < BATCHES_PER_SLICE) return;
      yield Step.More;
    }
  }

  *#loadState(sink: LoadWindow): Job<void> {
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
  }

  /** Returns the sum of what it has read. */
  *#loadRows(sink: LoadWindow): Job<number> {
    const scan = new RowScan(this.#db);
    const cursor = { rev: Number.MIN_SAFE_INTEGER, sub: -1 };
    const out = new RowBlockWriter({
      expectedBytes: LOAD_BLOCK_BYTES + LOAD_SLICE_BYTES,
    });
    for (;;) {
      const slice = scan.next(cursor, Number.MAX_SAFE_INTEGER);
      if (slice !== undefined) {
        scan.write(slice, out, { cursor, maxBytes: Infinity });
      }
      if (
        out.byteLength > 0 &&
        (slice === undefined || out.byteLength >= LOAD_BLOCK_BYTES)
      ) {
        sink.rows(out.take());
      }
      if (slice === undefined) return scan.sum;
      yield Step.More;
      while (!sink.hasRoom) yield Step.Waiting;
    }
  }

  #transaction(work: () => void): void {
    this.#recover();
    try {
      this.#statements.begin.run();
      work();
      this.#statements.commit.run();
    } catch (error) {
      this.#rollback();
      this.#noteFailure(error);
      throw error;
    }
  }

  /** After some errors SQLite has rolled back by itself, and after a failed read of the log it cannot. */
  #rollback(): void {
    try {
      if (this.#db.isTransaction) this.#statements.rollback.run();
    } catch (error) {
      if (!isSqliteError(error)) throw error;
      this.#isSuspect = true;
    }
  }

  /** Takes note of what must happen before the next write. */
  #noteFailure(error: unknown): void {
    const known = toBackendError("write", error);
    if (known?.kind === "corrupt") {
      this.#corruption ??= new BackendError(
        `Cannot write: an earlier write failed (${known.message})`,
        { kind: "corrupt", cure: known.cure, cause: error },
      );
    } else if (known?.kind === "noSpace") this.#reserve.release();
    else if (isSqliteError(error) && isSyncFailure(error)) {
      this.#isSuspect = true;
    }
  }

  /** Throws if nothing may be written, after it has tried what can be tried. */
  #recover(): void {
    if (this.#corruption !== undefined) throw this.#corruption;
    if (!this.#isSuspect) return;
    this.#disconnect();
    const { db, scan, statements } = this.#connect();
    this.#db = db;
    this.#scan = scan;
    this.#statements = statements;
    this.#isOpen = true;
    this.#wal = new WalBudget();
    // What only the kernel's cache has is written once more, and this time it must reach the disk.
    this.#truncateWal();
    const sums = readSums(db);
    this.#identities = this.#dir.fileIdentities();
    const head = this.#readHead();
    if (head.seq < this.#head.seq) {
      this.#corruption = new BackendError(
        `Cannot write: batch ${this.#head.seq} was lost when a sync failed; the log ends at ${head.seq}`,
        { kind: "corrupt", cure: LOST_CURE },
      );
      throw this.#corruption;
    }
    this.#head = head;
    this.#sums = sums;
    this.#isSuspect = false;
  }

  /** What is written to a file without a name is gone with the process. */
  #checkFiles(): void {
    if (!this.#isOpen || this.#dir.fileIdentities() === this.#identities) {
      return;
    }
    this.#corruption ??= new BackendError(
      `Cannot write: files in ${
        JSON.stringify(this.#dir.path)
      } were removed or replaced while they are in use`,
      { kind: "corrupt", cure: REMOVED_CURE },
    );
    throw this.#corruption;
  }

  /** Reading does not wait for a file that is suspect, only for one that is not open. */
  #reopen(): void {
    if (!this.#isOpen) this.#recover();
  }

  #disconnect(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    try {
      this.#db.close();
    } catch {
      // Its last checkpoint may fail, too; opening it says what is the matter.
    }
  }

  #truncateWal(): void {
    this.#wal.tried();
    this.#statements.truncate.get();
    this.#wal.checkpointed();
  }

  #pragma(name: "page_count" | "page_size" | "freelist_count"): number {
    this.#reopen();
    const [value] = this.#statements[name].get()!;
    return value;
  }
}

/** The file while it is open, with what was prepared for it. */
interface Connection {
  readonly db: DatabaseSync;
  readonly scan: RowScan;
  readonly statements: Statements;
}

/** Whether a batch holds more than deletes and state, which is small. */
function takesSpace(rows: Uint8Array): boolean {
  const reader = new RowReader(rows);
  while (reader.next()) if (!reader.deleted) return true;
  return false;
}

/** Whether the numbers of a row can be what they are called; its checksum says the rest. */
function isSane(row: FullRow): boolean {
  for (let i = 1; i < row.length; i++) {
    if (!Number.isSafeInteger(row[i])) return false;
  }
  return row[0] instanceof Uint8Array && row[1] >= 0 &&
    row[1] <= row[0].length && row[2] >= 0 && row[3] >= 0;
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

/** Batches that are checked at a time: about 2 ms. */
const BATCHES_PER_SLICE = 1000;

/** What helps when the disk has lost what it had confirmed. */
const LOST_CURE =
  "replace the disk, and restore a snapshot with `stele snapshot restore`";

/** What helps when somebody has taken the files away. */
const REMOVED_CURE =
  "stop the server, put the files back or restore a snapshot, and start it again";

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
