import type { Clock } from "../../../base/clock.ts";
import { text } from "../../../base/bytes.ts";
import { BackendError, type Head, type RowId } from "../../backend.ts";
import type { StateKind } from "../../state_change.ts";
import type {
  Dialect,
  Fault,
  LogReader,
  NewBatch,
  RowPage,
  StatePage,
  StoredBatch,
  StoredRow,
  StoredState,
  Warning,
} from "../remote/dialect.ts";
import type { Credentials, ServerAddress } from "../remote/protocol.ts";
import { batchParameters } from "./batch_parameters.ts";
import {
  codeOf,
  CONCURRENT_DDL,
  faultOf,
  isForbidden,
  UNDEFINED_DATABASE,
  UNDEFINED_TABLE,
} from "./postgres_fault.ts";
import {
  BEGIN_CONSISTENT_READ,
  channelOf,
  createDatabase,
  type Flavour,
  POSTGRES,
  type PostgresSql,
  postgresSql,
  SCHEMA_VERSION,
  SELECT_SERVER,
  YUGABYTEDB,
} from "./sql.ts";
import {
  ArrayWriter,
  bigint,
  booleanIn,
  bytesIn,
  decimalIn,
  integer,
  numberIn,
  type Row,
  smallint,
  textIn,
  Type,
  type Value,
} from "./wire/binary.ts";
import { PostgresReplicas } from "./postgres_replicas.ts";
import { type Ask, ConnectionPool } from "./wire/connection_pool.ts";

/**
 * PostgreSQL and YugabyteDB, through one pool of sessions in the worker.
 *
 * No statement relies on what a session remembers, apart from prepared statements, and those are given up as soon
 * as a pooler turns out not to keep them.
 */
export class PostgresDialect implements Dialect {
  readonly replicas: PostgresReplicas = new PostgresReplicas(
    (statement, parameters) =>
      this.#pool.query(statement(this.#sql.replicas), parameters),
  );
  readonly #address: ServerAddress;
  readonly #credentials: () => Promise<Credentials>;
  readonly #clock: Clock;
  #flavour: Flavour = POSTGRES;
  #sql: PostgresSql;
  #pool: ConnectionPool;
  /** Never rejects. */
  #longWork: Promise<unknown> = Promise.resolve();

  constructor(
    address: ServerAddress,
    credentials: () => Promise<Credentials>,
    clock: Clock,
  ) {
    this.#address = address;
    this.#credentials = credentials;
    this.#clock = clock;
    this.#sql = postgresSql(POSTGRES, address.tablePrefix);
    this.#pool = this.#makePool();
  }

  get engine(): string {
    return this.#flavour.name;
  }

  async open(): Promise<readonly Warning[]> {
    let rows;
    try {
      rows = await this.#pool.query(SELECT_SERVER);
    } catch (error) {
      if (codeOf(error) !== UNDEFINED_DATABASE) throw error;
      await this.#createDatabase();
      rows = await this.#pool.query(SELECT_SERVER);
    }
    const server = readServer(rows[0] ?? []);
    this.#adopt(server.flavour);
    const warnings = checkServer(server);
    await this.#createTables();
    return warnings;
  }

