import assert from "node:assert/strict";
import {
  parseBool,
  parseBytes,
  parseInteger,
  parseUnsigned,
} from "../../../src/config/numbers.ts";

Deno.test("parseInteger() reads what Go's ParseInt with base 0 reads", () => {
  const good: readonly (readonly [string, number])[] = [
    ["0", 0],
    ["-1", -1],
    ["+7", 7],
    ["1_000", 1000],
    ["0x10", 16],
    ["0b11", 3],
    ["0o17", 15],
    ["017", 15],
    ["9223372036854775807", 2 ** 63],
    ["-9223372036854775808", -(2 ** 63)],
  ];
  for (const [text, value] of good) assert.equal(parseInteger(text), value);
});

Deno.test("parseInteger() refuses what is none, or has more than 64 bits", () => {
  const bad = [
    "",
    "-",
    "1.0",
    "1e3",
    "abc",
    " 1",
    "08",
    "1__0",
    "_1",
    "--1",
    "0x",
    "9223372036854775808",
    "-9223372036854775809",
  ];
  for (const text of bad) assert.equal(parseInteger(text), undefined, text);
});

Deno.test("parseUnsigned() refuses signs, and what has more than 64 bits", () => {
  assert.equal(parseUnsigned("18446744073709551615"), 2 ** 64);
  assert.equal(parseUnsigned("18446744073709551616"), undefined);
  assert.equal(parseUnsigned("-1"), undefined);
  assert.equal(parseUnsigned("+1"), undefined);
});

Deno.test("parseBool() reads what Go's ParseBool reads, and nothing else", () => {
  for (const text of ["1", "t", "T", "TRUE", "true", "True"]) {
    assert.equal(parseBool(text), true);
  }
  for (const text of ["0", "f", "F", "FALSE", "false", "False"]) {
    assert.equal(parseBool(text), false);
  }
  for (const text of ["", "yes", "no", "on", "tRUE", "2"]) {
    assert.equal(parseBool(text), undefined, text);
  }
});

Deno.test("parseBytes() reads sizes with and without a suffix", () => {
  const good: readonly (readonly [string, number])[] = [
    ["0", 0],
    ["1048576", 1 << 20],
    ["64MiB", 64 << 20],
    ["64mb", 64 << 20],
    ["1.5G", 1.5 * 2 ** 30],
    ["2 TiB", 2 * 2 ** 40],
    ["9007199254740991", Number.MAX_SAFE_INTEGER],
  ];
  for (const [text, value] of good) assert.equal(parseBytes(text), value);
  const bad = ["", "-1", "1.5", "1X", "MiB", "1KiBB", "9007199254740992"];
  for (const text of bad) assert.equal(parseBytes(text), undefined, text);
});
