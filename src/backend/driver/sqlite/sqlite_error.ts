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
const SQLITE_PERM = 3;
const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;
const SQLITE_READONLY = 8;
const SQLITE_IOERR = 10;
const SQLITE_CANTOPEN = 14;
const SQLITE_IOERR_FSYNC = 1034;
const SQLITE_IOERR_DIR_FSYNC = 1290;

export function isSqliteError(error: unknown): error is SqliteError {
  return error instanceof Error && "code" in error &&
    error.code === "ERR_SQLITE_ERROR";
}

/** Whether a sync failed: the kernel may have dropped dirty pages, and will report the next sync as fine. */
export function isSyncFailure(error: SqliteError): boolean {
  return error.errcode === SQLITE_IOERR_FSYNC ||
    error.errcode === SQLITE_IOERR_DIR_FSYNC;
}

/** Something in the tables is not what was written there. `toBackendError` adds what could not be done. */
export class DamageError extends Error {
  override name = "DamageError";
}

/** `error` as the port reports it, or undefined if it is not the world's doing but a mistake of ours. */
export function toBackendError(
  action: string,
  error: unknown,
): BackendError | undefined {
  if (error instanceof BackendError) return error;
  if (isSqliteError(error)) {
    const code = error.errcode ?? codeOfMessage(error.message);
    const suffix = code === undefined ? "" : ` (SQLite ${code})`;
    const message = `Cannot ${action}: ${error.message}${suffix}`;
    const cure = CURES[primaryCode(code)] ?? "";
    return new BackendError(message, {
      kind: kindOf(code),
      cure,
      cause: error,
    });
  }
  if (error instanceof DamageError || isOutOfRange(error)) {
    const what = error instanceof DamageError
      ? error.message
      : "a number is out of range";
    return new BackendError(`Cannot ${action}: ${what}`, {
      kind: "corrupt",
      cure: CORRUPT_CURE,
      cause: error,
    });
  }
  if (isClosed(error)) {
    return new BackendError(
      `Cannot ${action}: the file was closed after an error`,
      { cause: error },
    );
  }
  if (error instanceof Error && isOsError(error)) {
    return new BackendError(`Cannot ${action}: ${error.message}`, {
      kind: codeOf(error) === "ENOSPC" ? "noSpace" : "failed",
      cure: OS_CURES[codeOf(error)] ?? "",
      cause: error,
    });
  }
  return undefined;
}

/** What helps against each of SQLite's errors that come from below it. */
export const CORRUPT_CURE =
  "run `stele check DIR` to see what is damaged, and restore a snapshot with `stele snapshot restore`";
const ROOM_CURE =
  "make room on the file system of the data directory; writes go on by themselves";
const PERMISSION_CURE = "let the server's user write in the data directory";
const MOUNT_CURE =
  `${PERMISSION_CURE}, and see that its file system is not mounted read-only`;
const DISK_CURE = "look for disk errors in the kernel's log (dmesg)";
const CURES: Readonly<Record<number, string>> = {
  [SQLITE_FULL]: ROOM_CURE,
  [SQLITE_CORRUPT]: CORRUPT_CURE,
  [SQLITE_NOTADB]: CORRUPT_CURE,
  [SQLITE_PERM]: PERMISSION_CURE,
  [SQLITE_READONLY]: MOUNT_CURE,
  [SQLITE_CANTOPEN]:
    "see that the data directory is there, and that the server's user may write in it",
  [SQLITE_IOERR]: DISK_CURE,
  [SQLITE_BUSY]: "end the other program that has the database open",
  [SQLITE_LOCKED]: "end the other program that has the database open",
};

/** The error for what would take the room that deletes need. */
export function diskFull(): BackendError {
  return new BackendError("Cannot append: the disk is full", {
    kind: "noSpace",
    cure: ROOM_CURE,
  });
}

/** What helps against the system's errors, which come from files that are not SQLite's. */
const OS_CURES: Readonly<Record<string, string>> = {
  ENOSPC: ROOM_CURE,
  EDQUOT: ROOM_CURE,
  EACCES: PERMISSION_CURE,
  EPERM: PERMISSION_CURE,
  EROFS: MOUNT_CURE,
  EIO: DISK_CURE,
  EMFILE: "raise the limit of open files (LimitNOFILE)",
  ENFILE: "raise the limit of open files (LimitNOFILE)",
  ENOTDIR: "name a directory with --data-dir",
};

function primaryCode(code: number | undefined): number {
  return (code ?? 0) & 0xff;
}

/** `open` gives no code for the one error that it has: it opens the file, and does not read it yet. */
function codeOfMessage(message: string): number | undefined {
  return message.startsWith("unable to open database file")
    ? SQLITE_CANTOPEN
    : undefined;
}

/** What was under way on a file that had to be closed because of another error. */
function isClosed(error: unknown): error is Error {
  return error instanceof Error && "code" in error &&
    error.code === "ERR_INVALID_STATE";
}

/** A number in a table that is no safe integer: none is ever written. */
function isOutOfRange(error: unknown): error is RangeError {
  return error instanceof RangeError && "code" in error &&
    error.code === "ERR_OUT_OF_RANGE";
}

function kindOf(code: number | undefined): BackendErrorKind {
  switch (primaryCode(code)) {
    case SQLITE_FULL:
      return "noSpace";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return "corrupt";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "locked";
    default:
      return "failed";
  }
}

function codeOf(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : "";
}

/** Whether a file operation failed: Deno gives these a class of their own each, or the system's code. */
function isOsError(error: Error): boolean {
  return error.name in Deno.errors || /^E[A-Z0-9]+$/.test(codeOf(error));
}
