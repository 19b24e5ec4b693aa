import assert from "node:assert/strict";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { makeBatch } from "../../support/batches.ts";
import { FaultyBackend } from "../../support/faulty_backend.ts";

Deno.test("FaultyBackend fails one call, and nothing was done", async () => {
  const backend = new FaultyBackend(new MemoryBackend());
  await backend.open();
  backend.failNext("append");
  await assert.rejects(backend.append(makeBatch(1, 1)), /connection lost/);
  assert.equal((await backend.head()).seq, 0);
  assert.equal(await backend.append(makeBatch(1, 1)), "committed");
  assert.equal(backend.calls("append"), 2);
});

Deno.test("FaultyBackend loses an answer, and it was done", async () => {
  const backend = new FaultyBackend(new MemoryBackend());
  await backend.open();
  backend.loseAnswer("append");
  await assert.rejects(backend.append(makeBatch(1, 1)), /connection lost/);
  assert.equal((await backend.head()).seq, 1);
});

Deno.test("FaultyBackend holds calls back until told otherwise", async () => {
  const backend = new FaultyBackend(new MemoryBackend());
  await backend.open();
  backend.pause("append");
  const appending = backend.append(makeBatch(1, 1));
  assert.equal((await backend.head()).seq, 0);
  backend.resume("append");
  assert.equal(await appending, "committed");
});

Deno.test("FaultyBackend announces commits to those who still watch", async () => {
  const backend = new FaultyBackend(new MemoryBackend(), {
    isExclusive: false,
  });
  await backend.open();
  let calls = 0;
  const stop = backend.watchCommits(() => calls++);
  backend.announceCommit(1);
  stop();
  backend.announceCommit(1);
  assert.equal(calls, 1);
  assert.equal(backend.isExclusive, false);
});
