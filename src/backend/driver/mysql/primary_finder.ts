import { text } from "../../../base/bytes.ts";
import type { Clock } from "../../../base/clock.ts";
import type {
  Credentials,
  HostPort,
  ServerAddress,
} from "../remote/protocol.ts";
import { type ConnectOptions, MysqlConnection } from "./mysql_connection.ts";
import { numberOf, ReadOnlyServer } from "./mysql_error.ts";
import { SELECT_READ_ONLY } from "./sql.ts";

/** Connects to whichever of several servers takes writes, the one that did last before the others. */
export class PrimaryFinder {
  readonly #address: ServerAddress;
  readonly #credentials: () => Promise<Credentials>;
  readonly #clock: Clock;
  #hosts: readonly HostPort[];

  constructor(
    address: ServerAddress,
    credentials: () => Promise<Credentials>,
    clock: Clock,
  ) {
    this.#address = address;
    this.#credentials = credentials;
    this.#clock = clock;
    this.#hosts = address.hosts;
  }

  /** A connection on which `setUp` was run; if none was to be had, rejects with what tells most about why. */
  async connect(
    setUp: string,
    database: string | undefined,
  ): Promise<MysqlConnection> {
    const credentials = await this.#credentials();
    const errors: unknown[] = [];
    for (const host of this.#hosts) {
      const options = { host, address: this.#address, credentials, database };
      try {
        const connection = await this.#connectToPrimary(options, setUp);
        this.#hosts = [host, ...this.#hosts.filter((other) => other !== host)];
        return connection;
      } catch (error) {
        errors.push(error);
      }
    }
    throw errors.find(isFromServer) ?? errors[0];
  }

  async #connectToPrimary(
    options: ConnectOptions,
    setUp: string,
  ): Promise<MysqlConnection> {
    const connection = await MysqlConnection.connect(options);
    const { connectTimeoutMs } = this.#address;
    const timer = this.#clock.after(
      connectTimeoutMs,
      () => connection.destroy(),
    );
    try {
      await connection.query(setUp);
      await checkPrimary(connection);
      return connection;
    } catch (error) {
      connection.destroy();
      throw error;
    } finally {
      timer.cancel();
    }
  }
}

/** What one server said, rather than that another did not answer. */
function isFromServer(error: unknown): boolean {
  return numberOf(error) !== 0 || error instanceof ReadOnlyServer;
}

/** Fails with `ReadOnlyServer` if the server takes no writes, or should not be given any. */
export async function checkPrimary(connection: MysqlConnection): Promise<void> {
  const [row] = await connection.query(SELECT_READ_ONLY);
  if (row?.some(isOn) ?? true) throw new ReadOnlyServer();
}

/** `0` or `OFF`; MariaDB 12 has more kinds of read-only than one. */
function isOn(cell: Uint8Array | null): boolean {
  return !/^(0|OFF)$/i.test(cell === null ? "" : text(cell));
}
