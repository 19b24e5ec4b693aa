import { type ReplicaSql, replicaSql } from "./replica_sql.ts";
import { ROW_OVERHEAD_BYTES } from "../remote/dialect.ts";

/**
 * Every statement of the PostgreSQL driver, for PostgreSQL and for YugabyteDB.
 *
 * Each is whole and does its own transaction: so it takes one round trip, a pooler may give every one another
 * connection, and YugabyteDB may restart it by itself. Nothing here needs a sequence, an advisory lock, a
 * savepoint or LISTEN.
 *
 * There is no secondary index: start-up and compaction know their rows by (rev, sub) from memory, and on YugabyteDB
 * every index makes each write a transaction over two tablets.
 */
export interface PostgresSql {
  /** One statement each; all of them can be run again. */
  readonly schema: readonly string[];
  readonly selectVersion: string;
  readonly insertBatch: string;
  readonly insertBatchWithState: string;
  readonly selectHead: string;
  readonly selectBatchId: string;
  readonly selectBatchesAfter: string;
  readonly selectRows: string;
  readonly selectRowsById: string;
  readonly selectState: string;
  readonly deleteRows: string;
  readonly selectFirstSeq: string;
  readonly deleteBatchesBelow: string;
  /** Tells those who listen of the batch 0; empty where nobody can. */
  readonly notify: string;
  readonly selectSize: string;
  readonly vacuum: readonly string[];
  readonly replicas: ReplicaSql;
}

/** What differs between the two. */
export interface Flavour {
  readonly name: "postgres" | "yugabytedb";
  /** Of each column in a primary key: YugabyteDB would hash the first, and PostgreSQL does not know the word. */
  readonly keyOrder: "" | " ASC";
  /** Whether `pg_notify` can be called; YugabyteDB fails the whole statement unless it is configured. */
  readonly hasNotify: boolean;
  /** What each session is told first; a server that does not know it says so, and no more is made of it. */
  readonly sessionSetUp: readonly string[];
  /** What one read may bring, without the overhead of its rows. */
  readonly maxPage: { readonly rows: number; readonly bytes: number };
  /** Bytes of a table with all that belongs to it. */
  readonly sizeFunction: "pg_total_relation_size" | "pg_table_size";
}

export const POSTGRES: Flavour = {
  name: "postgres",
  keyOrder: "",
  hasNotify: true,
  sessionSetUp: [],
  maxPage: { rows: Infinity, bytes: Infinity },
  sizeFunction: "pg_total_relation_size",
};

export const YUGABYTEDB: Flavour = {
  name: "yugabytedb",
  keyOrder: " ASC",
  hasNotify: false,
  // Rows that are asked for by their keys come in one exchange between its servers, not in one for each row.
  sessionSetUp: ["SET yb_bnl_batch_size = 1024"],
  // It can start a read again by itself as long as less than 256 KB of it have gone out: a row has 80 bytes beside
  // its key and value.
  maxPage: { rows: 512, bytes: 192 * 1024 },
  sizeFunction: "pg_table_size",
};

/** The layout of the tables, in `state` under kind 0. */
export const SCHEMA_VERSION = 1;

