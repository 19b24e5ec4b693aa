import assert from "node:assert/strict";
import { HeaderBlock } from "../../../../../src/transport/http2/header_block.ts";
import { Decoder } from "../../../../../src/transport/http2/hpack/decoder.ts";
import { Encoder } from "../../../../../src/transport/http2/hpack/encoder.ts";
import { hex } from "./hex.ts";

const HEAD = new HeaderBlock([
  ":status",
  "200",
  "content-type",
  "application/grpc",
]);
const OK = new HeaderBlock(["grpc-status", "0"]);

/** An encoder and the decoder at the other end. */
class Pair {
  readonly encoder = new Encoder();
  readonly decoder = new Decoder(4096);

  /** Encodes, checks that it decodes to the same, returns the bytes. */
  send(block: HeaderBlock): Uint8Array {
    const bytes = this.encoder.encode(block);
    const seen: string[] = [];
    this.decoder.decode(bytes, 0, bytes.length, {
      field: (name, value) => void seen.push(name, value),
    });
    assert.deepEqual(seen, block.fields);
    return bytes;
  }
}

Deno.test("Encoder.encode() takes one byte per field from the third time on", () => {
  const pair = new Pair();
  assert.equal(pair.send(HEAD), HEAD.literalBytes);
  assert.equal(pair.send(OK), OK.literalBytes);
  assert.ok(pair.send(HEAD).length > 2);
  assert.ok(pair.send(OK).length > 1);
  assert.equal(hex(pair.send(HEAD)), "88bf");
  assert.equal(hex(pair.send(OK)), "be");
  assert.equal(pair.send(HEAD), pair.send(HEAD), "the same bytes, not a copy");
});

Deno.test("Encoder.encode() leaves the table alone for blocks that come once", () => {
  const pair = new Pair();
  for (let i = 0; i < 3; i++) pair.send(HEAD);
  const bytes = pair.send(HEAD);
  for (let i = 0; i < 1000; i++) {
    pair.send(new HeaderBlock(["grpc-status", "5", "grpc-message", `m${i}`]));
    if (i % 10 === 0) assert.equal(pair.send(HEAD), bytes);
  }
});

Deno.test("Encoder.encode() stays right when a block was forgotten for others", () => {
  const pair = new Pair();
  const blocks = Array.from(
    { length: 100 },
    (_, i) => new HeaderBlock(["name", `value ${i}`, "other", "x".repeat(i)]),
  );
  for (let round = 0; round < 5; round++) {
    for (const block of blocks) {
      pair.send(block);
      pair.send(block);
      pair.send(block);
      pair.send(HEAD);
    }
  }
});

Deno.test("Encoder.limitTable() to 0 makes everything literal", () => {
  const pair = new Pair();
  for (let i = 0; i < 4; i++) pair.send(HEAD);
  pair.encoder.limitTable(0);
  pair.decoder.limitTable(0);
  assert.equal(pair.send(HEAD)[0], 0x20, "a size update comes first");
  const bytes = pair.send(HEAD);
  assert.ok(bytes.length > 2);
  assert.notEqual(bytes[0], 0x20);
  assert.equal(pair.send(HEAD), bytes);
});

Deno.test("Encoder.limitTable() down and up again tells both sizes", () => {
  const pair = new Pair();
  for (let i = 0; i < 4; i++) pair.send(HEAD);
  pair.encoder.limitTable(10);
  pair.encoder.limitTable(1_000_000);
  assert.equal(hex(pair.send(HEAD)).slice(0, 8), "2a3fe11f"); // 10, 4096
  for (let i = 0; i < 4; i++) pair.send(HEAD);
  assert.equal(pair.send(HEAD).length, 2);
});

Deno.test("Encoder.limitTable() precedes a block that comes for the first time too", () => {
  const pair = new Pair();
  pair.encoder.limitTable(0);
  pair.decoder.limitTable(0);
  assert.equal(pair.send(OK)[0], 0x20);
  assert.equal(pair.send(HEAD), HEAD.literalBytes);
});

Deno.test("Encoder.limitTable() of the size in use says nothing", () => {
  const pair = new Pair();
  pair.encoder.limitTable(4096);
  pair.encoder.limitTable(65_536);
  assert.equal(pair.send(OK), OK.literalBytes);
});

Deno.test("HeaderBlock refuses what is not pairs of latin1", () => {
  assert.throws(() => new HeaderBlock(["name"]));
  assert.throws(() => new HeaderBlock(["name", "\u0100"]));
  assert.doesNotThrow(() => new HeaderBlock(["name", "\u00ff"]));
});
