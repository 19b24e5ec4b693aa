import { EMPTY, text } from "../../../base/bytes.ts";
import type { Clock } from "../../../base/clock.ts";
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
import { batchStatements } from "./batch_statements.ts";
import { ConnectionPool } from "./connection_pool.ts";
import { bind, identifier, type Parameter, rowIdList } from "./literal.ts";
import type { MysqlConnection, Row } from "./mysql_connection.ts";
import {
  DENIED,
  faultOf,
  NO_SUCH_TABLE,
  NULL_IN_COLUMN,
  numberOf,
  ReadOnlyServer,
  UNKNOWN_DATABASE,
} from "./mysql_error.ts";
import { bytesIn, MysqlReader, numberIn, storedRow } from "./mysql_reader.ts";
import { MysqlReplicas } from "./mysql_replicas.ts";
import { checkPrimary, PrimaryFinder } from "./primary_finder.ts";
import {
  checkServer,
  checkTableEngines,
  SELECT_VARIABLES,
} from "./server_check.ts";
import {
  BEGIN_CONSISTENT_READ,
  createDatabase,
  type MysqlSql,
  mysqlSql,
  SCHEMA_VERSION,
  SET_GALERA_SESSION,
  SET_SESSION,
  SET_SHORT_WAIT,
  SET_USUAL_WAIT,
} from "./sql.ts";
import { rollBack, runTransaction } from "./transaction.ts";

/**
 * MySQL and MariaDB: one connection writes, so that no read is in its way, and a few others read.
 *
 * Whatever a call needs goes as one query, of several statements if need be: those behind one that failed are not
 * run. (Galera is the exception: see `TransactionOptions`.)
 */
export class MysqlDialect implements Dialect {
  readonly replicas: MysqlReplicas = new MysqlReplicas(
    (statements, parameters) =>
      this.#ask(statements(this.#sql.replicas), parameters),
  );
  readonly #address: ServerAddress;
  readonly #finder: PrimaryFinder;
  readonly #sql: MysqlSql;
  readonly #writer: ConnectionPool<MysqlConnection>;
  readonly #readers: ConnectionPool<MysqlConnection>;
  #engine: "mysql" | "mariadb" = "mysql";
  #isGalera = false;
  #setUp = SET_SESSION;
  #maxPacketBytes = 0;

  constructor(
    address: ServerAddress,
    credentials: () => Promise<Credentials>,
    clock: Clock,
  ) {
    this.#address = address;
    this.#finder = new PrimaryFinder(address, credentials, clock);
    this.#sql = mysqlSql(address.tablePrefix);
    const connect = () => this.#finder.connect(this.#setUp, address.database);
    this.#writer = new ConnectionPool(connect, 1);
    this.#readers = address.maxConnections > 1
      ? new ConnectionPool(connect, address.maxConnections - 1)
      : this.#writer;
  }

  get engine(): string {
    return this.#engine;
  }

  async open(): Promise<readonly Warning[]> {
    try {
      const warnings = await this.#checkServer();
      await this.#createTables();
      return warnings;
    } catch (error) {
      // Later it may pass; to begin with, the address is more likely to be wrong.
      if (!(error instanceof ReadOnlyServer)) throw error;
      throw new BackendError(`Cannot open the database: ${error.message}`, {
        cure: "Point --endpoint at the primary.",
        cause: error,
      });
    }
  }

