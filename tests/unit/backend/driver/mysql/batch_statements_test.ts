import assert from "node:assert/strict";
import type { Batch } from "../../../../../src/backend/backend.ts";
import { batchStatements } from "../../../../../src/backend/driver/mysql/batch_statements.ts";
import { mysqlSql } from "../../../../../src/backend/driver/mysql/sql.ts";
import type { NewBatch } from "../../../../../src/backend/driver/remote/dialect.ts";
import { encodeState } from "../../../../../src/backend/state_codec.ts";
import { StateKind } from "../../../../../src/backend/state_change.ts";
import { utf8 } from "../../../../../src/base/bytes.ts";
import { batchOf, makeBatch } from "../../../../support/batches.ts";

const SQL = mysqlSql("stele_");

function newBatch(batch: Batch): NewBatch {
  return { ...batch, ops: encodeState(batch.state) };
}

Deno.test("batchStatements() holds on to the batch before, adds this one and its rows", () => {
  const rows = [{
    rev: 2,
    sub: 0,
    key: utf8("k"),
    put: { value: utf8("v"), createRev: 2, version: 1, lease: -(2n ** 63n) },
  }, { rev: 2, sub: 1, key: utf8("k") }];
  const id = new Uint8Array(16).fill(0xab);
  const batch = { ...newBatch(batchOf({ seq: 1, afterRev: 1 }, rows)), id };
  assert.deepEqual(batchStatements(SQL, batch, 1e6), [
    "SET @before = (SELECT total_bytes FROM stele_batch WHERE seq = 0 AND (LENGTH(x'') = 0 OR id = x'') AND CONCAT(@@GLOBAL.read_only) IN ('0', 'OFF') FOR UPDATE)",
    "INSERT INTO stele_batch (seq, id, first_rev, last_rev, time_ms, ops, total_bytes) " +
    `VALUES (1, x'${"ab".repeat(16)}', 2, 2, 1700000000001, x'', @before + 83)`,
    "INSERT INTO stele_kv (rev, sub, `key`, value, create_rev, version, lease, deleted) " +
    "VALUES (2,0,x'6b',x'76',2,1,-9223372036854775808,0),(2,1,x'6b',x'',0,0,0,1)",
  ]);
});

Deno.test("batchStatements() writes state, and removes it", () => {
  const state = [
    { kind: StateKind.Lease, key: utf8("l"), value: utf8("1") },
    { kind: StateKind.Auth, key: utf8("a"), value: undefined },
    { kind: StateKind.Meta, key: utf8("m"), value: utf8("") },
  ];
  const batch = newBatch(batchOf({ seq: 3, afterRev: 9 }, [], state));
  assert.deepEqual(batchStatements(SQL, batch, 1e6).slice(2), [
    "REPLACE INTO stele_state (kind, id, `key`, value) VALUES (2,x'6c',x'6c',x'31'),(1,x'6d',x'6d',x'')",
    "DELETE FROM stele_state WHERE (kind, id) IN ((3,x'61'))",
  ]);
});

Deno.test("batchStatements() splits at the limit, between rows", () => {
  const batch = newBatch(makeBatch(1, 1, { rows: 50, valueBytes: 500 }));
  const whole = batchStatements(SQL, batch, 1e6);
  const limit = 10_000;
  const parts = batchStatements(SQL, batch, limit);
  assert.equal(whole.length, 3);
  assert.ok(parts.length > 7, String(parts.length));
  for (const part of parts) assert.ok(part.length <= limit);
  const tuples = (texts: readonly string[]) =>
    texts.join().match(/\(\d+,0,x'[^)]*\)/g);
  assert.equal(tuples(whole)?.length, 50);
  assert.deepEqual(tuples(parts), tuples(whole));
});

Deno.test("batchStatements() leaves a row whole that is longer than the limit", () => {
  const batch = newBatch(makeBatch(1, 1, { rows: 2, valueBytes: 3000 }));
  const statements = batchStatements(SQL, batch, 1000);
  assert.equal(statements.filter(({ length }) => length > 6000).length, 2);
});

Deno.test("batchStatements() removes state 500 entries at a time", () => {
  const state = Array.from({ length: 1001 }, (_, i) => ({
    kind: StateKind.Lease,
    key: utf8(String(i)),
    value: undefined,
  }));
  const batch = newBatch(batchOf({ seq: 1, afterRev: 1 }, [], state));
  const statements = batchStatements(SQL, batch, 1e6);
  assert.equal(statements.filter((sql) => /^DELETE/.test(sql)).length, 3);
});