/** `prefix` is a part of identifiers: checked where it is read. */
export function postgresSql(flavour: Flavour, prefix: string): PostgresSql {
  const { keyOrder } = flavour;
  const batch = `${prefix}batch`;
  const kv = `${prefix}kv`;
  const state = `${prefix}state`;
  const removed = `${prefix}removed`;
  const replicas = replicaSql(flavour, prefix);
  return {
    schema: [
      `CREATE TABLE IF NOT EXISTS ${batch} (
  seq         bigint NOT NULL,
  id          bytea NOT NULL,
  first_rev   bigint NOT NULL,
  last_rev    bigint NOT NULL,
  time_ms     bigint NOT NULL,
  ops         bytea NOT NULL,
  total_bytes bigint NOT NULL,
  PRIMARY KEY (seq${keyOrder})
)`,
      `CREATE TABLE IF NOT EXISTS ${kv} (
  rev        bigint NOT NULL,
  sub        integer NOT NULL,
  key        bytea NOT NULL,
  value      bytea NOT NULL,
  create_rev bigint NOT NULL,
  version    bigint NOT NULL,
  lease      bigint NOT NULL,
  deleted    boolean NOT NULL,
  PRIMARY KEY (rev${keyOrder}, sub${keyOrder})
)`,
      `CREATE TABLE IF NOT EXISTS ${state} (
  kind  smallint NOT NULL,
  id    bytea NOT NULL,
  key   bytea NOT NULL,
  value bytea NOT NULL,
  PRIMARY KEY (kind${keyOrder}, id${keyOrder})
)`,
      `CREATE TABLE IF NOT EXISTS ${removed} (
  id    smallint NOT NULL,
  bytes bigint NOT NULL,
  PRIMARY KEY (id${keyOrder})
)`,
      `INSERT INTO ${removed} (id, bytes) VALUES (1, 0) ON CONFLICT (id) DO NOTHING`,
      // Every batch hangs on the one before it; this is the one before the first.
      `INSERT INTO ${batch} (seq, id, first_rev, last_rev, time_ms, ops, total_bytes)
VALUES (0, '', 2, 1, 0, '', 0) ON CONFLICT (seq) DO NOTHING`,
      ...replicas.schema,
      // Last, since it says that all the others are there.
      `INSERT INTO ${state} (kind, id, key, value)
VALUES (0, 'schema_version', 'schema_version', '${SCHEMA_VERSION}') ON CONFLICT (kind, id) DO NOTHING`,
    ],
    // Primary key.
    selectVersion:
      `SELECT value FROM ${state} WHERE kind = 0 AND id = 'schema_version'`,
    insertBatch: insertBatch(flavour, prefix, ""),
    insertBatchWithState: insertBatch(flavour, prefix, changeState(state)),
    // Last entry of the primary key.
    selectHead:
      `SELECT seq, last_rev, id FROM ${batch} ORDER BY seq DESC LIMIT 1`,
    // Primary key.
    selectBatchId: `SELECT id FROM ${batch} WHERE seq = $1::bigint AND seq > 0`,
    // Range of the primary key.
    selectBatchesAfter:
      `SELECT seq, id, first_rev, last_rev, time_ms, ops FROM ${batch}
WHERE seq > $1::bigint ORDER BY seq LIMIT $2::integer`,
    // Range of the primary key. Values that are stored apart stay there until it is known that they are wanted.
    selectRows:
      `SELECT rev, sub, length(key), key || value, create_rev, version, lease, deleted
FROM (
  SELECT *, sum(length(key) + length(value)) OVER (ORDER BY rev, sub ROWS UNBOUNDED PRECEDING)
    - length(key) - length(value) AS bytes_before
  FROM (
    SELECT rev, sub, key, value, create_rev, version, lease, deleted FROM ${kv}
    WHERE (rev, sub) > ($1::bigint, $2::integer) AND rev <= $3::bigint
    ORDER BY rev, sub LIMIT $4::integer
  ) AS candidate
) AS page WHERE bytes_before < $5::bigint ORDER BY rev, sub`,
    // Primary key, for each row asked for.
    selectRowsById:
      `SELECT kv.rev, kv.sub, length(kv.key), kv.key || kv.value, kv.create_rev, kv.version, kv.lease, kv.deleted
FROM unnest($1::bigint[], $2::integer[]) AS asked (rev, sub) JOIN ${kv} AS kv USING (rev, sub)`,
    // Range of the primary key. Every id is greater than none: ids begin behind the empty one, which `$3` lets in.
    selectState: `SELECT id, key, value FROM ${state}
WHERE kind = $1::smallint AND (id > $2::bytea OR ($3::integer = 1 AND id = $2::bytea)) ORDER BY id LIMIT $4::integer`,
    // Primary key, for each row.
    deleteRows: `WITH gone AS (
  DELETE FROM ${kv} AS kv USING unnest($1::bigint[], $2::integer[]) AS asked (rev, sub)
  WHERE kv.rev = asked.rev AND kv.sub = asked.sub
  RETURNING length(kv.key) + length(kv.value) + ${ROW_OVERHEAD_BYTES} AS bytes
)
UPDATE ${removed} SET bytes = bytes + (SELECT coalesce(sum(gone.bytes), 0) FROM gone) WHERE id = 1`,
    // First entry of the primary key.
    selectFirstSeq: `SELECT seq FROM ${batch} ORDER BY seq LIMIT 1`,
    // Range of the primary key, and its last entry: the end of the log stays.
    deleteBatchesBelow: `DELETE FROM ${batch}
WHERE seq < $1::bigint AND seq < (SELECT last.seq FROM ${batch} AS last ORDER BY last.seq DESC LIMIT 1)`,
    notify: flavour.hasNotify
      ? `SELECT pg_notify('${channelOf(prefix)}', '0')`
      : "",
    // Last entry of a primary key, and a primary key.
    selectSize: `SELECT (
  SELECT sum(${flavour.sizeFunction}(name::regclass))::bigint
  FROM unnest(ARRAY['${batch}', '${kv}', '${state}', '${removed}']) AS name
), (SELECT total_bytes FROM ${batch} ORDER BY seq DESC LIMIT 1) - (SELECT bytes FROM ${removed} WHERE id = 1)`,
    replicas,
    // The others stay small.
    vacuum: flavour.name === "yugabytedb" ? [] : [
      `VACUUM ${kv}`,
      `VACUUM ${batch}`,
      `REINDEX TABLE CONCURRENTLY ${kv}`,
    ],
  };
}

