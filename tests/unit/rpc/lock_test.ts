import assert from "node:assert/strict";
import { text, utf8 } from "../../../src/base/bytes.ts";
import { DomainError } from "../../../src/base/errors.ts";
import { decodeResponseHeader } from "../../../src/pb/etcdserverpb.ts";
import { newLockRequest } from "../../../src/pb/v3lockpb.ts";
import { LockHandlers } from "../../../src/rpc/lock.ts";
import { FakeCall, RecipeFixture, settled } from "../../support/recipes.ts";

async function newLock() {
  const fixture = await RecipeFixture.open();
  const handlers = new LockHandlers(fixture.recipes);
  const lock = async (lease: bigint, call = new FakeCall()) => {
    const request = newLockRequest({ name: utf8("l"), lease });
    const { key, header } = await handlers.lock(request, call);
    return {
      key: text(key),
      revision: decodeResponseHeader(header!).revision,
    };
  };
  return { fixture, lock };
}

const kind = (expected: string) => (error: unknown) =>
  error instanceof DomainError && error.kind === expected;

Deno.test("LockHandlers.lock() takes a free lock with one transaction", async () => {
  const { fixture, lock } = await newLock();
  fixture.lease(0xabn);
  assert.deepEqual(await lock(0xabn), { key: "l/ab", revision: 2 });
  assert.equal(fixture.kv.ranges, 0);
  assert.deepEqual(await lock(0xabn), { key: "l/ab", revision: 2 });
  assert.deepEqual(fixture.granted, []);
});

Deno.test("LockHandlers.lock() asks for a lease of 60 seconds if there is none", async () => {
  const { fixture, lock } = await newLock();
  assert.equal((await lock(0n)).key, `l/${901n.toString(16)}`);
  assert.deepEqual(fixture.granted, [60]);
});

Deno.test("LockHandlers.lock() looks once for each waiter that is woken, however many wait", async () => {
  const { fixture, lock } = await newLock();
  const { kv } = fixture;
  const count = 500;
  const entered: bigint[] = [];
  for (let id = 1n; id <= count; id++) {
    fixture.lease(id);
    void lock(id).then(() => entered.push(id));
  }
  await settled();
  assert.deepEqual(entered, [1n]);
  for (let id = 1n; id < count; id++) {
    const before = kv.ranges;
    await fixture.delete(utf8(`l/${id.toString(16)}`));
    await settled();
    assert.equal(entered.at(-1), id + 1n);
    assert.equal(kv.ranges - before, 2, "who is before it, and its own key");
    if (id === 20n) break;
  }
});

Deno.test("LockHandlers.lock() misses no deletion between looking and waiting", async () => {
  const { fixture, lock } = await newLock();
  fixture.lease(1n);
  fixture.lease(2n);
  await lock(1n);
  let deleted: Promise<void> | undefined;
  fixture.kv.beforeRange = () => {
    deleted ??= fixture.delete(utf8("l/1"));
  };
  const { revision } = await lock(2n);
  await deleted;
  assert.equal(revision, 4);
});

Deno.test("LockHandlers.lock() deletes the key of a call that is given up, and of that one alone", async () => {
  const { fixture, lock } = await newLock();
  for (const id of [1n, 2n, 3n]) fixture.lease(id);
  await lock(1n);
  const call = new FakeCall();
  const second = lock(2n, call);
  await settled();
  let entered = false;
  const third = lock(3n).then(() => entered = true);
  await settled();
  call.giveUp();
  await assert.rejects(second, kind("canceled"));
  assert.deepEqual(fixture.leases.keysOf(2n), []);
  await settled();
  assert.equal(entered, false, "the first still has the lock");
  await fixture.delete(utf8("l/1"));
  await third;
});

Deno.test("LockHandlers.lock() tells why it failed, not why cleaning up did", async () => {
  const { fixture, lock } = await newLock();
  fixture.lease(1n);
  fixture.lease(2n);
  await lock(1n);
  fixture.kv.deleteRange = () =>
    Promise.reject(new DomainError("permissionDenied"));
  const call = new FakeCall();
  const second = lock(2n, call);
  await settled();
  call.giveUp();
  await assert.rejects(second, kind("canceled"));
});

Deno.test("LockHandlers.lock() fails if the waiter's key went first", async () => {
  const { fixture, lock } = await newLock();
  fixture.lease(1n);
  fixture.lease(2n);
  await lock(1n);
  const second = lock(2n);
  await settled();
  await fixture.delete(utf8("l/2"));
  await fixture.delete(utf8("l/1"));
  await assert.rejects(second, kind("lockSessionExpired"));
});

Deno.test("LockHandlers.lock() ends when the server stops", async () => {
  const { fixture, lock } = await newLock();
  fixture.lease(1n);
  fixture.lease(2n);
  await lock(1n);
  const second = lock(2n);
  await settled();
  fixture.changes.close();
  await assert.rejects(second, kind("stopped"));
});
