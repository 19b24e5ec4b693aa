import assert from "node:assert/strict";
import { SeenBatches } from "../../../../../src/backend/driver/remote/seen_batches.ts";

const WENT_BACK = { kind: "corrupt", message: /went back in time/ };

function id(n: number): Uint8Array {
  return new Uint8Array(16).fill(n);
}

Deno.test("SeenBatches.note() takes the same batch any number of times, and no other", () => {
  const seen = new SeenBatches();
  seen.note({ seq: 3, id: id(3) });
  seen.note({ seq: 3, id: id(3) });
  assert.throws(() => seen.note({ seq: 3, id: id(4) }), WENT_BACK);
  assert.deepEqual(seen.idAt(3), id(3));
  assert.equal(seen.last, 3);
});

Deno.test("SeenBatches.note() of what stands before the first batch is nothing", () => {
  const seen = new SeenBatches();
  seen.note({ seq: 0, id: new Uint8Array(0) });
  assert.equal(seen.idAt(0), undefined);
  assert.equal(seen.last, 0);
});

Deno.test("SeenBatches.checkEnd() takes an end at the last batch, and none before it", () => {
  const seen = new SeenBatches();
  seen.checkEnd(7, 7);
  seen.checkEnd(8, 7);
  assert.throws(() => seen.checkEnd(6, 7), WENT_BACK);
});

Deno.test("SeenBatches keeps the newest, however many there are", () => {
  const seen = new SeenBatches();
  for (let seq = 1; seq <= 1000; seq++) seen.note({ seq, id: id(seq & 0xff) });
  assert.equal(seen.idAt(1), undefined);
  assert.equal(seen.idAt(936), undefined);
  for (let seq = 937; seq <= 1000; seq++) {
    assert.deepEqual(seen.idAt(seq), id(seq & 0xff));
  }
  assert.equal(seen.last, 1000);
});
