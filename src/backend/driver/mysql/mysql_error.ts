import { BackendError } from "../../backend.ts";
import type { Fault } from "../remote/dialect.ts";

/** What a server or a connection fails with: a number from the server, or the package's or Node's code. */
interface MysqlError {
  readonly errno?: unknown;
  readonly code?: unknown;
  readonly message?: unknown;
}

/** The server's number; 0 if it is not the server that failed. */
export function numberOf(error: unknown): number {
  const { errno } = parts(error);
  // Node's are negative.
  return typeof errno === "number" && errno > 0 ? errno : 0;
}

/** See `Dialect.faultOf`. */
export function faultOf(error: unknown): Fault {
  if (error instanceof ConnectionLost) return "transient";
  if (error instanceof ReadOnlyServer) return "transient";
  if (error instanceof BackendError) return "fatal";
  const number = numberOf(error);
  if (number === DUPLICATE_ENTRY) return "duplicate";
  if (NO_SPACE.has(number)) return "noSpace";
  const { code, message } = parts(error);
  if (FILE_ERRORS.has(number) && FULL_DISK.test(String(message))) {
    return "noSpace";
  }
  if (TRANSIENT.has(number)) return "transient";
  return TRANSIENT_CODES.has(String(code)) ? "transient" : "fatal";
}

/** A connection that was given up, or that the server ended, while it was asked. */
export class ConnectionLost extends Error {
  override name = "ConnectionLost";
}

/** None of the servers takes writes: replicas, or a primary that is about to change. */
export class ReadOnlyServer extends Error {
  override name = "ReadOnlyServer";

  constructor() {
    super("the database is read-only, perhaps a replica");
  }
}

export const UNKNOWN_DATABASE = 1049;
export const NO_SUCH_TABLE = 1146;
export const NULL_IN_COLUMN = 1048;
export const PACKET_TOO_LARGE = 1153;
/** The user may not. */
export const DENIED: ReadonlySet<number> = new Set([
  1044, // to a database
  1142, // a statement on a table
  1227, // something that takes a global privilege
]);

const DUPLICATE_ENTRY = 1062;

const NO_SPACE: ReadonlySet<number> = new Set([
  1021, // disk full
  1114, // table full
]);

/** These are no space if their text says so. */
const FILE_ERRORS: ReadonlySet<number> = new Set([
  3, // writing a file
  1026, // writing a file
  1030, // from the storage engine
  1180, // during COMMIT
]);

/** 28 is ENOSPC, 122 EDQUOT. */
const FULL_DISK =
  /no space left|quota exceeded|\berr(no|or|code)\b[^0-9]*(28|122)\b/i;

const TRANSIENT: ReadonlySet<number> = new Set([
  1020, // MariaDB: a record has changed since it was read
  1040, // too many connections
  1047, // Galera: the node is not ready
  1053, // shutdown
  1080, // a thread is forced to end
  1158, // the network, as the server has it, and the next three
  1159,
  1160,
  1161,
  1180, // during COMMIT
  1184, // the connection was aborted
  1203, // too many connections of this user
  1205, // a lock was waited for too long
  1213, // deadlock; on Galera also a conflict with another node
  1226, // the user's quota of statements or connections
  1290, // --read-only: a primary that has become a replica, before the address points elsewhere
  1317, // interrupted
  1412, // the table was changed by OPTIMIZE
  1792, // read only
  1836, // read only
  1927, // MariaDB: the connection was killed
  1969, // MariaDB: max_statement_time
  2006, // gone away
  2013, // lost
  3024, // max_execution_time
  3100, // group replication, before COMMIT
  3101, // group replication: rolled back during COMMIT
  3169, // the session was killed
  3572, // NOWAIT
  4031, // the server ended an idle connection
]);

const TRANSIENT_CODES: ReadonlySet<string> = new Set([
  "PROTOCOL_CONNECTION_LOST",
  "PROTOCOL_PACKETS_OUT_OF_ORDER",
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ERR_SOCKET_CLOSED",
  "ERR_STREAM_DESTROYED",
]);

function parts(error: unknown): MysqlError {
  return typeof error === "object" && error !== null ? error : {};
}
