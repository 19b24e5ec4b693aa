import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { text } from "../../../base/bytes.ts";
import { BackendError, type Head } from "../../backend.ts";
import {
  checkSchemaVersion,
  SCHEMA_VERSION_KEY,
} from "../../schema_version.ts";
import { decodeState } from "../../state_codec.ts";
import { type StateChange, StateKind } from "../../state_change.ts";
import * as sql from "./sql.ts";
import { toBackendError } from "./sqlite_error.ts";
import { type Parameter, prepare, type Statement } from "./statement.ts";

/** Rows that are read at a time. */
const SLICE_ROWS = 1000;

/** One row of `stele_kv` as it stands in the table, believed in nothing. */
export interface RowFacts {
  readonly rev: number;
  readonly sub: number;
  readonly key: Uint8Array;
  readonly valueBytes: number;
  readonly createRev: number;
  readonly version: number;
  readonly lease: bigint;
  /** 1 for a tombstone. */
  readonly deleted: number;
}

/** One row of `stele_batch`. */
export interface BatchFacts {
  readonly seq: number;
  readonly idBytes: number;
  readonly firstRev: number;
  readonly lastRev: number;
  readonly timeMs: number;
  /** Undefined if they cannot be read. */
  readonly state: readonly StateChange[] | undefined;
}

/** What a file says of itself, quickly. */
export interface FileFacts {
  /** Of the last batch; 0 if there is none. */
  readonly seq: number;
  readonly revision: number;
  /** When the last batch was written, milliseconds since the epoch; 0 if there is none. */
  readonly timeMs: number;
  readonly rows: number;
  readonly batches: number;
  /** The largest revision of a row, 0 if there is none. */
  readonly lastRowRev: number;
}

/**
 * A database file that no server has open: a snapshot, or that of a stopped server. For reading only,
 * synchronous, in whatever thread calls it.
 *
 * With `isImmutable` the file is taken as it is, a write-ahead log beside it is not looked at, and nothing
 * is created.
 */
export class StoreFile implements Disposable {
  readonly db: DatabaseSync;

  private constructor(readonly path: string, db: DatabaseSync) {
    this.db = db;
  }

  /** Opens the file; throws `BackendError` if it is not a database of Stele, or not of this build's version. */
  static open(path: string, options: { isImmutable: boolean }): StoreFile {
    const url = pathToFileURL(path);
    if (options.isImmutable) url.searchParams.set("immutable", "1");
    const action = `read ${JSON.stringify(path)}`;
    return attempt(action, () => {
      const db = new DatabaseSync(url, { readOnly: true });
      try {
        checkSchema(db, path);
        return new StoreFile(path, db);
      } catch (error) {
        db.close();
        throw error;
      }
    });
  }

  /** What SQLite finds wrong with the file; empty if all is well. Reads the whole file. */
  integrityProblems(): string[] {
    try {
      return prepare<[string]>(this.db, sql.CHECK_INTEGRITY).all()
        .map(([problem]) => problem)
        .filter((problem) => problem !== "ok");
    } catch (error) {
      return [error instanceof Error ? error.message : String(error)];
    }
  }