  async insertBatch(batch: NewBatch): Promise<boolean> {
    const statement = batch.state.length > 0
      ? this.#sql.insertBatchWithState
      : this.#sql.insertBatch;
    const parameters = batchParameters(batch);
    const added = await this.#pool.query(statement, parameters, {
      isUrgent: true,
    });
    return added.length > 0;
  }

  head(): Promise<Head> {
    return this.#reader().head();
  }

  rows(page: RowPage): Promise<StoredRow[]> {
    return this.#reader().rows(page);
  }

  state(kind: StateKind, page: StatePage): Promise<StoredState[]> {
    return this.#reader().state(kind, page);
  }

  async batchIdAt(seq: number): Promise<Uint8Array | undefined> {
    const [row] = await this.#pool.query(this.#sql.selectBatchId, [
      bigint(seq),
    ]);
    return row === undefined ? undefined : bytesIn(row, 0).slice();
  }

  async batchesAfter(seq: number, limit: number): Promise<StoredBatch[]> {
    const rows = await this.#pool.query(this.#sql.selectBatchesAfter, [
      bigint(seq),
      integer(limit),
    ]);
    return rows.map((row) => ({
      seq: numberIn(row, 0),
      id: bytesIn(row, 1).slice(),
      firstRev: numberIn(row, 2),
      lastRev: numberIn(row, 3),
      timeMs: numberIn(row, 4),
      ops: bytesIn(row, 5).slice(),
    }));
  }

  async rowsOf(ids: readonly RowId[]): Promise<StoredRow[]> {
    const rows = await this.#pool.query(
      this.#sql.selectRowsById,
      idArrays(ids),
    );
    return rows.map(storedRow);
  }

  async removeRows(ids: readonly RowId[]): Promise<void> {
    await this.#pool.query(this.#sql.deleteRows, idArrays(ids));
  }

  async firstSeq(): Promise<number> {
    const [row] = await this.#pool.query(this.#sql.selectFirstSeq);
    return row === undefined ? 0 : numberIn(row, 0);
  }

  async removeBatchesBelow(seq: number): Promise<void> {
    await this.#pool.query(this.#sql.deleteBatchesBelow, [bigint(seq)]);
  }

  async size(): Promise<{ totalBytes: number; inUseBytes: number }> {
    const [row = []] = await this.#pool.query(this.#sql.selectSize);
    const inUseBytes = numberIn(row, 1);
    // YugabyteDB has versions that do not know.
    const totalBytes = Math.max(numberIn(row, 0), inUseBytes);
    return { totalBytes, inUseBytes };
  }

  defragment(): Promise<void> {
    return this.#alone(async () => {
      for (const statement of this.#sql.vacuum) {
        await this.#pool.query(statement);
      }
    });
  }

  readConsistently<T>(read: (reader: LogReader) => Promise<T>): Promise<T> {
    return this.#alone(() =>
      this.#pool.use(async (ask) => {
        await ask(BEGIN_CONSISTENT_READ);
        try {
          const result = await read(
            new PostgresReader(this.#sql, this.#flavour, ask),
          );
          await ask("COMMIT");
          return result;
        } catch (error) {
          // A session that is lost has ended its transaction already.
          await ask("ROLLBACK").catch(() => {});
          throw error;
        }
      })
    );
  }

  async listen(
    heard: (seq: number) => void,
    lost: () => void,
  ): Promise<boolean> {
    const { tablePrefix, prepare } = this.#address;
    // Behind a pooler the session that listens would be anybody's.
    if (!this.#flavour.hasNotify || !prepare) return false;
    const connection = await this.#pool.openOwn({
      notified: (seq) => {
        if (/^\d{1,15}$/.test(seq)) heard(Number(seq));
      },
      lost,
    });
    const statement = `LISTEN ${channelOf(tablePrefix)}`;
    await connection.query(statement, [], { prepare: false });
    // One that everybody knows already: if it comes through, others will.
    await this.#pool.query(this.#sql.notify);
    return true;
  }

  faultOf(error: unknown): Fault {
    return faultOf(error);
  }

  reset(): void {
    this.#pool.reset();
  }

  close(): Promise<void> {
    this.#pool.close();
    return Promise.resolve();
  }

  /** What takes long goes one by one, so that it never has every session. */
  #alone<T>(act: () => Promise<T>): Promise<T> {
    const run = this.#longWork.then(act);
    this.#longWork = run.catch(() => {});
    return run;
  }

  #reader(): LogReader {
    return new PostgresReader(
      this.#sql,
      this.#flavour,
      (statement, parameters) => this.#pool.query(statement, parameters),
    );
  }

  #makePool(database = this.#address.database): ConnectionPool {
    return new ConnectionPool(
      { ...this.#address, database },
      this.#credentials,
      this.#clock,
      {
        maxConnections: this.#address.maxConnections,
        setUp: this.#flavour.sessionSetUp,
      },
    );
  }

  /** Now that we know whom we talk to. */
  #adopt(flavour: Flavour): void {
    if (flavour === this.#flavour) return;
    this.#flavour = flavour;
    this.#sql = postgresSql(flavour, this.#address.tablePrefix);
    this.#pool.close();
    this.#pool = this.#makePool();
  }

  /** From the database that every server has. */
  async #createDatabase(): Promise<void> {
    const { database } = this.#address;
    const pool = this.#makePool(MAINTENANCE_DATABASE);
    try {
      const [row = []] = await pool.query(SELECT_SERVER);
      const server = readServer(row);
      checkServer(server);
      await pool.query(createDatabase(database, server.flavour));
    } catch (error) {
      if (CONCURRENT_DDL.has(codeOf(error))) return;
      if (!isForbidden(error)) throw error;
      throw new BackendError(
        `Cannot open database ${JSON.stringify(database)}: ` +
          `it does not exist, and user ${
            JSON.stringify(this.#address.user)
          } may not create it`,
        { cause: error, cure: `${SCHEMA_CURE}.` },
      );
    } finally {
      pool.close();
    }
  }

  async #createTables(): Promise<void> {
    const { database, tablePrefix } = this.#address;
    let version = await this.#schemaVersion();
    if (version === undefined) {
      try {
        for (const statement of this.#sql.schema) await this.#define(statement);
      } catch (error) {
        if (!isForbidden(error)) throw error;
        throw new BackendError(
          `Cannot create tables in database ${JSON.stringify(database)}: ` +
            (error as Error).message,
          {
            cause: error,
            cure: `${SCHEMA_CURE} --engine=${this.engine}` +
              (tablePrefix === "stele_"
                ? "."
                : ` --table-prefix=${tablePrefix}.`),
          },
        );
      }
      version = await this.#schemaVersion();
    }
    if (version === SCHEMA_VERSION) return;
    throw new BackendError(
      `Cannot open database ${JSON.stringify(database)}: ` +
        `its schema has version ${version}, this build knows version ${SCHEMA_VERSION}`,
      { kind: "schema" },
    );
  }

  /** `IF NOT EXISTS` fails if another server creates the same at that moment; the next look finds it, or nothing. */
  async #define(statement: string): Promise<void> {
    for (let collisions = 0;; collisions++) {
      try {
        await this.#pool.query(statement);
        return;
      } catch (error) {
        const isCollision = CONCURRENT_DDL.has(codeOf(error));
        if (!isCollision || collisions === MAX_COLLISIONS) throw error;
      }
    }
  }

  /** Undefined: there are no tables, or not all of them. */
  async #schemaVersion(): Promise<number | undefined> {
    try {
      const [row] = await this.#pool.query(this.#sql.selectVersion);
      return row === undefined ? undefined : Number(text(bytesIn(row, 0)));
    } catch (error) {
      if (codeOf(error) === UNDEFINED_TABLE) return undefined;
      throw error;
    }
  }
}

