import assert from "node:assert/strict";
import {
  addChecksum,
  batchChecksum,
  NO_CHECKSUM,
  rowChecksum,
  stateChecksum,
  subtractChecksum,
  subtractSums,
} from "../../../src/backend/checksum.ts";
import { StateKind } from "../../../src/backend/state_change.ts";
import { utf8 } from "../../../src/base/bytes.ts";

const RECORD = utf8("123456789");

Deno.test("rowChecksum() is CRC-32, and tells sub-revisions and tombstones apart", () => {
  assert.equal(rowChecksum(RECORD, { sub: 0, deleted: false }), 0xcbf43926);
  const all = [
    { sub: 0, deleted: false },
    { sub: 1, deleted: false },
    { sub: 0, deleted: true },
    { sub: 0x7fffffff, deleted: true },
  ].map((row) => rowChecksum(RECORD, row));
  assert.equal(new Set(all).size, all.length);
});

Deno.test("rowChecksum() notices every flipped bit", () => {
  const row = { sub: 3, deleted: false };
  const sound = rowChecksum(RECORD, row);
  for (let bit = 0; bit < RECORD.length * 8; bit++) {
    const damaged = RECORD.slice();
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    assert.notEqual(rowChecksum(damaged, row), sound);
  }
});

Deno.test("stateChecksum() tells where a key ends and its value begins", () => {
  assert.notEqual(
    stateChecksum(StateKind.Auth, utf8("ab"), utf8("c")),
    stateChecksum(StateKind.Auth, utf8("a"), utf8("bc")),
  );
  assert.notEqual(
    stateChecksum(StateKind.Auth, utf8("a"), utf8("b")),
    stateChecksum(StateKind.Lease, utf8("a"), utf8("b")),
  );
});

Deno.test("batchChecksum() covers every column", () => {
  const batch = {
    seq: 1,
    id: new Uint8Array(16),
    firstRev: 2,
    lastRev: 3,
    timeMs: 4,
    rowsSum: 5,
    stateSum: 6,
    ops: new Uint8Array(0),
  };
  const sound = batchChecksum(batch);
  for (
    const change of [
      { seq: 2 },
      { id: new Uint8Array(16).fill(1) },
      { firstRev: 3 },
      { lastRev: 4 },
      { timeMs: 5 },
      { rowsSum: 6 },
      { stateSum: 7 },
      { ops: new Uint8Array(1) },
    ]
  ) {
    assert.notEqual(batchChecksum({ ...batch, ...change }), sound);
  }
});

Deno.test("a sum comes back to where it was, in any order and over its modulus", () => {
  const checksums = [0, 1, 0xffffffff, 0x80000000, NO_CHECKSUM];
  const start = 2 ** 52 - 3;
  let sum = start;
  for (const checksum of checksums) sum = addChecksum(sum, checksum);
  assert.ok(Number.isSafeInteger(sum) && sum >= 0);
  for (const checksum of checksums) sum = subtractChecksum(sum, checksum);
  assert.equal(sum, start);
  assert.notEqual(addChecksum(5, 0), 5);
  assert.equal(subtractSums(2, 5), 2 ** 52 - 3);
});
