import assert from "node:assert/strict";
import { BackendError } from "../../../src/backend/backend.ts";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import {
  newPutRequest,
  newRangeRequest,
} from "../../../src/pb/etcdserverpb.ts";
import { FaultyBackend } from "../../support/faulty_backend.ts";
import { ANYBODY, openTestStore } from "../../support/store.ts";

const PUT = newPutRequest({ key: utf8("k"), value: utf8("v") });
const RANGE = newRangeRequest({ key: utf8("k") });
const LOCAL = newRangeRequest({ key: utf8("k"), serializable: true });

async function fixture() {
  const backend = new FaultyBackend(new MemoryBackend());
  const { store } = await openTestStore(backend);
  const put = () => store.put(PUT, 0, ANYBODY);
  await put();
  return { backend, store, put };
}

for (
  const [kind, told] of [
    ["noSpace", "noSpace"],
    ["failed", "unhealthy"],
    ["locked", "unhealthy"],
  ] as const
) {
  Deno.test(`Store tells "${told}" when an append fails as "${kind}", reads on, and recovers with the next write`, async () => {
    const { backend, store, put } = await fixture();
    const error = new BackendError("Cannot append", { kind });
    backend.failNext("append", error);
    await assert.rejects(put(), { kind: told });
    assert.equal(store.failure, error);
    assert.equal((await store.range(RANGE)).response.kvs.length, 1);
    await store.probe();
    assert.equal(store.failure, undefined);
    assert.equal(store.currentRevision, 2);
    await put();
    assert.equal(store.currentRevision, 3);
  });
}

Deno.test("Store.probe() rejects while the database fails", async () => {
  const { backend, store } = await fixture();
  backend.failNext("append");
  await assert.rejects(store.probe(), { kind: "unhealthy" });
  assert.notEqual(store.failure, undefined);
});

Deno.test("Store fails closed once the database is damaged: only serializable reads from memory are answered", async () => {
  const { backend, store, put } = await fixture();
  const error = new BackendError("Cannot append", { kind: "corrupt" });
  backend.failNext("append", error);
  await assert.rejects(put(), { kind: "corrupt" });
  assert.ok(store.isCorrupt);
  assert.equal(store.failure, error);
  const appends = backend.calls("append");
  await assert.rejects(put(), { kind: "corrupt" });
  await assert.rejects(store.probe(), { kind: "corrupt" });
  assert.equal(backend.calls("append"), appends);
  assert.throws(() => store.range(RANGE), { kind: "corrupt" });
  assert.equal((await store.range(LOCAL)).response.kvs.length, 1);
});

Deno.test("Store fails closed when what it reads back is damaged", async () => {
  const { backend, store } = await fixture();
  backend.failNext(
    "valuesOf",
    new BackendError("Cannot read values", { kind: "corrupt" }),
  );
  await assert.rejects(store.records.backend.valuesOf([{ rev: 2, sub: 0 }]), {
    kind: "corrupt",
  });
  assert.ok(store.isCorrupt);
});

Deno.test("Store that could not read something back has failed until that very read works", async () => {
  const { backend, store, put } = await fixture();
  const error = new BackendError("Cannot read events");
  for (let i = 0; i < 2; i++) backend.failNext("eventsAfter", error);
  await assert.rejects(store.records.backend.eventsAfter(1, 1), {
    kind: "unhealthy",
    cause: error,
  });
  await put();
  await store.records.backend.valuesOf([{ rev: 2, sub: 0 }]);
  assert.equal(store.failure, error);
  await assert.rejects(store.probe());
  assert.equal(store.failure, error);
  await store.probe();
  assert.equal(store.failure, undefined);
});
