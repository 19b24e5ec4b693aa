import type { DatabaseSync } from "node:sqlite";
import { StateKind } from "../../state_change.ts";
import * as sql from "./sql.ts";
import { prepare, type Statement } from "./statement.ts";

/** The statements of `Database`, prepared once, with the shape of their rows. */
export type Statements = ReturnType<typeof prepareStatements>;

export type BatchRow = [
  seq: number,
  id: Uint8Array,
  firstRev: number,
  lastRev: number,
  timeMs: number,
  ops: Uint8Array,
];

export type FullRow = [
  keyAndValue: Uint8Array,
  keyBytes: number,
  createRev: number,
  version: number,
  leaseHigh: number,
  leaseLow: number,
  deleted: number,
  crc: number,
];

/** `BatchRow` with its sums and checksum. */
export type CheckedBatchRow = [
  ...batch: BatchRow,
  rowsSum: number,
  stateSum: number,
  crc: number,
];

interface StateStatements {
  readonly upsert: Statement;
  readonly remove: Statement;
  readonly select: Statement<[value: Uint8Array]>;
  readonly after: Statement<[key: Uint8Array, value: Uint8Array]>;
}

export function prepareStatements(db: DatabaseSync) {
  const state = (kind: StateKind): StateStatements => ({
    upsert: prepare(db, sql.STATE_SQL[kind].upsert),
    remove: prepare(db, sql.STATE_SQL[kind].remove),
    select: prepare(db, sql.STATE_SQL[kind].select),
    after: prepare(db, sql.STATE_SQL[kind].after),
  });
  return {
    begin: prepare(db, "BEGIN IMMEDIATE"),
    commit: prepare(db, "COMMIT"),
    rollback: prepare(db, "ROLLBACK"),
    lastBatch: prepare<CheckedBatchRow>(db, sql.SELECT_LAST_BATCH),
    insertBatch: prepare(db, sql.INSERT_BATCH),
    insertRow: prepare(db, sql.INSERT_ROW),
    insertRows: prepare(db, sql.INSERT_ROWS),
    batchId: prepare<[id: Uint8Array]>(db, sql.SELECT_BATCH_ID),
    batchesAfter: prepare<CheckedBatchRow>(
      db,
      sql.SELECT_CHECKED_BATCHES_AFTER,
    ),
    firstSeq: prepare<[seq: number | null]>(db, sql.SELECT_FIRST_SEQ),
    deleteBatches: prepare(db, sql.DELETE_BATCHES_BELOW),
    row: prepare<FullRow>(db, sql.SELECT_CHECKED_ROW),
    deleteRow: prepare<[crc: number]>(db, sql.DELETE_ROW),
    removed: prepare<[sum: number]>(db, sql.SELECT_REMOVED),
    updateRemoved: prepare(db, sql.UPDATE_REMOVED),
    checkpoint: prepare<[busy: number]>(db, sql.CHECKPOINT_PASSIVE),
    truncate: prepare<[busy: number]>(db, sql.CHECKPOINT_TRUNCATE),
    vacuum: prepare<[]>(db, sql.INCREMENTAL_VACUUM),
    page_count: prepare<[pages: number]>(db, "PRAGMA page_count"),
    page_size: prepare<[bytes: number]>(db, "PRAGMA page_size"),
    freelist_count: prepare<[pages: number]>(db, "PRAGMA freelist_count"),
    state: {
      [StateKind.Meta]: state(StateKind.Meta),
      [StateKind.Lease]: state(StateKind.Lease),
      [StateKind.Auth]: state(StateKind.Auth),
      [StateKind.Alarm]: state(StateKind.Alarm),
    } satisfies Record<StateKind, StateStatements>,
  };
}
