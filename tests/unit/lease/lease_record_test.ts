import assert from "node:assert/strict";
import { AssertionError } from "../../../src/base/assert.ts";
import {
  decodeLeaseRecord,
  encodeLeaseRecord,
  remainingAtStartMs,
} from "../../../src/lease/lease_record.ts";
import { MAX_TTL_SECONDS } from "../../../src/lease/lessor.ts";

Deno.test("decodeLeaseRecord() reads what encodeLeaseRecord() wrote, up to the longest TTL", () => {
  const wallMs = 1_700_000_000_000;
  for (const ttlSeconds of [2, MAX_TTL_SECONDS]) {
    for (const isRenewing of [false, true]) {
      const record = {
        ttlSeconds,
        deadlineWallMs: wallMs + ttlSeconds * 1000,
        isRenewing,
      };
      assert.deepEqual(decodeLeaseRecord(encodeLeaseRecord(record)), record);
    }
  }
});

Deno.test("encodeLeaseRecord() keeps deadlines before the epoch and rounds fractions", () => {
  const record = { ttlSeconds: 5, deadlineWallMs: -1500.4, isRenewing: false };
  assert.equal(
    decodeLeaseRecord(encodeLeaseRecord(record)).deadlineWallMs,
    -1500,
  );
});

Deno.test("decodeLeaseRecord() refuses another length or format", () => {
  const record = encodeLeaseRecord({
    ttlSeconds: 5,
    deadlineWallMs: 0,
    isRenewing: false,
  });
  assert.throws(() => decodeLeaseRecord(record.subarray(1)), AssertionError);
  const other = record.slice();
  other[0] = 2;
  assert.throws(() => decodeLeaseRecord(other), AssertionError);
});

Deno.test("remainingAtStartMs() follows the rules at their boundaries", () => {
  const graceMs = 15_000;
  const left = (ttlSeconds: number, leftMs: number, isRenewing = false) =>
    remainingAtStartMs({
      ttlSeconds,
      deadlineWallMs: 1e12 + leftMs,
      isRenewing,
    }, {
      wallMs: 1e12,
      graceMs,
    });
  assert.equal(left(60, 40_000), 40_000);
  assert.equal(left(60, 60_000), 60_000);
  assert.equal(
    left(60, 60_001),
    60_000,
    "the wall clock went back: no more than the TTL",
  );
  assert.equal(left(60, 15_001), 15_001);
  assert.equal(left(60, 14_999), 15_000, "grace");
  assert.equal(left(60, -1e11), 15_000, "grace, however late");
  assert.equal(left(10, 4_000), 10_000, "the grace is no more than the TTL");
  assert.equal(left(60, -1e11, true), 60_000, "renewing: the whole TTL");
});
