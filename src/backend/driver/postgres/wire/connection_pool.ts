import type { Clock } from "../../../../base/clock.ts";
import { BackendError } from "../../../backend.ts";
import type { Credentials, ServerAddress } from "../../remote/protocol.ts";
import { booleanIn, type Row, textIn, type Value } from "./binary.ts";
import { Connection, type ConnectionListener } from "./connection.ts";
import {
  CONNECTION_FAILURE,
  PostgresError,
  READ_ONLY,
  UNABLE_TO_CONNECT,
} from "./postgres_error.ts";

/** One statement in a session. */
export type Ask = (
  statement: string,
  parameters?: readonly Value[],
) => Promise<Row[]>;

export interface PoolOptions {
  readonly maxConnections: number;
  /** Run once in each new session; what fails is ignored. */
  readonly setUp: readonly string[];
}

/**
 * Sessions with whichever of the hosts takes writes. They are opened when they are needed, and given out one by one;
 * who comes when all are taken waits in turn, an append before all others.
 *
 * Nobody retries here: a session that is lost fails whoever uses it.
 */
export class ConnectionPool {
  readonly #address: ServerAddress;
  readonly #credentials: () => Promise<Credentials>;
  readonly #clock: Clock;
  readonly #options: PoolOptions;
  readonly #idle: Connection[] = [];
  readonly #all = new Set<Connection>();
  /** Those that are being opened count as well. */
  #count = 0;
  readonly #waiting: PromiseWithResolvers<Connection>[] = [];
  #hostIndex = 0;
  #prepare: boolean;
  #isClosed = false;

  constructor(
    address: ServerAddress,
    credentials: () => Promise<Credentials>,
    clock: Clock,
    options: PoolOptions,
  ) {
    this.#address = address;
    this.#credentials = credentials;
    this.#clock = clock;
    this.#options = options;
    this.#prepare = address.prepare;
  }

  /** One statement in a session of its own. `isUrgent`: before others that wait. */
  async query(
    statement: string,
    parameters: readonly Value[] = [],
    options: { readonly isUrgent?: boolean } = {},
  ): Promise<Row[]> {
    return await this.use((ask) => ask(statement, parameters), options);
  }

  /** Lends out a session; it must be as it was when `act` ends well. */
  async use<T>(
    act: (ask: Ask) => Promise<T>,
    { isUrgent = false }: { readonly isUrgent?: boolean } = {},
  ): Promise<T> {
    const connection = await this.#acquire(isUrgent);
    try {
      return await act((statement, parameters = []) =>
        connection.query(statement, parameters, { prepare: this.#prepare })
      );
    } catch (error) {
      this.#learnFrom(error);
      throw error;
    } finally {
      this.#release(connection);
    }
  }

  /** A session that stays with its owner, and ends with the pool. */
  async openOwn(listener: ConnectionListener): Promise<Connection> {
    const connection = await this.#open({
      notified: (payload) => listener.notified(payload),
      lost: (error) => {
        this.#all.delete(connection);
        listener.lost(error);
      },
    });
    this.#all.add(connection);
    return connection;
  }