  async insertBatch(batch: NewBatch): Promise<boolean> {
    const statements = batchStatements(this.#sql, batch, this.#queryBytes());
    for (const statement of statements) this.#checkSize(statement);
    return await this.#writer.use(async (connection) => {
      try {
        await this.#transaction(connection, statements);
        return true;
      } catch (error) {
        if (numberOf(error) !== NULL_IN_COLUMN) throw error;
        await checkStillPrimary(connection);
        return false;
      }
    });
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
    const [row] = await this.#ask(this.#sql.selectBatchId, [seq]);
    return row === undefined ? undefined : bytesIn(row, 0);
  }

  async batchesAfter(seq: number, limit: number): Promise<StoredBatch[]> {
    const rows = await this.#ask(this.#sql.selectBatchesAfter, [seq, limit]);
    return rows.map((row) => ({
      seq: numberIn(row, 0),
      id: bytesIn(row, 1),
      firstRev: numberIn(row, 2),
      lastRev: numberIn(row, 3),
      timeMs: numberIn(row, 4),
      ops: bytesIn(row, 5),
    }));
  }

  async rowsOf(ids: readonly RowId[]): Promise<StoredRow[]> {
    const rows = await this.#ask(this.#sql.selectRowsById, [rowIdList(ids)]);
    return rows.map(storedRow);
  }

  async removeRows(ids: readonly RowId[]): Promise<void> {
    const list = rowIdList(ids);
    const statements = [
      bind(this.#sql.selectBytes, [list]),
      bind(this.#sql.deleteRows, [list]),
      this.#sql.countRemoved,
    ];
    await this.#readers.use((connection) =>
      this.#transaction(connection, statements)
    );
  }

  async firstSeq(): Promise<number> {
    const [row] = await this.#ask(this.#sql.selectFirstSeq);
    return row === undefined ? 0 : numberIn(row, 0);
  }

  async removeBatchesBelow(seq: number): Promise<void> {
    await this.#ask(this.#sql.deleteBatchesBelow, [seq]);
  }

  async size(): Promise<{ totalBytes: number; inUseBytes: number }> {
    const [row] = await this.#ask(this.#sql.selectSize);
    const inUseBytes = row === undefined ? 0 : numberIn(row, 1);
    // The server counts pages now and then only.
    const totalBytes = Math.max(
      row === undefined ? 0 : numberIn(row, 0),
      inUseBytes,
    );
    return { totalBytes, inUseBytes };
  }

  async defragment(): Promise<void> {
    await this.#readers.use(async (connection) => {
      await connection.query(SET_SHORT_WAIT);
      try {
        checkOutcome(await connection.query(this.#sql.optimize));
      } finally {
        await connection.query(SET_USUAL_WAIT).catch(() =>
          connection.destroy()
        );
      }
    });
  }

  readConsistently<T>(read: (reader: LogReader) => Promise<T>): Promise<T> {
    return this.#readers.use(async (connection) => {
      try {
        await connection.query(BEGIN_CONSISTENT_READ);
        return await read(
          new MysqlReader(
            this.#sql,
            (statement, parameters = []) =>
              connection.query(bind(statement, parameters)),
          ),
        );
      } finally {
        await rollBack(connection);
      }
    });
  }

  /** There is nothing to listen to: polling finds what others commit. */
  listen(): Promise<boolean> {
    return Promise.resolve(false);
  }

  faultOf(error: unknown): Fault {
    return faultOf(error);
  }

  reset(): void {
    this.#writer.reset();
    this.#readers.reset();
  }

  async close(): Promise<void> {
    await Promise.all([this.#writer.close(), this.#readers.close()]);
  }

  #reader(): LogReader {
    return new MysqlReader(
      this.#sql,
      (statement, parameters) => this.#ask(statement, parameters),
    );
  }

  #ask(
    statement: string,
    parameters: readonly Parameter[] = [],
  ): Promise<Row[]> {
    const query = bind(statement, parameters);
    return this.#readers.use((connection) => connection.query(query));
  }

  async #checkServer(): Promise<readonly Warning[]> {
    let found;
    try {
      found = await this.#ask(SELECT_VARIABLES);
    } catch (error) {
      if (numberOf(error) !== UNKNOWN_DATABASE) throw error;
      await this.#createDatabase();
      found = await this.#ask(SELECT_VARIABLES);
    }
    const facts = checkServer(pairs(found));
    this.#engine = facts.engine;
    this.#maxPacketBytes = facts.maxPacketBytes;
    this.#isGalera = facts.isGalera;
    if (facts.isGalera) {
      this.#setUp = `${SET_SESSION};\n${SET_GALERA_SESSION}`;
      this.reset();
    }
    return facts.warnings;
  }

  async #createDatabase(): Promise<void> {
    const connection = await this.#finder.connect(SET_SESSION, undefined);
    try {
      await connection.query(createDatabase(this.#address.database));
    } catch (error) {
      throw this.#explained(error, "database");
    } finally {
      connection.destroy();
    }
  }

  async #createTables(): Promise<void> {
    let version = await this.#schemaVersion();
    if (version === undefined) {
      try {
        for (const statement of this.#sql.schema) await this.#ask(statement);
      } catch (error) {
        throw this.#explained(error, "tables");
      }
      version = await this.#schemaVersion();
    }
    if (version !== SCHEMA_VERSION) {
      throw new BackendError(
        `Cannot open database ${JSON.stringify(this.#address.database)}: ` +
          `its schema has version ${version}, this build knows version ${SCHEMA_VERSION}`,
        { kind: "schema" },
      );
    }
    checkTableEngines(pairs(await this.#ask(this.#sql.selectEngines)));
  }

  /** Undefined: there are no tables, or not all of them. */
  async #schemaVersion(): Promise<number | undefined> {
    try {
      const [row] = await this.#ask(this.#sql.selectVersion);
      return row === undefined ? undefined : Number(text(bytesIn(row, 0)));
    } catch (error) {
      if (numberOf(error) === NO_SUCH_TABLE) return undefined;
      throw error;
    }
  }

  /** What an operator can do if we may not create what is missing. */
  #explained(error: unknown, missing: "database" | "tables"): unknown {
    if (!DENIED.has(numberOf(error))) return error;
    const { user, database } = this.#address;
    const why = error instanceof Error ? error.message : String(error);
    return new BackendError(
      `Cannot create the ${missing} in ${JSON.stringify(database)}: ${why}`,
      {
        cause: error,
        cure:
          `GRANT ALL ON ${identifier(database)}.* TO ${
            JSON.stringify(user)
          }, ` +
          "or have somebody who may run what `stele schema --print --engine=mysql` prints.",
      },
    );
  }

  #transaction(
    connection: MysqlConnection,
    statements: readonly string[],
  ): Promise<void> {
    return runTransaction(connection, statements, {
      queryBytes: this.#queryBytes(),
      isOneByOne: this.#isGalera,
    });
  }

  #queryBytes(): number {
    return Math.min(this.#maxPacketBytes - HEADER_BYTES, MAX_QUERY_BYTES);
  }

  #checkSize(statement: string): void {
    const bytes = statement.length + HEADER_BYTES;
    if (bytes <= this.#maxPacketBytes) return;
    throw new BackendError(
      `Cannot append: a row takes ${bytes} bytes as SQL, and the server's max_allowed_packet is ${this.#maxPacketBytes}`,
      { cure: "Raise max_allowed_packet, or lower --max-request-bytes." },
    );
  }
}

/** Longer queries save nothing, and each server thread keeps a buffer that is as long. */
const MAX_QUERY_BYTES = 4 * 2 ** 20;
/** Of a query, in its packet; generously. */
const HEADER_BYTES = 64;

/** A connection to a server that is none any more is given up. */
async function checkStillPrimary(connection: MysqlConnection): Promise<void> {
  try {
    await checkPrimary(connection);
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

/** `OPTIMIZE` succeeds whatever happens, and says so in rows of table, operation, kind of message, text. */
function checkOutcome(rows: readonly Row[]): void {
  for (const row of rows) {
    const [, , kind, message] = row.map((cell) => text(cell ?? EMPTY));
    if (kind?.toLowerCase() !== "error") continue;
    throw new BackendError(`Cannot defragment: ${message}`);
  }
}

function pairs(rows: readonly Row[]): Map<string, string> {
  return new Map(
    rows.map((row) => [text(bytesIn(row, 0)), text(row[1] ?? EMPTY)]),
  );
}
