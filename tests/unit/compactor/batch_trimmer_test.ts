import assert from "node:assert/strict";
import { BatchTrimmer } from "../../../src/compactor/batch_trimmer.ts";
import { FakeClock } from "../../support/fake_clock.ts";

function trimmer(keptBatches: number, keptMs: number) {
  const clock = new FakeClock();
  const removed: number[] = [];
  const remove = (below: number) => {
    removed.push(below);
    return Promise.resolve();
  };
  const options = { keptBatches, keptMs };
  return { clock, removed, it: new BatchTrimmer(remove, clock, options) };
}

Deno.test("BatchTrimmer keeps the last batches, and waits until there are twice as many", async () => {
  const { removed, it } = trimmer(10, 0);
  await it.run(20);
  assert.deepEqual(removed, []);
  await it.run(21);
  await it.run(30);
  await it.run(32);
  assert.deepEqual(removed, [11, 22]);
});

Deno.test("BatchTrimmer keeps what is young, however much it is", async () => {
  const { clock, removed, it } = trimmer(10, 60_000);
  for (let second = 0; second <= 60; second++) {
    await it.run(second * 100);
    clock.advance(1000);
  }
  assert.deepEqual(removed, []);
  await it.run(6100);
  assert.deepEqual(removed, [100]);
});