  /** Gives up all sessions; those that ask from now on get new ones. */
  reset(): void {
    for (const connection of [...this.#all]) connection.destroy();
  }

  close(): void {
    this.#isClosed = true;
    const error = closedError();
    for (const waiting of this.#waiting.splice(0)) waiting.reject(error);
    for (const connection of [...this.#all]) {
      if (connection.isBusy) connection.destroy();
      else connection.end();
    }
  }

  #acquire(isUrgent: boolean): Promise<Connection> {
    if (this.#isClosed) return Promise.reject(closedError());
    const idle = this.#idle.pop();
    if (idle !== undefined) return Promise.resolve(idle);
    const waiting = Promise.withResolvers<Connection>();
    if (isUrgent) this.#waiting.unshift(waiting);
    else this.#waiting.push(waiting);
    this.#grow();
    return waiting.promise;
  }

  /** Opens one more if somebody waits and there may be more. */
  #grow(): void {
    if (this.#isClosed || this.#waiting.length === 0) return;
    if (this.#count >= this.#options.maxConnections) return;
    this.#count++;
    this.#openPooled().then(
      (connection) => this.#release(connection),
      (error) => {
        this.#count--;
        // Whoever waits longest is told; the next in turn tries its own luck.
        this.#waiting.shift()?.reject(error);
        this.#grow();
      },
    );
  }

  async #openPooled(): Promise<Connection> {
    const connection = await this.#open({
      notified: () => {},
      lost: () => this.#forget(connection),
    });
    this.#all.add(connection);
    return connection;
  }

  #forget(connection: Connection): void {
    if (!this.#all.delete(connection)) return;
    this.#count--;
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#grow();
  }

  #release(connection: Connection): void {
    if (connection.isInTransaction) connection.destroy();
    if (connection.isClosed) return this.#grow();
    if (this.#isClosed) return connection.end();
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(connection);
    else next.resolve(connection);
  }

  /** Tries each host once, beginning with the one that was good last. */
  async #open(listener: ConnectionListener): Promise<Connection> {
    const { hosts, connectTimeoutMs, user, database } = this.#address;
    const credentials = await this.#credentials();
    const options = { user, database, connectTimeoutMs };
    const errors: PostgresError[] = [];
    for (let tried = 0; tried < hosts.length; tried++) {
      const at = hosts[this.#hostIndex]!;
      const gate = new ListenerGate(listener);
      try {
        const connection = await Connection.open(
          at,
          credentials,
          options,
          this.#clock,
          gate,
        );
        await this.#prepareSession(connection);
        if (this.#isClosed) {
          connection.end();
          throw closedError();
        }
        if (connection.isClosed) {
          throw new PostgresError("connection was lost", CONNECTION_FAILURE);
        }
        gate.isOpen = true;
        return connection;
      } catch (error) {
        if (!(error instanceof PostgresError)) throw error;
        errors.push(error);
        this.#hostIndex = (this.#hostIndex + 1) % hosts.length;
      }
    }
    throw combine(errors);
  }

  /** Where there are several hosts, one that takes no writes is not what we want. */
  async #prepareSession(connection: Connection): Promise<void> {
    const options = { prepare: false };
    if (this.#address.hosts.length > 1) {
      const [row] = await connection.query(SELECT_WRITABLE, [], options);
      if (row === undefined || booleanIn(row, 0) || textIn(row, 1) === "on") {
        connection.end();
        throw new PostgresError("server takes no writes", READ_ONLY);
      }
    }
    for (const statement of this.#options.setUp) {
      await connection.query(statement, [], options).catch((error) => {
        if (connection.isClosed) throw error;
      });
    }
  }

  #learnFrom(error: unknown): void {
    if (!(error instanceof PostgresError)) return;
    if (UNPREPARABLE.has(error.code)) this.#prepare = false;
    // What was the primary is one no more: the next session looks for who is now.
    if (error.code === READ_ONLY) this.reset();
  }
}

/** A session that is not good enough is lost before anybody had it. */
class ListenerGate implements ConnectionListener {
  readonly #listener: ConnectionListener;
  isOpen = false;

  constructor(listener: ConnectionListener) {
    this.#listener = listener;
  }

  notified(payload: string): void {
    if (this.isOpen) this.#listener.notified(payload);
  }

  lost(error: PostgresError): void {
    if (this.isOpen) this.#listener.lost(error);
  }
}

const SELECT_WRITABLE =
  "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')";

/** A pooler gave us a session that does not know our prepared statement, or knows another by its name. */
const UNPREPARABLE: ReadonlySet<string> = new Set(["26000", "42P05"]);

/** The one error, or what they say together; a host that is merely down does not hide why another refuses us. */
function combine(errors: readonly PostgresError[]): PostgresError {
  const telling = errors.find(({ code }) =>
    code !== UNABLE_TO_CONNECT && code !== CONNECTION_FAILURE &&
    code !== READ_ONLY
  );
  const [first] = errors;
  if (telling !== undefined) return telling;
  if (errors.length === 1 && first !== undefined) return first;
  const texts = [...new Set(errors.map(({ message }) => message))];
  return new PostgresError(
    `no host takes writes: ${texts.join("; ")}`,
    errors.some(({ code }) => code === READ_ONLY)
      ? READ_ONLY
      : UNABLE_TO_CONNECT,
  );
}

function closedError(): BackendError {
  return new BackendError("Cannot use the backend: it is closed", {
    kind: "closed",
  });
}
