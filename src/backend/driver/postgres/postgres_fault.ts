import { BackendError } from "../../backend.ts";
import type { Fault } from "../remote/dialect.ts";
import { PostgresError } from "./wire/postgres_error.ts";

/** SQLSTATE; empty for what is no error of the server's or the connection's. */
export function codeOf(error: unknown): string {
  return error instanceof PostgresError ? error.code : "";
}

/** See `Dialect.faultOf`. */
export function faultOf(error: unknown): Fault {
  if (error instanceof BackendError) return "fatal";
  const code = codeOf(error);
  if (code === UNIQUE_VIOLATION) return "duplicate";
  if (NO_SPACE.has(code)) return "noSpace";
  if (TRANSIENT.has(code) || TRANSIENT_CLASSES.has(code.slice(0, 2))) {
    return "transient";
  }
  // YugabyteDB reports some of its retryable conditions as internal errors.
  const message = error instanceof Error ? error.message : "";
  if (code === INTERNAL_ERROR) {
    if (TRANSIENT_MESSAGE.test(message)) return "transient";
  }
  return "fatal";
}

/** The user lacks a privilege. */
export function isForbidden(error: unknown): boolean {
  return codeOf(error) === "42501";
}

export const UNDEFINED_TABLE = "42P01";
export const UNDEFINED_DATABASE = "3D000";
/** Another server creates the same thing at the same moment. */
export const CONCURRENT_DDL: ReadonlySet<string> = new Set([
  "23505",
  "42P04",
  "42P07",
  "42710",
  "XX000",
]);

const UNIQUE_VIOLATION = "23505";
const INTERNAL_ERROR = "XX000";

/** Connection exceptions; 40001, 40P01 and their like. */
const TRANSIENT_CLASSES: ReadonlySet<string> = new Set(["08", "40"]);

const TRANSIENT: ReadonlySet<string> = new Set([
  "25P03", // idle_in_transaction_session_timeout
  "25006", // read only: a server that has become a standby, before the address points elsewhere
  "26000", // the prepared statement is not there: a pooler
  "42P05", // the prepared statement is there already: a pooler
  "53300", // too many connections
  "55P03", // lock not available
  "57014", // cancelled, by statement_timeout
  "57P01", // admin shutdown
  "57P02", // crash shutdown
  "57P03", // cannot connect now
]);

const NO_SPACE: ReadonlySet<string> = new Set(["53100", "53400"]);

/** Of the last five, what becomes of a tablet whose leader changes. */
const TRANSIENT_MESSAGE =
  /restart read required|kconflict|heartbeat expired|catalog version mismatch|catalog snapshot|schema version mismatch|timed out|network error|service unavailable|try again|not the leader/i;
