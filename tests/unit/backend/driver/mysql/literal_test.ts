import assert from "node:assert/strict";
import {
  bind,
  bytesLiteral,
  identifier,
  rowIdList,
} from "../../../../../src/backend/driver/mysql/literal.ts";
import { AssertionError } from "../../../../../src/base/assert.ts";
import { utf8 } from "../../../../../src/base/bytes.ts";

Deno.test("bind() puts numbers, bytes and SQL in order", () => {
  const sql = bind("a = ? AND b = ? AND (c) IN (?)", [
    -7,
    utf8("'; ?"),
    { sql: "1, 2" },
  ]);
  assert.equal(sql, "a = -7 AND b = x'273b203f' AND (c) IN (1, 2)");
});

Deno.test("bind() takes as many parameters as there are places", () => {
  assert.throws(() => bind("? ?", [1]), AssertionError);
  assert.throws(() => bind("?", [1, 2]), AssertionError);
  assert.throws(() => bind("?", [0.5]), AssertionError);
  assert.throws(() => bind("?", [2 ** 53]), AssertionError);
});

Deno.test("bytesLiteral() of nothing is the empty string of bytes", () => {
  assert.equal(bytesLiteral(new Uint8Array(0)), "x''");
});

Deno.test("identifier() doubles quotes", () => {
  assert.equal(identifier("a`; DROP"), "`a``; DROP`");
});

Deno.test("rowIdList() of nothing is a list too", () => {
  const ids = [{ rev: 3, sub: 0 }, { rev: 4, sub: 9 }];
  assert.equal(rowIdList(ids).sql, "(3, 0), (4, 9)");
  assert.equal(rowIdList([]).sql, "(NULL, NULL)");
});
