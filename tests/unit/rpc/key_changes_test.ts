import assert from "node:assert/strict";
import { utf8 } from "../../../src/base/bytes.ts";
import { DomainError } from "../../../src/base/errors.ts";
import type { Event } from "../../../src/mvcc/event.ts";
import {
  KeyChanges,
  type KeySubscription,
} from "../../../src/rpc/key_changes.ts";

const NEVER = new AbortController().signal;

function event(key: string, rev: number, bytes = 10): Event {
  const wire = new Uint8Array(bytes);
  return {
    rev,
    sub: 0,
    deleted: false,
    key: utf8(key),
    wire,
    wireWithPrevious: wire,
  };
}

/** Whether `changed` resolves without anything more happening. */
async function isWoken(subscription: KeySubscription): Promise<boolean> {
  const impatience = new AbortController();
  const changed = subscription.changed(impatience.signal).then(
    () => true,
    () => false,
  );
  await Promise.resolve();
  await Promise.resolve();
  impatience.abort();
  return await changed;
}

const kind = (expected: string) => (error: unknown) =>
  error instanceof DomainError && error.kind === expected;

Deno.test("KeyChanges.ofKey() wakes for its key, and no other", async () => {
  const changes = new KeyChanges();
  const a = changes.ofKey(utf8("l/a"));
  const b = changes.ofKey(utf8("l/b"));
  changes.committed([event("l/a", 2), event("l/ab", 3), event("l", 4)]);
  assert.equal(await isWoken(a), true);
  assert.equal(await isWoken(a), false, "it was told");
  assert.equal(await isWoken(b), false);
});

Deno.test("KeyChanges.below() wakes for keys below, at any depth", async () => {
  const changes = new KeyChanges();
  const below = changes.below(utf8("l/"));
  changes.committed([event("l", 2), event("la/b", 3), event("k/l/a", 4)]);
  assert.equal(await isWoken(below), false);
  for (const key of ["l/", "l/a", "l/a/b"]) {
    changes.committed([event(key, 5)]);
    assert.equal(await isWoken(below), true, key);
  }
});

Deno.test("KeyChanges wakes who waits already", async () => {
  const changes = new KeyChanges();
  const changed = changes.ofKey(utf8("a")).changed(NEVER);
  changes.committed([event("a", 2)]);
  await changed;
});

Deno.test("KeyChanges forgets what has ended", async () => {
  const changes = new KeyChanges();
  const one = changes.ofKey(utf8("a"));
  const two = changes.ofKey(utf8("a"));
  one.end();
  one.end();
  changes.committed([event("a", 2)]);
  assert.equal(await isWoken(one), false);
  assert.equal(await isWoken(two), true);
  two.end();
  const three = changes.ofKey(utf8("a"));
  two.end();
  changes.committed([event("a", 3)]);
  assert.equal(await isWoken(three), true);
});

Deno.test("KeySubscription.changed() rejects for a call that is given up, and when the server stops", async () => {
  const changes = new KeyChanges();
  const subscription = changes.ofKey(utf8("a"));
  const call = new AbortController();
  const given = subscription.changed(call.signal);
  call.abort();
  await assert.rejects(given, kind("canceled"));
  await assert.rejects(subscription.changed(call.signal), kind("canceled"));
  const waiting = subscription.changed(NEVER);
  const below = changes.below(utf8("a/")).changed(NEVER);
  changes.close();
  await assert.rejects(waiting, kind("stopped"));
  await assert.rejects(below, kind("stopped"));
  await assert.rejects(subscription.changed(NEVER), kind("stopped"));
  assert.throws(() => changes.ofKey(utf8("b")), kind("stopped"));
});

Deno.test("KeyFollower.take() has each change once, in order", () => {
  const changes = new KeyChanges();
  const follower = changes.follow(utf8("a"));
  assert.deepEqual(follower.take(), []);
  changes.committed([event("a", 2), event("b", 3), event("a", 4)]);
  changes.committed([event("a", 5)]);
  assert.deepEqual(follower.take()?.map(({ rev }) => rev), [2, 4, 5]);
  assert.deepEqual(follower.take(), []);
});

Deno.test("KeyFollower keeps 1 MiB, or one change, and says when it was more", () => {
  const changes = new KeyChanges();
  const follower = changes.follow(utf8("a"));
  changes.committed([event("a", 2, 2 << 20)]);
  assert.equal(follower.take()?.length, 1);
  changes.committed([event("a", 3, 500_000), event("a", 4, 500_000)]);
  assert.equal(follower.take()?.length, 2);
  changes.committed([event("a", 5, 600_000), event("a", 6, 600_000)]);
  changes.committed([event("a", 7)]);
  assert.equal(follower.take(), undefined);
  changes.committed([event("a", 8)]);
  assert.deepEqual(follower.take()?.map(({ rev }) => rev), [8]);
});