/** What somebody who may create tables has to run; each statement with its semicolon. */
export function postgresSchemaText(flavour: Flavour, prefix: string): string {
  const { schema } = postgresSql(flavour, prefix);
  return schema.map((statement) => `${statement};\n`).join("");
}

/**
 * A batch with its rows, at once or not at all.
 *
 * `before` holds on to the batch before it: that this one is not trimmed away while we look means that the one we
 * add was not there and trimmed either; that it has the id in $16 (empty: not known), that nobody has put the log back
 * in between. If there is none, nothing is done and no row comes back; if our seq is taken,
 * the primary key fails the statement.
 */
function insertBatch(
  flavour: Flavour,
  prefix: string,
  changes: string,
): string {
  const answer = flavour.hasNotify
    ? `pg_notify('${channelOf(prefix)}', seq::text)`
    : "seq";
  return `WITH before AS (
  SELECT total_bytes FROM ${prefix}batch WHERE seq = $1::bigint - 1
    AND (length($16::bytea) = 0 OR id = $16::bytea) FOR KEY SHARE
), added AS (
  INSERT INTO ${prefix}batch (seq, id, first_rev, last_rev, time_ms, ops, total_bytes)
  SELECT $1::bigint, $2::bytea, $3::bigint, $4::bigint, $5::bigint, $6::bytea, total_bytes + $7::bigint FROM before
  RETURNING seq
), row_added AS (
  INSERT INTO ${prefix}kv (rev, sub, key, value, create_rev, version, lease, deleted)
  SELECT r.rev, r.sub, r.key, r.value, r.create_rev, r.version, r.lease, r.deleted
  FROM added, unnest($8::bigint[], $9::integer[], $10::bytea[], $11::bytea[], $12::bigint[], $13::bigint[],
    $14::bigint[], $15::boolean[])
    AS r (rev, sub, key, value, create_rev, version, lease, deleted)
)${changes}
SELECT ${answer} FROM added`;
}

/** Upserts of $17 to $20 and removals of $21 and $22; no entry is in both. */
function changeState(state: string): string {
  return `, state_set AS (
  INSERT INTO ${state} (kind, id, key, value)
  SELECT s.kind, s.id, s.key, s.value FROM added, unnest($17::smallint[], $18::bytea[], $19::bytea[], $20::bytea[])
    AS s (kind, id, key, value)
  ON CONFLICT (kind, id) DO UPDATE SET value = excluded.value
), state_removed AS (
  DELETE FROM ${state} AS old USING added, unnest($21::smallint[], $22::bytea[]) AS s (kind, id)
  WHERE old.kind = s.kind AND old.id = s.id
)`;
}

/** Where notifications of commits go. */
export function channelOf(prefix: string): string {
  return `${prefix}commit`;
}

/** What a server must and should be; one row. */
export const SELECT_SERVER =
  `SELECT version(), pg_is_in_recovery(), current_setting('transaction_read_only'),
  current_setting('default_transaction_isolation'), current_setting('synchronous_commit'), current_setting('fsync')`;

export const BEGIN_CONSISTENT_READ =
  "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/** An identifier is no parameter: quotes are doubled. */
export function createDatabase(name: string, flavour: Flavour): string {
  const quoted = `"${name.replaceAll('"', '""')}"`;
  return flavour.name === "yugabytedb"
    ? `CREATE DATABASE ${quoted} WITH COLOCATION = true`
    : `CREATE DATABASE ${quoted}`;
}