  /** The end of the log. */
  head(): Head {
    return this.#attempt(() => {
      const head = prepare<[number, number]>(this.db, sql.SELECT_HEAD).get();
      const [seq, revision] = head ?? [0, 1];
      return { seq, revision };
    });
  }

  facts(): FileFacts {
    const { seq, revision } = this.head();
    return this.#attempt(() => {
      const last = prepare<[number, ...unknown[]]>(
        this.db,
        sql.SELECT_BATCHES_AFTER,
      ).get(seq - 1, 1) as number[] | undefined;
      const [rows, batches, lastRowRev] = prepare<[number, number, number]>(
        this.db,
        sql.SELECT_COUNTS,
      ).get()!;
      const timeMs = last?.[4] ?? 0;
      return { seq, revision, timeMs, rows, batches, lastRowRev };
    });
  }

  /** All state of one kind, in the order of its keys, the schema's version left out. */
  state(kind: StateKind): { key: Uint8Array; value: Uint8Array }[] {
    return this.#attempt(() =>
      prepare<[Uint8Array, Uint8Array]>(this.db, sql.STATE_SQL[kind].after)
        .all("", -1)
        .map(([key, value]) => ({ key, value }))
        .filter(({ key }) =>
          kind !== StateKind.Meta || text(key) !== text(SCHEMA_VERSION_KEY)
        )
    );
  }

  /** All rows, in (rev, sub) order. */
  *rows(): Generator<RowFacts, void, undefined> {
    const statement = this.#facts(sql.SELECT_ROW_FACTS_AFTER);
    let last: RowFacts | undefined;
    for (;;) {
      const slice = this.#attempt(() =>
        statement.all(last?.rev ?? -1, last?.sub ?? -1, SLICE_ROWS)
      );
      for (const row of slice) yield last = factsOf(row);
      if (slice.length < SLICE_ROWS) return;
    }
  }

  /** All rows, in the order of their keys, and (rev, sub) order for each. */
  *rowsByKey(): Generator<RowFacts, void, undefined> {
    const rows = this.#facts(sql.SELECT_ROW_FACTS_BY_KEY).iterate();
    for (;;) {
      const { done, value } = this.#attempt(() => rows.next());
      if (done) return;
      yield factsOf(value);
    }
  }

  /** All batches that are kept, in order. */
  *batches(): Generator<BatchFacts, void, undefined> {
    const statement = prepare<
      [number, Uint8Array, number, number, number, Uint8Array]
    >(this.db, sql.SELECT_BATCHES_AFTER);
    let after = Number.MIN_SAFE_INTEGER;
    for (;;) {
      const slice = this.#attempt(() => statement.all(after, SLICE_ROWS));
      for (const [seq, id, firstRev, lastRev, timeMs, ops] of slice) {
        after = seq;
        const state = stateOf(ops);
        yield { seq, idBytes: id.length, firstRev, lastRev, timeMs, state };
      }
      if (slice.length < SLICE_ROWS) return;
    }
  }

  close(): void {
    this.db.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #facts(text: string): FactsStatement {
    const statement = prepare<FactsRow>(this.db, text) as FactsStatement;
    // A damaged number may be beyond what is safe: it is to be reported, not to stop the reading.
    statement.setReadBigInts(true);
    return statement;
  }

  #attempt<T>(read: () => T): T {
    return attempt(`read ${JSON.stringify(this.path)}`, read);
  }
}

type FactsRow = [
  rev: bigint,
  sub: bigint,
  key: Uint8Array,
  valueBytes: bigint,
  createRev: bigint,
  version: bigint,
  lease: bigint,
  deleted: bigint,
];

/** What `node:sqlite` has beyond `Statement`. */
interface FactsStatement extends Statement<FactsRow> {
  setReadBigInts(enabled: boolean): void;
  iterate(...parameters: Parameter[]): Iterator<FactsRow>;
}

function factsOf(row: FactsRow): RowFacts {
  return {
    rev: Number(row[0]),
    sub: Number(row[1]),
    key: row[2],
    valueBytes: Number(row[3]),
    createRev: Number(row[4]),
    version: Number(row[5]),
    lease: row[6],
    deleted: Number(row[7]),
  };
}

function stateOf(ops: Uint8Array): StateChange[] | undefined {
  try {
    return decodeState(ops);
  } catch {
    return undefined; // the caller reports it, with the batch
  }
}

function checkSchema(db: DatabaseSync, path: string): void {
  const [tables, metas] = prepare<[number, number | null]>(
    db,
    sql.COUNT_TABLES,
  ).get()!;
  const version = tables > 0 && metas === 1
    ? prepare<[Uint8Array]>(db, sql.SELECT_META).get(SCHEMA_VERSION_KEY)
    : undefined;
  if (version === undefined) {
    throw new BackendError(
      `Cannot read ${JSON.stringify(path)}: it is not a database of Stele`,
      { kind: "schema" },
    );
  }
  checkSchemaVersion(Number(text(version[0])), path);
}

function attempt<T>(action: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw toBackendError(action, error) ?? error;
  }
}
