import assert from "node:assert/strict";
import { ConnectionError } from "../../../../../src/transport/http2/errors.ts";
import { ErrorCode } from "../../../../../src/transport/http2/frame.ts";
import { Decoder } from "../../../../../src/transport/http2/hpack/decoder.ts";
import { unhex } from "./hex.ts";

function decode(decoder: Decoder, digits: string): string[] {
  const block = unhex(digits);
  const seen: string[] = [];
  decoder.decode(block, 0, block.length, {
    field: (name, value) => void seen.push(`${name}=${value}`),
  });
  return seen;
}

const INVALID: [what: string, digits: string][] = [
  ["index 0", "80"],
  ["an index beyond the static table", "be"],
  ["a name index beyond the static table", "7e0161"],
  ["a name that the block cuts off", "400261"],
  ["a value that the block cuts off", "40016101"],
  ["a literal without a value", "400161"],
  ["a name with invalid Huffman padding", "4081 1e 0161"],
  ["EOS in a value", "4001 61 84 ffffffff"],
  ["a size update behind a field", "8220"],
  ["three size updates", "20203fe11f82"],
  ["a size update above the limit", "3fe21f"],
  ["an integer that does not end", "ff80808080808001"],
];

for (const [what, digits] of INVALID) {
  Deno.test(`Decoder.decode() fails the connection for ${what}`, () => {
    assert.throws(
      () => decode(new Decoder(4096), digits),
      (error) =>
        error instanceof ConnectionError &&
        error.code === ErrorCode.CompressionError,
    );
  });
}

Deno.test("Decoder.decode() takes two size updates, up to the limit", () => {
  assert.deepEqual(decode(new Decoder(4096), "203fe11f82"), [":method=GET"]);
});

Deno.test("Decoder.decode() reads names and values as latin1", () => {
  assert.deepEqual(decode(new Decoder(4096), "4001e901ff"), ["\xe9=\xff"]);
});

Deno.test("Decoder.decode() reads a value of many kilobytes, plain and coded", () => {
  // 10,000 times "a": 10,000 bytes plain (7f a14d + 127), 6,250 bytes coded (ff eb2f + 127).
  const decoder = new Decoder(4096);
  const plain = `0001617f914d${"61".repeat(10_000)}`;
  assert.deepEqual(decode(decoder, plain), [`a=${"a".repeat(10_000)}`]);
  const coded = `000161ffeb2f${"18c6318c63".repeat(1250)}`;
  assert.deepEqual(decode(decoder, coded), [`a=${"a".repeat(10_000)}`]);
});

Deno.test("Decoder.limitTable() demands a size update once the limit is below the table", () => {
  const decoder = new Decoder(4096);
  decode(decoder, "40016101 62"); // a=b enters the table
  decoder.limitTable(100);
  assert.throws(() => decode(decoder, "be"), /update is missing/);
  assert.deepEqual(decode(decoder, "3f45be"), ["a=b"]); // 100
  decoder.limitTable(100);
  assert.deepEqual(decode(decoder, "be"), ["a=b"]);
  assert.throws(() => decode(decoder, "3f46be"), /above the limit/); // 101
});
