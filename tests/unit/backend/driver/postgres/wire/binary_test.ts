import assert from "node:assert/strict";
import {
  ArrayWriter,
  bigint,
  booleanIn,
  decimalIn,
  int8,
  integer,
  numberIn,
  smallint,
  text,
  textIn,
  Type,
} from "../../../../../../src/backend/driver/postgres/wire/binary.ts";

Deno.test("numbers come back as they went, at both ends of what they can be", () => {
  const { MAX_SAFE_INTEGER: max, MIN_SAFE_INTEGER: min } = Number;
  for (const value of [0, 1, -1, 2 ** 31, 2 ** 32, -(2 ** 32), max, min]) {
    assert.equal(numberIn([bigint(value)], 0), value);
    assert.equal(decimalIn([bigint(value)], 0), String(value));
  }
  for (const value of [0, 1, -1, 2 ** 31 - 1, -(2 ** 31)]) {
    assert.equal(numberIn([integer(value)], 0), value);
  }
  for (const value of [0, 1, -1, 32767, -32768]) {
    assert.equal(numberIn([smallint(value)], 0), value);
  }
  for (const value of [0n, -1n, 2n ** 63n - 1n, -(2n ** 63n)]) {
    assert.equal(decimalIn([int8(value)], 0), String(value));
  }
});

Deno.test("numberIn() refuses what is no safe integer, and no number", () => {
  const tooLarge = int8(BigInt(Number.MAX_SAFE_INTEGER) + 1n);
  assert.throws(() => numberIn([tooLarge], 0), { kind: "corrupt" });
  assert.throws(() => numberIn([new Uint8Array(3)], 0), { kind: "corrupt" });
  assert.throws(() => numberIn([], 0), { kind: "corrupt" });
  assert.equal(numberIn([null], 0), 0);
});

Deno.test("texts and booleans come back", () => {
  assert.equal(textIn([text("ä")], 0), "ä");
  assert.equal(textIn([null], 0), "");
  assert.equal(booleanIn([new Uint8Array([1])], 0), true);
  assert.equal(booleanIn([new Uint8Array([0])], 0), false);
});

Deno.test("ArrayWriter writes PostgreSQL's arrays", () => {
  const array = new ArrayWriter(Type.Bytea, 2, 0);
  array.bytea(new Uint8Array([9, 8]));
  array.bytea(new Uint8Array([1, 2, 3]), 1, 2);
  const hex = [
    "00000001" + "00000000" + "00000011" + "00000002" + "00000001",
    "00000002" + "0908",
    "00000001" + "02",
  ];
  assert.equal(array.take().toHex(), hex.join(""));
});

Deno.test("ArrayWriter writes an array of nothing without a dimension", () => {
  const array = new ArrayWriter(Type.Bigint, 0, 0);
  assert.equal(array.take().toHex(), "00000000" + "00000000" + "00000014");
});
