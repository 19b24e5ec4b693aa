import type { DatabaseSync } from "node:sqlite";
import { text, utf8 } from "../../../base/bytes.ts";
import { BackendError } from "../../backend.ts";
import {
  checkSchemaVersion,
  SCHEMA_VERSION,
  SCHEMA_VERSION_KEY,
} from "../../schema_version.ts";
import { StateKind } from "../../state_change.ts";
import type { DatabaseOptions } from "./protocol.ts";
import * as sql from "./sql.ts";
import { prepare } from "./statement.ts";
import { PAGE_BYTES } from "./wal_budget.ts";

/** The page cache in KiB. Appends touch the ends of the trees only, so more does not help. */
const CACHE_KIB = 4096;

/** What a WAL file that grew during a snapshot shrinks to. */
const WAL_SIZE_LIMIT_BYTES = 16 * 1024 * 1024;

/** Marks the file as ours, for `file(1)` and the curious: "Stel". */
const APPLICATION_ID = 0x5374656c;

/** Sets what holds for this connection, and for a new file what can never change. */
export function configure(db: DatabaseSync, options: DatabaseOptions): void {
  db.exec(`
    PRAGMA page_size = ${PAGE_BYTES};
    PRAGMA auto_vacuum = INCREMENTAL;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = ${options.synchronous === "full" ? "FULL" : "OFF"};
    PRAGMA wal_autocheckpoint = 0;
    PRAGMA journal_size_limit = ${WAL_SIZE_LIMIT_BYTES};
    PRAGMA temp_store = MEMORY;
    PRAGMA mmap_size = 0;
    PRAGMA cache_size = -${CACHE_KIB};
  `);
  if (options.maxPageCount > 0) {
    db.exec(`PRAGMA max_page_count = ${options.maxPageCount}`);
  }
}

/** Creates the tables in a new file; refuses a file that is not ours or not of our version. */
export function createOrCheckSchema(db: DatabaseSync, path: string): void {
  const [tables, metas] = prepare<[number, number | null]>(
    db,
    sql.COUNT_TABLES,
  ).get()!;
  if (tables === 0) {
    db.exec(
      `BEGIN IMMEDIATE; PRAGMA application_id = ${APPLICATION_ID}; ${sql.SCHEMA}`,
    );
    db.prepare(sql.STATE_SQL[StateKind.Meta].upsert)
      .run(SCHEMA_VERSION_KEY, utf8(String(SCHEMA_VERSION)));
    db.exec("COMMIT");
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
  checkSchemaVersion(Number(text(row[0])), path);
}
