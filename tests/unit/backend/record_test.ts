import assert from "node:assert/strict";
import { RecordColumns } from "../../../src/backend/record.ts";
import { concatBytes, utf8 } from "../../../src/base/bytes.ts";

/** A record with every field, as `protoc` encodes it. */
const FULL = new Uint8Array([
  ...[0x0a, 1, 0x6b],
  ...[0x10, 0x96, 0x01],
  ...[0x18, 0x97, 0x01],
  ...[0x20, 0x02],
  ...[0x2a, 2, 0x76, 0x00],
  ...[0x30, 0x07],
]);

/** One number field, with its bytes. */
function numberRecord(tag: number, bytes: number[]): Uint8Array {
  return new Uint8Array([0x0a, 1, 0x6b, 0x18, 1, tag, ...bytes]);
}

function read(record: Uint8Array): RecordColumns {
  const columns = new RecordColumns();
  columns.read(record, 0, record.length);
  return columns;
}

function write(
  columns: RecordColumns,
  source: Uint8Array,
  deleted = false,
): Uint8Array {
  const out = new Uint8Array(columns.byteLength(deleted));
  assert.equal(columns.write(out, 0, { source, deleted }), out.length);
  return out;
}

Deno.test("RecordColumns.read() finds every field", () => {
  const columns = read(FULL);
  assert.deepEqual(
    FULL.subarray(columns.keyStart, columns.keyEnd),
    utf8("k"),
  );
  assert.deepEqual(
    FULL.subarray(columns.valueStart, columns.valueEnd),
    new Uint8Array([0x76, 0]),
  );
  assert.equal(columns.createRev, 150);
  assert.equal(columns.modRev, 151);
  assert.equal(columns.version, 2);
  assert.equal(columns.lease, 7);
});

Deno.test("RecordColumns.read() takes a record from the middle of other bytes", () => {
  const bytes = concatBytes(utf8("xx"), FULL, utf8("y"));
  const columns = new RecordColumns();
  columns.read(bytes, 2, 2 + FULL.length);
  assert.equal(columns.keyStart, 4);
  assert.deepEqual(write(columns, bytes), FULL);
});

Deno.test("RecordColumns.read() forgets the record before", () => {
  const columns = read(FULL);
  const tombstone = new Uint8Array([0x0a, 1, 0x6b, 0x18, 9]);
  columns.read(tombstone, 0, tombstone.length);
  assert.equal(columns.createRev, 0);
  assert.equal(columns.version, 0);
  assert.equal(columns.lease, 0);
  assert.equal(columns.valueEnd - columns.valueStart, 0);
});

Deno.test("RecordColumns.write() gives a record back byte for byte", () => {
  assert.deepEqual(write(read(FULL), FULL), FULL);
});

Deno.test("RecordColumns.write() of a tombstone is key and revision alone", () => {
  assert.deepEqual(
    write(read(FULL), FULL, true),
    new Uint8Array([0x0a, 1, 0x6b, 0x18, 0x97, 0x01]),
  );
});

Deno.test("RecordColumns: revisions of every length survive, 2^53 is refused", () => {
  for (const value of numbersAtEveryLength()) {
    const columns = new RecordColumns();
    columns.modRev = columns.createRev = columns.version = value;
    const record = write(columns, new Uint8Array(0));
    const again = read(record);
    assert.equal(again.modRev, value);
    assert.equal(again.createRev, value);
    assert.equal(again.version, value);
  }
  const tooBig = [...Array(7).fill(0x80), 0x10];
  assert.throws(() => read(numberRecord(0x20, tooBig)), /safe integer/);
});

Deno.test("RecordColumns: leases of every length survive, negative ones included", () => {
  for (let bits = 0n; bits < 64n; bits++) {
    for (const d of [-1n, 0n, 1n]) {
      const lease = BigInt.asUintN(64, (1n << bits) + d);
      const columns = new RecordColumns();
      columns.leaseHigh = Number(lease >> 32n);
      columns.leaseLow = Number(lease & 0xffffffffn);
      columns.modRev = 1;
      const again = read(write(columns, new Uint8Array(0)));
      assert.equal(BigInt.asUintN(64, BigInt(again.lease)), lease);
      assert.equal(BigInt(again.lease), BigInt.asIntN(64, lease));
    }
  }
});

Deno.test("RecordColumns.lease is a number exactly where that is safe", () => {
  const columns = new RecordColumns();
  columns.leaseHigh = 0x1fffff;
  columns.leaseLow = 0xffffffff;
  assert.equal(columns.lease, Number.MAX_SAFE_INTEGER);
  columns.leaseHigh = 0x200000;
  columns.leaseLow = 0;
  assert.equal(columns.lease, 2n ** 53n);
});

Deno.test("RecordColumns.read() refuses what is cut off, at every byte", () => {
  const boundaries = new Set([3, 6, 9, 11, 15, 17]);
  for (let n = 1; n < FULL.length; n++) {
    const cut = FULL.subarray(0, n);
    if (boundaries.has(n)) read(cut);
    else assert.throws(() => read(cut), { name: "AssertionError" });
  }
});

Deno.test("RecordColumns.read() refuses unknown fields and endless numbers", () => {
  const isAssertion = { name: "AssertionError" };
  assert.throws(() => read(numberRecord(0x38, [1])), /unknown field/);
  assert.throws(
    () => read(numberRecord(0x30, Array(11).fill(0x80))),
    isAssertion,
  );
  assert.throws(
    () => read(numberRecord(0x2a, [0xff, 0xff, 0x03])),
    isAssertion,
  );
  assert.throws(
    () => new RecordColumns().read(FULL, 0, FULL.length + 1),
    /out of range/,
  );
});

function numbersAtEveryLength(): number[] {
  const numbers = [1, 2, Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER];
  for (let bits = 1; bits < 53; bits++) {
    numbers.push(2 ** bits - 1, 2 ** bits, 2 ** bits + 1);
  }
  return numbers;
}
