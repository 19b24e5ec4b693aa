import assert from "node:assert/strict";
import { concatBytes } from "../../../../src/base/bytes.ts";
import { OutputBuffer } from "../../../../src/transport/http2/output_buffer.ts";

/** Adds `length` bytes of `value`. */
function put(buffer: OutputBuffer, value: number, length: number): void {
  const at = buffer.reserve(length);
  buffer.bytes.fill(value, at, at + length);
  buffer.commit(at + length);
}

Deno.test("OutputBuffer gives everything, in order, and never touches what it gave", () => {
  const taken: Uint8Array[] = [];
  const copies: Uint8Array[] = [];
  const give = (bytes: Uint8Array) => {
    taken.push(bytes);
    copies.push(bytes.slice());
  };
  const buffer = new OutputBuffer(give);
  const expected: Uint8Array[] = [];
  for (let i = 0; i < 400; i++) {
    const length = (i * 7919) % 20_000;
    put(buffer, i, length);
    expected.push(new Uint8Array(length).fill(i));
    if (i % 3 === 0) give(buffer.take());
  }
  give(buffer.take());
  assert.equal(buffer.length, 0);
  assert.deepEqual(concatBytes(...copies), concatBytes(...expected));
  assert.deepEqual(concatBytes(...taken), concatBytes(...expected));
});

Deno.test("OutputBuffer forgets what was reserved and not committed", () => {
  const buffer = new OutputBuffer(() => assert.fail("nothing to overflow"));
  put(buffer, 1, 10);
  buffer.bytes.fill(9, buffer.reserve(100));
  put(buffer, 2, 10);
  const expected = concatBytes(
    new Uint8Array(10).fill(1),
    new Uint8Array(10).fill(2),
  );
  assert.deepEqual(Uint8Array.from(buffer.take()), expected);
});

Deno.test("OutputBuffer keeps little for a connection that says little", () => {
  const buffer = new OutputBuffer(() => assert.fail("nothing to overflow"));
  for (let i = 0; i < 1000; i++) {
    put(buffer, 1, 50);
    buffer.take();
    assert.equal(buffer.bytes.length, 4096);
  }
});

Deno.test("OutputBuffer shrinks again after a large write", () => {
  const buffer = new OutputBuffer(() => {});
  put(buffer, 1, 1_000_000);
  buffer.take();
  for (let i = 0; i < 100; i++) {
    put(buffer, 1, 1000);
    buffer.take();
  }
  assert.ok(buffer.bytes.length <= 65_536);
});
