import assert from "node:assert/strict";
import { FakeClock } from "../../support/fake_clock.ts";
import { Disk, LeaseProcess, turn } from "./lease_process.ts";

const SLICE_LEASES = 256;
const SLICE_KEYS = 1000;

async function processWith(
  leases: number,
  { keysEach }: { keysEach: number },
): Promise<LeaseProcess> {
  const process = await LeaseProcess.started(new Disk(), new FakeClock());
  const grants = [];
  for (let i = 1; i <= leases; i++) {
    grants.push(process.lessor.grant(BigInt(i), 10));
  }
  await Promise.all(grants);
  for (let i = 1; i <= leases; i++) {
    for (let k = 0; k < keysEach; k++) process.put(`${i}/${k}`, BigInt(i));
  }
  process.committed.length = 0;
  return process;
}

async function until(isDone: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !isDone(); i++) await turn(1);
  assert.ok(isDone());
}

Deno.test("LeaseExpiry revokes 10,000 leases in slices, each lease at its own revision", async () => {
  const process = await processWith(10_000, { keysEach: 1 });
  const before = process.currentRevision;
  process.clock.advance(10_000);
  await until(() => process.lessor.size === 0);
  assert.equal(process.disk.keys.size, 0);
  assert.equal(process.currentRevision, before + 10_000);
  assert.equal(process.committed.length, Math.ceil(10_000 / SLICE_LEASES));
  for (const { writes } of process.committed) assert.ok(writes <= SLICE_LEASES);
  assert.equal(process.lessor.counts.expired, 10_000);
});

Deno.test("LeaseExpiry lets a request in after one slice at most", async () => {
  const process = await processWith(2000, { keysEach: 1 });
  process.clock.advance(10_000);
  await until(() => process.committed.length === 2);
  let batch = -1;
  await process.write(() => batch = process.committed.length);
  assert.ok(batch <= 3, `batch ${batch}`);
  assert.ok(process.lessor.size > 0, "there was more to revoke");
  await until(() => process.lessor.size === 0);
});

Deno.test("LeaseExpiry bounds the keys of a slice", async () => {
  const process = await processWith(20, { keysEach: 300 });
  process.clock.advance(10_000);
  await until(() => process.lessor.size === 0);
  assert.deepEqual(
    process.committed.map(({ deletes }) => deletes),
    Array(7).fill(900).with(6, 600),
  );
});

Deno.test("LeaseExpiry revokes a lease with more keys than a slice in one piece", async () => {
  const process = await processWith(2, { keysEach: SLICE_KEYS + 1 });
  const before = process.currentRevision;
  process.clock.advance(10_000);
  await until(() => process.lessor.size === 0);
  assert.deepEqual(process.committed.map(({ deletes }) => deletes), [
    1001,
    1001,
  ]);
  assert.equal(process.currentRevision, before + 2);
});

Deno.test("LeaseExpiry.stop() waits for the slice under way and begins no other", async () => {
  const process = await processWith(1000, { keysEach: 0 });
  process.isHeld = true;
  process.clock.advance(10_000);
  const stopped = process.lessor.stop();
  process.release();
  await stopped;
  assert.equal(process.lessor.size, 1000 - SLICE_LEASES);
});
