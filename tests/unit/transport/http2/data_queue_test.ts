import assert from "node:assert/strict";
import { concatBytes } from "../../../../src/base/bytes.ts";
import { DataQueue } from "../../../../src/transport/http2/data_queue.ts";

/** `length` bytes that are different from those of other numbers. */
function piece(n: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => n * 31 + i);
}

/** Takes everything out, `step` bytes at a time. */
function drain(queue: DataQueue, length: number, step: number): Uint8Array {
  const out = new Uint8Array(length);
  for (let at = 0; at < length; at += step) {
    queue.moveTo(out, at, Math.min(step, length - at));
  }
  return out;
}

for (const step of [1, 7, 100, 5_000]) {
  Deno.test(`DataQueue keeps the order of long and short pieces, ${step} bytes at a time`, () => {
    const lengths = [5, 511, 512, 0, 3, 2_000, 1, 1, 1, 600, 100, 400, 2_048];
    const pieces = [...lengths, ...lengths].map((length, n) =>
      piece(n, length)
    );
    const queue = new DataQueue();
    for (const bytes of pieces) queue.push(bytes);
    const whole = concatBytes(...pieces);
    assert.deepEqual(drain(queue, whole.length, step), whole);
  });
}

Deno.test("DataQueue gathers short pieces, also behind what has left in part", () => {
  const queue = new DataQueue();
  const first = piece(1, 10);
  queue.push(first);
  const out = new Uint8Array(4);
  queue.moveTo(out, 0, 4);
  for (let n = 0; n < 300; n++) queue.push(piece(n, 9));
  const rest = drain(queue, 6 + 300 * 9, 50);
  assert.deepEqual(rest.subarray(0, 6), first.subarray(4));
  assert.deepEqual(rest.subarray(6 + 299 * 9), piece(299, 9));
  assert.deepEqual(first, piece(1, 10), "what was pushed is not written to");
});
