import { StateKind } from "../../state_change.ts";

/** One row: the sum of the checksums of all rows that were ever removed; see `Checksums`. */
const CREATE_REMOVED = `CREATE TABLE stele_removed (
    id  INTEGER PRIMARY KEY,
    sum INTEGER NOT NULL
  ) STRICT`;
const INSERT_REMOVED = `INSERT INTO stele_removed (id, sum) VALUES (1, 0)`;

/**
 * Every statement of the SQLite driver.
 *
 * `stele_kv` is a rowid table with an index for its primary key: measured against `WITHOUT ROWID` it
 * appends 10 % faster (rows of 512 B would sit in the interior pages of one B-tree), and against a
 * computed INTEGER PRIMARY KEY it costs 0.5 µs a row and keeps (rev, sub) readable and unbounded.
 * There is no index on `key`: start-up and compaction know their rows from memory.
 */
export const SCHEMA: readonly string[] = [
  `CREATE TABLE stele_batch (
    seq       INTEGER PRIMARY KEY,
    id        BLOB NOT NULL,
    first_rev INTEGER NOT NULL,
    last_rev  INTEGER NOT NULL,
    time_ms   INTEGER NOT NULL,
    ops       BLOB NOT NULL,
    rows_sum  INTEGER NOT NULL,
    state_sum INTEGER NOT NULL,
    crc       INTEGER NOT NULL
  ) STRICT`,
  `CREATE TABLE stele_kv (
    rev        INTEGER NOT NULL,
    sub        INTEGER NOT NULL,
    key        BLOB NOT NULL,
    value      BLOB NOT NULL,
    create_rev INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    lease      INTEGER NOT NULL,
    deleted    INTEGER NOT NULL,
    crc        INTEGER NOT NULL,
    PRIMARY KEY (rev, sub)
  ) STRICT`,
  CREATE_REMOVED,
  INSERT_REMOVED,
  `CREATE TABLE stele_meta (
    key BLOB PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
  ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE stele_lease (
    key BLOB PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
  ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE stele_auth (
    key BLOB PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
  ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE stele_alarm (
    key BLOB PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
  ) STRICT, WITHOUT ROWID`,
];

/**
 * From schema 1, which had no checksums, to 2. Old rows stay as they are, without one: giving them theirs would
 * rewrite the file. The newest batch gets the sums that the next one goes on from (`UPDATE_SUMS`).
 */
export const MIGRATE_FROM_1: readonly string[] = [
  `ALTER TABLE stele_batch ADD COLUMN rows_sum INTEGER NOT NULL DEFAULT 0`,
  `ALTER TABLE stele_batch ADD COLUMN state_sum INTEGER NOT NULL DEFAULT 0`,
  `ALTER TABLE stele_batch ADD COLUMN crc INTEGER NOT NULL DEFAULT -1`,
  `ALTER TABLE stele_kv ADD COLUMN crc INTEGER NOT NULL DEFAULT -1`,
  CREATE_REMOVED,
  INSERT_REMOVED,
];

/** Last entry of the primary key. */
export const UPDATE_SUMS = `
  UPDATE stele_batch SET rows_sum = 0, state_sum = ?
  WHERE seq = (SELECT max(seq) FROM stele_batch)`;

/** The one row. */
export const SELECT_REMOVED = `SELECT sum FROM stele_removed WHERE id = 1`;
export const UPDATE_REMOVED = `UPDATE stele_removed SET sum = ? WHERE id = 1`;

/** Whether rows have checksums: in a file of schema 1 that was not migrated they have none. */
export const COUNT_CHECKSUM_COLUMNS =
  `SELECT count(*) FROM pragma_table_info('stele_kv') WHERE name = 'crc'`;

/** Writes nothing, and fails where nothing could be written. */
export const TRY_TO_WRITE = "DELETE FROM stele_batch WHERE FALSE";

/** How many tables there are; full scan of sqlite_schema. */
export const COUNT_TABLES =
  `SELECT count(*), sum(name = 'stele_meta') FROM sqlite_schema`;

/** Primary key of stele_meta. */
export const SELECT_META = `SELECT value FROM stele_meta WHERE key = ?`;

