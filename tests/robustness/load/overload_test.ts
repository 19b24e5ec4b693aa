import assert from "node:assert/strict";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import {
  newPutRequest,
  newRangeRequest,
} from "../../../src/pb/etcdserverpb.ts";
import { DEFAULT_WRITE_QUEUE_LIMITS } from "../../../src/mvcc/write_queue.ts";
import { FaultyBackend } from "../../support/faulty_backend.ts";
import { ANYBODY, keyOf, openTestStore } from "../../support/store.ts";

const { maxQueued, maxQueuedBytes } = DEFAULT_WRITE_QUEUE_LIMITS;

/** A store whose disk stands still with one write under way. */
async function stalledStore() {
  const backend = new FaultyBackend(new MemoryBackend());
  const { store } = await openTestStore(backend);
  const put = (n: number, bytes = 0) => {
    const request = newPutRequest({ key: keyOf(n), value: utf8("v") });
    return store.put(request, bytes, ANYBODY);
  };
  backend.pause("append");
  const underWay = put(0);
  while (backend.calls("append") === 0) await undefined;
  return { backend, store, put, underWay };
}

Deno.test("Store with a disk that stands still refuses what exceeds its queue at once, answers reads, and recovers", async () => {
  const { backend, store, put, underWay } = await stalledStore();
  const waiting = Array.from({ length: maxQueued }, (_, n) => put(n + 1));
  // Refused while the disk still stands: nothing has to happen first.
  for (let n = 0; n < 3; n++) {
    await assert.rejects(put(n), { kind: "tooManyRequests" });
  }
  const read = await store.range(newRangeRequest({ key: keyOf(0) }));
  assert.equal(read.response.count, 0);
  backend.resume("append");
  await underWay;
  const written = await Promise.all(waiting);
  assert.equal(new Set(written.map((w) => w.revision)).size, maxQueued);
  await put(1);
});

Deno.test("Store refuses by bytes, too: few large writes fill the queue", async () => {
  const { backend, put, underWay } = await stalledStore();
  const bytes = 1 << 20;
  const fitting = maxQueuedBytes / bytes + 1;
  const waiting = Array.from({ length: fitting }, (_, n) => put(n + 1, bytes));
  await assert.rejects(put(0, bytes), { kind: "tooManyRequests" });
  backend.resume("append");
  await underWay;
  await Promise.all(waiting);
  await put(1, bytes);
});
