import assert from "node:assert/strict";
import {
  huffmanAppend,
  huffmanDecode,
  huffmanSize,
  maxDecodedBytes,
} from "../../../../../src/transport/http2/hpack/huffman.ts";
import { unhex } from "./hex.ts";

function encode(text: string): Uint8Array {
  const out: number[] = [];
  huffmanAppend(out, text);
  return Uint8Array.from(out);
}

/** The decoded string, or undefined if the input is invalid. */
function decode(bytes: Uint8Array): string | undefined {
  const out = new Uint8Array(maxDecodedBytes(bytes.length));
  const n = huffmanDecode(bytes, 0, bytes.length, out);
  if (n < 0) return undefined;
  return String.fromCharCode(...out.subarray(0, n));
}

Deno.test("huffmanDecode() undoes huffmanAppend() for every symbol, alone and between others", () => {
  for (let symbol = 0; symbol < 256; symbol++) {
    const char = String.fromCharCode(symbol);
    for (const text of [char, `a${char}0`, char.repeat(9)]) {
      const coded = encode(text);
      assert.equal(coded.length, huffmanSize(text));
      assert.equal(decode(coded), text);
    }
  }
});

Deno.test("huffmanDecode() undoes huffmanAppend() for random strings", () => {
  let state = 7; // xorshift; the seed of a failure is the string itself
  const random = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  for (let round = 0; round < 500; round++) {
    let text = "";
    for (let n = random() % 40; n > 0; n--) {
      text += String.fromCharCode(random() % 256);
    }
    assert.equal(decode(encode(text)), text);
  }
});

Deno.test("huffmanDecode() accepts up to seven ones as padding", () => {
  assert.equal(decode(unhex("1f")), "a"); // 00011 111
  assert.equal(decode(unhex("")), "");
  // "&" has eight bits, "0" five, "X" eight: no padding, three and none.
  assert.equal(decode(unhex("f8")), "&");
  // ":" is 1011100 and leaves one bit.
  assert.equal(decode(unhex("b9")), ":");
  // "a" (5), "e" (5), " " (6), "a" (5), "0" (5) … seven bits are left behind 4 * 5 + 13 = 33 bits.
  const coded = encode("aaaa\0");
  assert.equal(coded.length, 5);
  assert.equal(decode(coded), "aaaa\0");
});

Deno.test("huffmanDecode() refuses padding of eight bits", () => {
  assert.equal(decode(unhex("1fff")), undefined);
  assert.equal(decode(unhex("ff")), undefined);
});

Deno.test("huffmanDecode() refuses padding with a zero", () => {
  assert.equal(decode(unhex("1e")), undefined); // 00011 110
  assert.equal(decode(unhex("b8")), undefined); // 1011100 0
});

Deno.test("huffmanDecode() refuses EOS", () => {
  assert.equal(decode(unhex("ffffffff")), undefined); // 30 ones and two more
  assert.equal(decode(unhex("1ffffffffc")), undefined); // "a", EOS
});