/** Primary key of stele_batch: a second batch at the same seq fails here. */
export const INSERT_BATCH =
  `INSERT INTO stele_batch (seq, id, first_rev, last_rev, time_ms, ops, rows_sum, state_sum, crc)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`;

/** Last entry of the primary key. */
export const SELECT_HEAD =
  `SELECT seq, last_rev FROM stele_batch ORDER BY seq DESC LIMIT 1`;

/** Primary key. */
export const SELECT_BATCH_ID = `SELECT id FROM stele_batch WHERE seq = ?`;

/** Range of the primary key. The same with the checksums. */
export const SELECT_CHECKED_BATCHES_AFTER = `
  SELECT seq, id, first_rev, last_rev, time_ms, ops, rows_sum, state_sum, crc
  FROM stele_batch WHERE seq > ? ORDER BY seq LIMIT ?`;

/** Last entry of the primary key. */
export const SELECT_LAST_BATCH = `
  SELECT seq, id, first_rev, last_rev, time_ms, ops, rows_sum, state_sum, crc
  FROM stele_batch ORDER BY seq DESC LIMIT 1`;

/** Range of the primary key. */
export const SELECT_BATCHES_AFTER = `
  SELECT seq, id, first_rev, last_rev, time_ms, ops
  FROM stele_batch WHERE seq > ? ORDER BY seq LIMIT ?`;

/** First entry of the primary key. */
export const SELECT_FIRST_SEQ = `SELECT min(seq) FROM stele_batch`;

/** Range of the primary key. */
export const DELETE_BATCHES_BELOW = `DELETE FROM stele_batch WHERE seq < ?`;

/** Columns of `INSERT_ROW`. */
export const ROW_COLUMNS = 9;

/** Appends at the end of the table and of its primary key. */
export const INSERT_ROW = `
  INSERT INTO stele_kv (rev, sub, key, value, create_rev, version, lease, deleted, crc)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`;

/**
 * The rows of `INSERT_ROWS`. Measured per row of 512 B in batches of 100: single inserts 4.9 µs of CPU,
 * 4 rows 4.3 µs, 16 rows 3.7 µs, 32 rows 3.7 µs.
 */
export const ROWS_PER_INSERT = 16;

/** `INSERT_ROW` for many rows at once. */
export const INSERT_ROWS = INSERT_ROW +
  ", (?, ?, ?, ?, ?, ?, ?, ?, ?)".repeat(ROWS_PER_INSERT - 1);

/**
 * Primary key. The lease comes in two halves, because as one it may not be a safe integer; key and value come
 * as one blob, because each blob costs an ArrayBuffer.
 */
export const SELECT_ROW = `
  SELECT CAST(key || value AS BLOB), length(key), create_rev, version, lease >> 32, lease & 4294967295, deleted
  FROM stele_kv WHERE rev = ? AND sub = ?`;

/** The same with the checksum. */
export const SELECT_CHECKED_ROW = `
  SELECT CAST(key || value AS BLOB), length(key), create_rev, version, lease >> 32, lease & 4294967295, deleted, crc
  FROM stele_kv WHERE rev = ? AND sub = ?`;

/** Range of the primary key. Everything but the bytes: `length` does not read the blob itself. */
export const SELECT_ROWS_AFTER = rowsAfter("crc");

/** The same in a file of schema 1. */
export const SELECT_ROWS_AFTER_UNCHECKED = rowsAfter("-1");

function rowsAfter(crc: string): string {
  return `
  SELECT rev, sub, length(key), length(value), create_rev, version, lease >> 32, lease & 4294967295, deleted, ${crc}
  FROM stele_kv WHERE (rev, sub) > (?, ?) AND rev <= ? ORDER BY rev, sub LIMIT ?`;
}

/**
 * Range of the primary key. Keys and values of a run of rows as one blob: each blob that crosses into
 * JavaScript costs an ArrayBuffer. Measured for 200,000 rows of 512 B: a blob per column 400 ms, this 260 ms.
 * The LIMIT keeps the order of the subquery.
 */
