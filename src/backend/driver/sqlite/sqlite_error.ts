import { BackendError, type BackendErrorKind } from "../../backend.ts";

/** What `node:sqlite` throws for an error of SQLite itself. */
export interface SqliteError extends Error {
  readonly code: "ERR_SQLITE_ERROR";
  /** Extended result code (https://sqlite.org/rescode.html); missing where `open` and `exec` fail. */
  readonly errcode?: number;
}

export const SQLITE_CONSTRAINT_PRIMARYKEY = 1555;

const SQLITE_FULL = 13;
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;
const SQLITE_IOERR_FSYNC = 1034;
const SQLITE_IOERR_DIR_FSYNC = 1290;

export function isSqliteError(error: unknown): error is SqliteError {
  return error instanceof Error && "code" in error &&
    error.code === "ERR_SQLITE_ERROR";
}

/**
 * Whether nothing must be written any more: after a failed sync the kernel may have dropped dirty pages
 * and will report the next sync as fine, and a corrupt file only gets worse.
 */
export function isFatal(error: SqliteError): boolean {
  return kindOf(error) === "corrupt" || error.errcode === SQLITE_IOERR_FSYNC ||
    error.errcode === SQLITE_IOERR_DIR_FSYNC;
}

/** `error` as the port reports it, or undefined if it is not the world's doing but a mistake of ours. */
export function toBackendError(
  action: string,
  error: unknown,
): BackendError | undefined {
  if (error instanceof BackendError) return error;
  if (isSqliteError(error)) {
    const message =
      `Cannot ${action}: ${error.message} (SQLite ${error.errcode})`;
    return new BackendError(message, { kind: kindOf(error), cause: error });
  }
  if (error instanceof Error && isOsError(error)) {
    return new BackendError(`Cannot ${action}: ${error.message}`, {
      cause: error,
    });
  }
  return undefined;
}

function kindOf(error: SqliteError): BackendErrorKind {
  switch ((error.errcode ?? 0) & 0xff) {
    case SQLITE_FULL:
      return "noSpace";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return "corrupt";
    default:
      return "failed";
  }
}

/** Whether a file operation failed: Deno gives these a class of their own each, or the system's code. */
function isOsError(error: Error): boolean {
  return error.name in Deno.errors ||
    ("code" in error && typeof error.code === "string" &&
      /^E[A-Z0-9]+$/.test(error.code));
}
