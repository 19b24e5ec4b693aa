import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { concatBytes, text, utf8 } from "../../../../src/base/bytes.ts";
import { MessageReader } from "../../../../src/transport/grpc/message_reader.ts";
import { ReceiveBudget } from "../../../../src/transport/grpc/receive_budget.ts";
import { StatusError } from "../../../../src/transport/grpc/status.ts";
import { framed } from "./grpc_session.ts";

const MAX_BYTES = 10_000;

function open(
  { isGzip = false, budget = new ReceiveBudget(1 << 20) } = {},
): MessageReader {
  return new MessageReader({ maxBytes: MAX_BYTES, isGzip, budget });
}

function readAll(reader: MessageReader, ...chunks: Uint8Array[]): string[] {
  const messages: string[] = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    for (;;) {
      const message = reader.next();
      if (message === undefined) break;
      messages.push(text(message));
    }
  }
  return messages;
}

function refused(reader: MessageReader, chunk: Uint8Array): string {
  try {
    readAll(reader, chunk);
  } catch (error) {
    assert(error instanceof StatusError);
    return `${error.code} ${error.message}`;
  }
  return "not refused";
}

Deno.test("MessageReader takes several messages of one chunk, empty ones too", () => {
  const reader = open();
  const chunk = concatBytes(framed("one"), framed(""), framed("three"));
  assert.deepEqual(readAll(reader, chunk), ["one", "", "three"]);
  assert(reader.isEmpty);
});

Deno.test("MessageReader takes messages that are cut anywhere", () => {
  const whole = concatBytes(framed("first"), framed(""), framed("third"));
  for (let cut = 0; cut <= whole.length; cut++) {
    const parts = [whole.subarray(0, cut), whole.subarray(cut)];
    assert.deepEqual(readAll(open(), ...parts), ["first", "", "third"]);
  }
  const bytes = [...whole].map((byte) => Uint8Array.of(byte));
  assert.deepEqual(readAll(open(), ...bytes), ["first", "", "third"]);
});

Deno.test("MessageReader.next() gives a view where the message lies in one chunk", () => {
  const chunk = framed("abc");
  const reader = open();
  reader.push(chunk);
  assert.equal(reader.next()!.buffer, chunk.buffer);
});

Deno.test("MessageReader.isEmpty is false inside a message and inside a prefix", () => {
  const reader = open();
  readAll(reader, Uint8Array.of(0, 0));
  assert(!reader.isEmpty);
  readAll(reader, Uint8Array.of(0, 0, 2, 65));
  assert(!reader.isEmpty);
  assert.deepEqual(readAll(reader, Uint8Array.of(66)), ["AB"]);
  assert(reader.isEmpty);
});

Deno.test("MessageReader takes a message of the limit, and refuses one byte more by its prefix", () => {
  const largest = framed("x".repeat(MAX_BYTES));
  assert.equal(readAll(open(), largest)[0]!.length, MAX_BYTES);
  const prefix = framed("x".repeat(MAX_BYTES + 1)).subarray(0, 5);
  assert.equal(
    refused(open(), prefix),
    "8 grpc: received message larger than max (10001 vs. 10000)",
  );
  assert.equal(
    refused(open(), Uint8Array.of(0, 255, 255, 255, 255)),
    "8 grpc: received message larger than max (4294967295 vs. 10000)",
  );
});

Deno.test("MessageReader refuses flags that mean nothing", () => {
  assert.equal(
    refused(open(), framed("x", 2)),
    "13 grpc: received unexpected payload format 2",
  );
});

Deno.test("MessageReader refuses a compressed message without an encoding", () => {
  assert.equal(
    refused(open(), framed(gzipSync(utf8("x")), 1)),
    "13 grpc: compressed flag set with identity or empty encoding",
  );
});

Deno.test("MessageReader decompresses what is compressed, and nothing else", () => {
  const packed = framed(gzipSync(utf8("packed")), 1);
  const chunk = concatBytes(packed, framed("plain"));
  assert.deepEqual(readAll(open({ isGzip: true }), chunk), [
    "packed",
    "plain",
  ]);
  const parts = [packed.subarray(0, 9), packed.subarray(9)];
  assert.deepEqual(readAll(open({ isGzip: true }), ...parts), ["packed"]);
});

Deno.test("MessageReader stops decompressing at the limit", () => {
  const at = framed(gzipSync(new Uint8Array(MAX_BYTES)), 1);
  assert.equal(readAll(open({ isGzip: true }), at)[0]!.length, MAX_BYTES);
  const above = framed(gzipSync(new Uint8Array(MAX_BYTES + 1)), 1);
  const expected =
    "8 grpc: received message after decompression larger than max 10000";
  assert.equal(refused(open({ isGzip: true }), above), expected);
  const bomb = gzipSync(new Uint8Array(5_000_000));
  assert(bomb.length < MAX_BYTES);
  assert.equal(refused(open({ isGzip: true }), framed(bomb, 1)), expected);
});

Deno.test("MessageReader refuses broken and cut gzip", () => {
  const packed = gzipSync(utf8("packed"));
  for (
    const bad of [utf8("no gzip"), packed.subarray(0, 12), new Uint8Array(0)]
  ) {
    assert.match(
      refused(open({ isGzip: true }), framed(bad, 1)),
      /^13 grpc: failed to decompress the message: /,
    );
  }
});

Deno.test("MessageReader allocates for bytes that came, not for a length that was promised", () => {
  const budget = new ReceiveBudget(1 << 20);
  const reader = open({ budget });
  readAll(reader, framed("x".repeat(9000)).subarray(0, 6));
  assert.equal(budget.usedBytes, 128);
  readAll(reader, new Uint8Array(5000));
  assert.equal(budget.usedBytes, 5001);
  readAll(reader, new Uint8Array(3999));
  assert.equal(budget.usedBytes, 0);
  assert(reader.isEmpty);
});

Deno.test("MessageReader refuses a message in parts that all of them together leave no room for", () => {
  const budget = new ReceiveBudget(256);
  const part = framed("x".repeat(5000)).subarray(0, 100);
  const first = open({ budget });
  readAll(first, part);
  readAll(open({ budget }), part);
  assert.equal(
    refused(open({ budget }), part),
    "8 grpc: too many messages are being received at once",
  );
  first.close();
  assert.deepEqual(readAll(open({ budget }), part), []);
  assert.equal(budget.usedBytes, 256);
});