export const SELECT_BYTES_BETWEEN = `
  SELECT CAST(group_concat(key || value, '') AS BLOB) FROM (
    SELECT key, value FROM stele_kv
    WHERE (rev, sub) >= (?, ?) AND (rev, sub) <= (?, ?) ORDER BY rev, sub LIMIT ?
  )`;

/** Primary key. */
export const DELETE_ROW =
  `DELETE FROM stele_kv WHERE rev = ? AND sub = ? RETURNING crc`;

interface StateSql {
  readonly upsert: string;
  readonly remove: string;
  readonly select: string;
  /** From a key on. Every blob is greater than the text '', which therefore starts a scan. */
  readonly after: string;
}

/** Each relies on its table's primary key. */
export const STATE_SQL: Readonly<Record<StateKind, StateSql>> = {
  [StateKind.Meta]: {
    upsert: `INSERT INTO stele_meta (key, value) VALUES (?, ?)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
    remove: `DELETE FROM stele_meta WHERE key = ?`,
    select: `SELECT value FROM stele_meta WHERE key = ?`,
    after:
      `SELECT key, value FROM stele_meta WHERE key > ? ORDER BY key LIMIT ?`,
  },
  [StateKind.Lease]: {
    upsert: `INSERT INTO stele_lease (key, value) VALUES (?, ?)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
    remove: `DELETE FROM stele_lease WHERE key = ?`,
    select: `SELECT value FROM stele_lease WHERE key = ?`,
    after:
      `SELECT key, value FROM stele_lease WHERE key > ? ORDER BY key LIMIT ?`,
  },
  [StateKind.Auth]: {
    upsert: `INSERT INTO stele_auth (key, value) VALUES (?, ?)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
    remove: `DELETE FROM stele_auth WHERE key = ?`,
    select: `SELECT value FROM stele_auth WHERE key = ?`,
    after:
      `SELECT key, value FROM stele_auth WHERE key > ? ORDER BY key LIMIT ?`,
  },
  [StateKind.Alarm]: {
    upsert: `INSERT INTO stele_alarm (key, value) VALUES (?, ?)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
    remove: `DELETE FROM stele_alarm WHERE key = ?`,
    select: `SELECT value FROM stele_alarm WHERE key = ?`,
    after:
      `SELECT key, value FROM stele_alarm WHERE key > ? ORDER BY key LIMIT ?`,
  },
};

/** Copies what it can of the WAL into the database without waiting for anyone. */
export const CHECKPOINT_PASSIVE = `PRAGMA wal_checkpoint(PASSIVE)`;

/** The same, and empties the WAL file. */
export const CHECKPOINT_TRUNCATE = `PRAGMA wal_checkpoint(TRUNCATE)`;

/** Pages that one `INCREMENTAL_VACUUM` gives back: 256 KiB, about a millisecond. */
export const VACUUM_PAGES = 64;

/** Takes a step for each page: to be run with `all`, since `exec` stops after the first. */
export const INCREMENTAL_VACUUM = `PRAGMA incremental_vacuum(${VACUUM_PAGES})`;

/** Pages, indexes against tables, and the columns' types; one row that says "ok", or up to 100 problems. */
export const CHECK_INTEGRITY = `PRAGMA integrity_check(100)`;

/** Full scan of one index each, and of stele_kv's rows for the last: for offline facts only. */
export const SELECT_COUNTS = `
  SELECT (SELECT count(*) FROM stele_kv), (SELECT count(*) FROM stele_batch),
         (SELECT coalesce(max(rev), 0) FROM stele_kv)`;

/** Range of the primary key. Nothing of the value but its length. */
export const SELECT_ROW_FACTS_AFTER = `
  SELECT rev, sub, key, length(value), create_rev, version, lease, deleted
  FROM stele_kv WHERE (rev, sub) > (?, ?) ORDER BY rev, sub LIMIT ?`;

/** Full scan and a sort that spills to a temporary file: for offline checks only. */
export const SELECT_ROW_FACTS_BY_KEY = `
  SELECT rev, sub, key, length(value), create_rev, version, lease, deleted
  FROM stele_kv ORDER BY key, rev, sub`;
