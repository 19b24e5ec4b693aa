import { DatabaseSync } from "node:sqlite";
import { text, utf8 } from "../../../base/bytes.ts";
import { BackendError } from "../../backend.ts";
import {
  checkSchemaVersion,
  SCHEMA_VERSION,
  SCHEMA_VERSION_KEY,
} from "../../schema_version.ts";
import { StateKind } from "../../state_change.ts";
import type { DataDir } from "./data_dir.ts";
import type { DatabaseOptions } from "./protocol.ts";
import * as sql from "./sql.ts";
import { stateSumOf } from "./checksums.ts";
import { execute, prepare } from "./statement.ts";
import { PAGE_BYTES } from "./wal_budget.ts";

/** The page cache in KiB. Appends touch the ends of the trees only, so more does not help. */
const CACHE_KIB = 4096;

/**
 * How long to wait for a lock on the file. Our own lock on the directory keeps other servers out; this is for
 * a worker of ours that died and is not quite gone, and for people who look into the file.
 */
const BUSY_TIMEOUT_MS = 5000;

/** What a WAL file that grew during a snapshot shrinks to. */
const WAL_SIZE_LIMIT_BYTES = 16 * 1024 * 1024;

/** Free pages are given back when we say so, and the file can shrink. */
const INCREMENTAL_VACUUM = 2;

/** Marks the file as ours, for `file(1)` and the curious: "Stel". */
const APPLICATION_ID = 0x5374656c;

/** Sets what holds for this connection, and for a new file what can never change. */
export function configure(db: DatabaseSync, options: DatabaseOptions): void {
  const synchronous = options.synchronous === "full" ? "FULL" : "OFF";
  execute(db, `PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
  execute(db, `PRAGMA synchronous = ${synchronous}`);
  execute(db, `PRAGMA page_size = ${PAGE_BYTES}`);
  // To say again what the file was made with would write to it, and sync three times, at each start.
  const [vacuum] = prepare<[mode: number]>(db, "PRAGMA auto_vacuum").get()!;
  if (vacuum !== INCREMENTAL_VACUUM) {
    execute(db, `PRAGMA auto_vacuum = ${INCREMENTAL_VACUUM}`);
  }
  execute(db, `PRAGMA journal_mode = WAL`);
  // On macOS a plain fsync stops at the drive's cache; elsewhere these two do nothing.
  execute(db, `PRAGMA fullfsync = ON`);
  execute(db, `PRAGMA checkpoint_fullfsync = ON`);
  execute(db, `PRAGMA wal_autocheckpoint = 0`);
  execute(db, `PRAGMA journal_size_limit = ${WAL_SIZE_LIMIT_BYTES}`);
  execute(db, `PRAGMA temp_store = MEMORY`);
  execute(db, `PRAGMA mmap_size = 0`);
  execute(db, `PRAGMA cache_size = -${CACHE_KIB}`);
  if (options.maxPageCount > 0) {
    execute(db, `PRAGMA max_page_count = ${options.maxPageCount}`);
  }
}

/**
 * Makes the file of a new store, whole or not at all: under another name, synced once, and renamed. SQLite, which
 * makes it in steps, would sync eleven times. The name is on the disk before anything is confirmed, since SQLite syncs
 * the directory with the first commit. Does nothing if there is a file, or a log that belonged to one.
 */
export function createFile(dir: DataDir, options: DatabaseOptions): void {
  if (dir.hasDatabase() || dir.walBytes() > 0) return;
  const path = dir.temporaryPath();
  const db = new DatabaseSync(path);
  try {
    configure(db, { ...options, synchronous: "off" });
    createOrCheckSchema(db, dir.path);
  } finally {
    db.close();
  }
  if (options.synchronous === "full") {
    using file = Deno.openSync(path, { write: true });
    file.syncSync();
  }
  Deno.renameSync(path, dir.databasePath);
}

/** Creates the tables in a new file; refuses a file that is not ours or not of our version. */
export function createOrCheckSchema(db: DatabaseSync, path: string): void {
  const [tables, metas] = prepare<[number, number | null]>(
    db,
    sql.COUNT_TABLES,
  ).get()!;
  if (tables === 0) {
    execute(db, "BEGIN IMMEDIATE");
    execute(db, `PRAGMA application_id = ${APPLICATION_ID}`);
    for (const statement of sql.SCHEMA) execute(db, statement);
    db.prepare(sql.STATE_SQL[StateKind.Meta].upsert)
      .run(SCHEMA_VERSION_KEY, utf8(String(SCHEMA_VERSION)));
    execute(db, "COMMIT");
    return;
  }
  const row = metas === 1
    ? prepare<[Uint8Array]>(db, sql.SELECT_META).get(SCHEMA_VERSION_KEY)
    : undefined;
  if (row === undefined) {
    throw new BackendError(
      `Cannot open ${
        JSON.stringify(path)
      }: its stele.db is not a database of Stele`,
      { kind: "schema" },
    );
  }
  const version = Number(text(row[0]));
  checkSchemaVersion(version, path);
  if (version < SCHEMA_VERSION) migrate(db);
  execute(db, sql.TRY_TO_WRITE);
}

/** Adds the checksums, at once or not at all; takes no longer for a large file. */
function migrate(db: DatabaseSync): void {
  execute(db, "BEGIN IMMEDIATE");
  try {
    for (const statement of sql.MIGRATE_FROM_1) execute(db, statement);
    prepare(db, sql.UPDATE_SUMS).run(stateSumOf(db));
    db.prepare(sql.STATE_SQL[StateKind.Meta].upsert)
      .run(SCHEMA_VERSION_KEY, utf8(String(SCHEMA_VERSION)));
    execute(db, "COMMIT");
  } catch (error) {
    if (db.isTransaction) execute(db, "ROLLBACK");
    throw error;
  }
}
