import assert from "node:assert/strict";
import { BackendError } from "../../../../../src/backend/backend.ts";
import {
  isSqliteError,
  isSyncFailure,
  type SqliteError,
  toBackendError,
} from "../../../../../src/backend/driver/sqlite/sqlite_error.ts";

function sqliteError(errcode?: number): SqliteError {
  const error = Object.assign(new Error("it broke"), {
    code: "ERR_SQLITE_ERROR" as const,
  });
  return errcode === undefined ? error : Object.assign(error, { errcode });
}

for (
  const [name, errcode, kind, isSync] of [
    ["SQLITE_FULL", 13, "noSpace", false],
    ["SQLITE_CORRUPT", 11, "corrupt", false],
    ["SQLITE_CORRUPT_INDEX", 779, "corrupt", false],
    ["SQLITE_NOTADB", 26, "corrupt", false],
    ["SQLITE_IOERR_WRITE", 778, "failed", false],
    ["SQLITE_IOERR_FSYNC", 1034, "failed", true],
    ["SQLITE_IOERR_DIR_FSYNC", 1290, "failed", true],
    ["SQLITE_READONLY", 8, "failed", false],
    ["SQLITE_BUSY", 5, "locked", false],
    ["an error without a code", undefined, "failed", false],
  ] as const
) {
  Deno.test(`toBackendError() makes ${name} "${kind}"`, () => {
    const error = sqliteError(errcode);
    assert.ok(isSqliteError(error));
    assert.equal(isSyncFailure(error), isSync);
    const known = toBackendError("append", error)!;
    assert.equal(known.kind, kind);
    assert.match(known.message, /^Cannot append: it broke/);
    assert.equal(known.cause, error);
  });
}

Deno.test("toBackendError() knows errors of files and its own, and no mistakes of ours", () => {
  const missing = toBackendError("open", new Deno.errors.NotFound("gone"));
  assert.equal(missing?.message, "Cannot open: gone");
  const full = Object.assign(new Error("No space left on device"), {
    code: "ENOSPC",
  });
  assert.equal(toBackendError("open", full)?.kind, "noSpace");
  assert.match(toBackendError("open", full)!.cure, /make room/);
  const own = new BackendError("Cannot do it", { kind: "locked" });
  assert.equal(toBackendError("open", own), own);
  const closed = Object.assign(new Error("statement has been finalized"), {
    code: "ERR_INVALID_STATE",
  });
  assert.match(
    toBackendError("load", closed)!.message,
    /^Cannot load: the file was closed after an error/,
  );
  assert.equal(toBackendError("open", new TypeError("oops")), undefined);
  assert.equal(toBackendError("open", "text"), undefined);
});

Deno.test("toBackendError() knows what cures a file that SQLite cannot open, of which it gives no code", () => {
  const error = new Error("unable to open database file: /data/stele.db");
  const known = toBackendError(
    'open "/data"',
    Object.assign(error, { code: "ERR_SQLITE_ERROR" }),
  )!;
  assert.match(known.message, /stele\.db \(SQLite 14\)$/);
  assert.match(known.cure, /data directory is there/);
});
