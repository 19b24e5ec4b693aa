import assert from "node:assert/strict";
import { BackendError } from "../../../../../src/backend/backend.ts";
import {
  isFatal,
  isSqliteError,
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
  const [name, errcode, kind, fatal] of [
    ["SQLITE_FULL", 13, "noSpace", false],
    ["SQLITE_CORRUPT", 11, "corrupt", true],
    ["SQLITE_CORRUPT_INDEX", 779, "corrupt", true],
    ["SQLITE_NOTADB", 26, "corrupt", true],
    ["SQLITE_IOERR_WRITE", 778, "failed", false],
    ["SQLITE_IOERR_FSYNC", 1034, "failed", true],
    ["SQLITE_IOERR_DIR_FSYNC", 1290, "failed", true],
    ["SQLITE_READONLY", 8, "failed", false],
    ["an error without a code", undefined, "failed", false],
  ] as const
) {
  Deno.test(`toBackendError() makes ${name} "${kind}"`, () => {
    const error = sqliteError(errcode);
    assert.ok(isSqliteError(error));
    assert.equal(isFatal(error), fatal);
    const known = toBackendError("append", error)!;
    assert.equal(known.kind, kind);
    assert.match(known.message, /^Cannot append: it broke/);
    assert.equal(known.cause, error);
  });
}

Deno.test("toBackendError() knows errors of files and its own, and no mistakes of ours", () => {
  const missing = toBackendError("open", new Deno.errors.NotFound("gone"));
  assert.equal(missing?.message, "Cannot open: gone");
  const own = new BackendError("Cannot do it", { kind: "locked" });
  assert.equal(toBackendError("open", own), own);
  assert.equal(toBackendError("open", new TypeError("oops")), undefined);
  assert.equal(toBackendError("open", "text"), undefined);
});