/** As many servers as may start on an empty database at the same moment, and have their transactions undone. */
const MAX_COLLISIONS = 16;

const SCHEMA_CURE =
  "Let somebody who may create them run what this prints: stele schema --print";

/** Where `CREATE DATABASE` is run. */
const MAINTENANCE_DATABASE = "postgres";

/** What can be read in a transaction too. */
class PostgresReader implements LogReader {
  readonly #sql: PostgresSql;
  readonly #maxPage: Flavour["maxPage"];
  readonly #ask: Ask;

  constructor(sql: PostgresSql, { maxPage }: Flavour, ask: Ask) {
    this.#sql = sql;
    this.#maxPage = maxPage;
    this.#ask = ask;
  }

  async head(): Promise<Head> {
    const [row] = await this.#ask(this.#sql.selectHead);
    if (row === undefined) {
      throw new BackendError("Cannot read the head: the log has no batch", {
        kind: "corrupt",
      });
    }
    return {
      seq: numberIn(row, 0),
      revision: numberIn(row, 1),
      id: bytesIn(row, 2).slice(),
    };
  }

  async rows(page: RowPage): Promise<StoredRow[]> {
    const { afterRev, afterSub, throughRev, maxRows, maxBytes } = page;
    const rows = await this.#ask(this.#sql.selectRows, [
      bigint(afterRev),
      integer(afterSub),
      bigint(throughRev),
      integer(Math.min(maxRows, this.#maxPage.rows)),
      bigint(Math.min(maxBytes, this.#maxPage.bytes)),
    ]);
    return rows.map(storedRow);
  }

  async state(kind: StateKind, page: StatePage): Promise<StoredState[]> {
    const { afterId, maxEntries } = page;
    const rows = await this.#ask(this.#sql.selectState, [
      smallint(kind),
      afterId ?? new Uint8Array(0),
      integer(afterId === undefined ? 1 : 0),
      integer(maxEntries),
    ]);
    return rows.map((row) => ({
      id: bytesIn(row, 0),
      key: bytesIn(row, 1),
      value: bytesIn(row, 2),
    }));
  }
}

