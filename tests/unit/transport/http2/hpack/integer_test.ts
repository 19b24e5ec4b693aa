import assert from "node:assert/strict";
import {
  appendInteger,
  readInteger,
} from "../../../../../src/transport/http2/hpack/integer.ts";
import { hex, unhex } from "./hex.ts";

function read(digits: string, prefixBits: number): number {
  const bytes = unhex(digits);
  const cursor = { bytes, at: 0, end: bytes.length };
  const value = readInteger(cursor, prefixBits);
  assert.equal(cursor.at, bytes.length);
  return value;
}

const VALUES: [prefixBits: number, value: number, digits: string][] = [
  [5, 10, "0a"], // RFC 7541 C.1.1
  [5, 1337, "1f9a0a"], // C.1.2
  [8, 42, "2a"], // C.1.3
  [5, 30, "1e"],
  [5, 31, "1f00"],
  [5, 31 + 127, "1f7f"],
  [5, 31 + 128, "1f8001"],
  [7, 127, "7f00"],
  [7, 127 + 2 ** 28 - 1, "7fffffff7f"],
];

for (const [prefixBits, value, digits] of VALUES) {
  Deno.test(`readInteger() and appendInteger() agree on ${value} in ${prefixBits} bits`, () => {
    assert.equal(read(digits, prefixBits), value);
    const out: number[] = [];
    appendInteger(out, prefixBits, 0, value);
    assert.equal(hex(Uint8Array.from(out)), digits);
  });
}

Deno.test("readInteger() ignores the bits above the prefix", () => {
  assert.equal(read("ea", 5), 10);
});

Deno.test("readInteger() refuses an integer of more than four continuation bytes", () => {
  assert.throws(() => read("7fffffffff00", 7), /too large/);
  assert.throws(() => read("7f8080808000", 7), /too large/);
});

Deno.test("readInteger() refuses an integer that the block cuts off", () => {
  for (const digits of ["", "1f", "1f9a"]) {
    assert.throws(() => read(digits, 5), /ends inside/);
  }
});
