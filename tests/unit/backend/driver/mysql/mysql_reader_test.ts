import assert from "node:assert/strict";
import { BackendError } from "../../../../../src/backend/backend.ts";
import {
  numberIn,
  storedRow,
} from "../../../../../src/backend/driver/mysql/mysql_reader.ts";
import { utf8 } from "../../../../../src/base/bytes.ts";

Deno.test("numberIn() reads decimals, and NaN for anything else", () => {
  const read = (text: string) => numberIn([utf8(text)], 0);
  assert.equal(read("0"), 0);
  assert.equal(read("-12"), -12);
  assert.equal(read("9007199254740991"), Number.MAX_SAFE_INTEGER);
  assert.ok(Number.isNaN(read("1.5")));
  assert.ok(Number.isNaN(read("x")));
  assert.throws(() => numberIn([null], 0), BackendError);
});

Deno.test("storedRow() puts key and value behind each other", () => {
  const columns = ["7", "1", "key", "value", "5", "2", "-9", "0"];
  const { bytes, ...rest } = storedRow(columns.map(utf8));
  assert.equal(new TextDecoder().decode(bytes), "keyvalue");
  assert.deepEqual(rest, {
    rev: 7,
    sub: 1,
    keyBytes: 3,
    createRev: 5,
    version: 2,
    lease: "-9",
    deleted: false,
  });
});
