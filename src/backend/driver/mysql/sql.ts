import { MAX_STATE_ID_BYTES } from "../remote/state_id.ts";
import { ROW_OVERHEAD_BYTES } from "../remote/dialect.ts";
import { identifier } from "./literal.ts";
import { type ReplicaSql, replicaSql } from "./replica_sql.ts";

/**
 * Every statement of the MySQL driver, for MySQL 8 and MariaDB; `?` is a parameter (see `bind`).
 *
 * There is no secondary index: start-up and compaction know their rows by (rev, sub) from memory, and keys may be
 * longer than the 3,072 bytes that InnoDB can index. Everything is binary, so no collation matters.
 */
export interface MysqlSql {
  /** One statement each; all of them can be run again. */
  readonly schema: readonly string[];
  readonly selectVersion: string;
  readonly selectEngines: string;
  /** In one transaction with those that follow, down to `deleteState`. */
  readonly selectBefore: string;
  readonly insertBatch: string;
  readonly insertRows: ListStatement;
  readonly replaceState: ListStatement;
  readonly deleteState: ListStatement;
  readonly selectHead: string;
  readonly selectBatchId: string;
  readonly selectBatchesAfter: string;
  readonly selectRows: string;
  readonly selectRowsById: string;
  readonly selectState: string;
  /** In one transaction with the two that follow. */
  readonly selectBytes: string;
  readonly deleteRows: string;
  readonly countRemoved: string;
  readonly selectFirstSeq: string;
  readonly deleteBatchesBelow: string;
  readonly selectSize: string;
  readonly optimize: string;
  readonly replicas: ReplicaSql;
}

/** A statement that holds a list: `head`, tuples with commas, `tail`. */
export interface ListStatement {
  readonly head: string;
  readonly tail: string;
  readonly maxTuples: number;
}

/** The layout of the tables, in `state` under kind 0. */
export const SCHEMA_VERSION = 1;

/** `prefix` is a part of identifiers: checked where it is read. */
export function mysqlSql(prefix: string): MysqlSql {
  const batch = `${prefix}batch`;
  const kv = `${prefix}kv`;
  const state = `${prefix}state`;
  const removed = `${prefix}removed`;
  const replicas = replicaSql(prefix, TABLE_OPTIONS);
  const tables = [batch, kv, state, removed].map((name) => `'${name}'`).join();
  return {
    schema: schema({ batch, kv, state, removed }, replicas),
    // Primary key.
    selectVersion:
      `SELECT value FROM ${state} WHERE kind = 0 AND id = 'schema_version'`,
    selectEngines:
      `SELECT table_name, engine FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name IN (${tables})`,
    // Primary key. The batch before is locked: that it is not trimmed away while we look means that the one we add was
    // not there and trimmed either. A server that has become a replica would let a user with enough privileges go on.
    selectBefore:
      `SET @before = (SELECT total_bytes FROM ${batch} WHERE seq = ? AND (LENGTH(?) = 0 OR id = ?) AND CONCAT(@@GLOBAL.read_only) IN ('0', 'OFF') FOR UPDATE)`,
    // If there is no batch before, or another one than was seen, `total_bytes` is NULL, which fails; if our seq is taken, the primary key fails it.
    insertBatch:
      `INSERT INTO ${batch} (seq, id, first_rev, last_rev, time_ms, ops, total_bytes) VALUES (?, ?, ?, ?, ?, ?, @before + ?)`,
    insertRows: {
      head:
        `INSERT INTO ${kv} (rev, sub, \`key\`, value, create_rev, version, lease, deleted) VALUES `,
      tail: "",
      maxTuples: Infinity,
    },
    replaceState: {
      head: `REPLACE INTO ${state} (kind, id, \`key\`, value) VALUES `,
      tail: "",
      maxTuples: Infinity,
    },
    // Primary key, for each entry: of very many MySQL would read the whole table.
    deleteState: {
      head: `DELETE FROM ${state} WHERE (kind, id) IN (`,
      tail: ")",
      maxTuples: 500,
    },
    // Last entry of the primary key.
    selectHead:
      `SELECT seq, last_rev, id FROM ${batch} ORDER BY seq DESC LIMIT 1`,
    // Primary key.
    selectBatchId: `SELECT id FROM ${batch} WHERE seq = ? AND seq > 0`,
    // Range of the primary key.
    selectBatchesAfter:
      `SELECT seq, id, first_rev, last_rev, time_ms, ops FROM ${batch}
WHERE seq > ? ORDER BY seq LIMIT ?`,
    // Two ranges of the primary key, which a comparison of row constructors would not become; then the primary key
    // for each row of the page.
    selectRows:
      `SELECT kv.rev, kv.sub, kv.\`key\`, kv.value, kv.create_rev, kv.version, kv.lease, kv.deleted
FROM (
  SELECT rev, sub, SUM(bytes) OVER (ORDER BY rev, sub) - bytes AS bytes_before
  FROM (
    SELECT rev, sub, LENGTH(\`key\`) + LENGTH(value) AS bytes FROM ${kv}
    WHERE ((rev = ? AND sub > ?) OR rev > ?) AND rev <= ?
    ORDER BY rev, sub LIMIT ?
  ) AS candidate
) AS page JOIN ${kv} AS kv ON kv.rev = page.rev AND kv.sub = page.sub
WHERE page.bytes_before < ? ORDER BY kv.rev, kv.sub`,
    // Primary key, for each row asked for.
    selectRowsById:
      `SELECT rev, sub, \`key\`, value, create_rev, version, lease, deleted FROM ${kv} WHERE (rev, sub) IN (?)`,
    // Range of the primary key. Ids begin with the empty one, which `? = 1` lets in.
    selectState:
      `SELECT id, \`key\`, value FROM ${state} WHERE kind = ? AND id >= ? AND (id > ? OR ? = 1) ORDER BY id LIMIT ?`,
    // Primary key, for each row.
    selectBytes:
      `SET @gone = (SELECT COALESCE(SUM(LENGTH(\`key\`) + LENGTH(value) + ${ROW_OVERHEAD_BYTES}), 0) FROM ${kv}
WHERE (rev, sub) IN (?) FOR UPDATE)`,
    deleteRows: `DELETE FROM ${kv} WHERE (rev, sub) IN (?)`,
    countRemoved: `UPDATE ${removed} SET bytes = bytes + @gone WHERE id = 1`,
    // First entry of the primary key.
    selectFirstSeq: `SELECT seq FROM ${batch} ORDER BY seq LIMIT 1`,
    // Last entry and range of the primary key. What is below the end of the log now stays below it.
    deleteBatchesBelow:
      `SET @last = (SELECT seq FROM ${batch} ORDER BY seq DESC LIMIT 1);
DELETE FROM ${batch} WHERE seq < ? AND seq < @last`,
    // Last entry of a primary key, and a primary key.
    selectSize: `SELECT (
  SELECT SUM(data_length + index_length + data_free) FROM information_schema.tables
  WHERE table_schema = DATABASE() AND table_name IN (${tables})
), (SELECT total_bytes FROM ${batch} ORDER BY seq DESC LIMIT 1) - (SELECT bytes FROM ${removed} WHERE id = 1)`,
    // The others stay small.
    optimize: `OPTIMIZE TABLE ${kv}, ${batch}`,
    replicas,
  };
}