/** What a server says of itself. */
interface ServerFacts {
  readonly flavour: Flavour;
  readonly isStandby: boolean;
  readonly isReadOnly: boolean;
  readonly isolation: string;
  readonly synchronousCommit: string;
  readonly fsync: string;
}

function readServer(row: Row): ServerFacts {
  return {
    flavour: flavourOf(textIn(row, 0)),
    isStandby: booleanIn(row, 1),
    isReadOnly: textIn(row, 2) === "on",
    isolation: textIn(row, 3),
    synchronousCommit: textIn(row, 4),
    fsync: textIn(row, 5),
  };
}

/** Throws for a server that cannot be used; tells what should not be as it is. */
export function checkServer(server: ServerFacts): Warning[] {
  if (server.isStandby) {
    throw new BackendError(
      "Cannot open the database: the server is a standby, which takes no writes",
      {
        cure:
          "Name the primary in --endpoint, or all hosts: HOST:PORT,HOST:PORT.",
      },
    );
  }
  if (server.isReadOnly) {
    throw new BackendError(
      "Cannot open the database: it is read-only (default_transaction_read_only)",
      { cure: "ALTER DATABASE … SET default_transaction_read_only = off." },
    );
  }
  const warnings: Warning[] = [];
  const { fsync, synchronousCommit } = server;
  if (fsync === "off" || synchronousCommit === "off") {
    warnings.push({
      message:
        "database answers before a commit is on its disk: writes can be lost when it crashes",
      fields: { fsync, synchronousCommit },
    });
  }
  if (STRONGER_ISOLATION.has(server.isolation)) {
    warnings.push({
      message:
        "database isolates more than it need: writers that meet fail and try again instead of waiting",
      fields: { default_transaction_isolation: server.isolation },
    });
  }
  return warnings;
}

/** Each statement here is a transaction of its own, for which read committed is enough. */
const STRONGER_ISOLATION: ReadonlySet<string> = new Set([
  "repeatable read",
  "serializable",
]);

function flavourOf(version: string): Flavour {
  return version.includes("-YB-") ? YUGABYTEDB : POSTGRES;
}

function storedRow(row: Row): StoredRow {
  return {
    rev: numberIn(row, 0),
    sub: numberIn(row, 1),
    keyBytes: numberIn(row, 2),
    bytes: bytesIn(row, 3),
    createRev: numberIn(row, 4),
    version: numberIn(row, 5),
    lease: decimalIn(row, 6),
    deleted: booleanIn(row, 7),
  };
}

function idArrays(ids: readonly RowId[]): Value[] {
  const { length } = ids;
  const revs = new ArrayWriter(Type.Bigint, length, 8 * length);
  const subs = new ArrayWriter(Type.Integer, length, 4 * length);
  for (const { rev, sub } of ids) {
    revs.bigint(rev);
    subs.integer(sub);
  }
  return [revs.take(), subs.take()];
}