/** What a user who may create nothing has to be given; each statement with its semicolon. */
export function mysqlSchemaText(prefix: string): string {
  return mysqlSql(prefix).schema.map((statement) => `${statement};\n`).join("");
}

/** DYNAMIC keeps long values on pages of their own, and lets a key have 3,072 bytes instead of 767. */
const TABLE_OPTIONS =
  "ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET binary";

function schema(
  name: { batch: string; kv: string; state: string; removed: string },
  replicas: ReplicaSql,
): string[] {
  const options = TABLE_OPTIONS;
  return [
    `CREATE TABLE IF NOT EXISTS ${name.batch} (
  seq         BIGINT NOT NULL,
  id          BINARY(16) NOT NULL,
  first_rev   BIGINT NOT NULL,
  last_rev    BIGINT NOT NULL,
  time_ms     BIGINT NOT NULL,
  ops         LONGBLOB NOT NULL,
  total_bytes BIGINT NOT NULL,
  PRIMARY KEY (seq)
) ${options}`,
    `CREATE TABLE IF NOT EXISTS ${name.kv} (
  rev        BIGINT NOT NULL,
  sub        INT NOT NULL,
  \`key\`      LONGBLOB NOT NULL,
  value      LONGBLOB NOT NULL,
  create_rev BIGINT NOT NULL,
  version    BIGINT NOT NULL,
  lease      BIGINT NOT NULL,
  deleted    TINYINT NOT NULL,
  PRIMARY KEY (rev, sub)
) ${options}`,
    `CREATE TABLE IF NOT EXISTS ${name.state} (
  kind  TINYINT NOT NULL,
  id    VARBINARY(${MAX_STATE_ID_BYTES}) NOT NULL,
  \`key\` LONGBLOB NOT NULL,
  value LONGBLOB NOT NULL,
  PRIMARY KEY (kind, id)
) ${options}`,
    `CREATE TABLE IF NOT EXISTS ${name.removed} (
  id    TINYINT NOT NULL,
  bytes BIGINT NOT NULL,
  PRIMARY KEY (id)
) ${options}`,
    `INSERT IGNORE INTO ${name.removed} (id, bytes) VALUES (1, 0)`,
    // Every batch hangs on the one before it; this is the one before the first.
    `INSERT IGNORE INTO ${name.batch} (seq, id, first_rev, last_rev, time_ms, ops, total_bytes)
VALUES (0, '', 2, 1, 0, '', 0)`,
    ...replicas.schema,
    // Last, since it says that all the others are there.
    `INSERT IGNORE INTO ${name.state} (kind, id, \`key\`, value)
VALUES (0, 'schema_version', 'schema_version', '${SCHEMA_VERSION}')`,
  ];
}

/**
 * What every connection begins with, so that nothing depends on the server's defaults.
 *
 * READ COMMITTED: the primary key on `seq` proves the order, and a read sees what was committed before it. A lock is
 * waited for shorter than an answer is. The clock is not put back in autumn. Table statistics are not to be a day
 * old, as MySQL's are by default.
 */
export const SET_SESSION =
  `SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET SESSION autocommit = 1, sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = 5,
  lock_wait_timeout = 10, time_zone = '+00:00' /*!80000 , information_schema_stats_expiry = 0 */`;

/** On a Galera cluster: reads see what was committed on any node before them. */
export const SET_GALERA_SESSION = "SET SESSION wsrep_sync_wait = 7";

/** Whether the server takes writes; one row. */
export const SELECT_READ_ONLY =
  "SELECT @@GLOBAL.read_only, @@GLOBAL.innodb_read_only";

export const BEGIN_CONSISTENT_READ =
  `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY`;

/** `OPTIMIZE` needs the table for itself for a moment, and whoever comes after it waits with it. */
export const SET_SHORT_WAIT = "SET SESSION lock_wait_timeout = 1";
export const SET_USUAL_WAIT = "SET SESSION lock_wait_timeout = 10";

export function createDatabase(name: string): string {
  return `CREATE DATABASE IF NOT EXISTS ${identifier(name)}`;
}
