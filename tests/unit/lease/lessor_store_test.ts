import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { StateKind } from "../../../src/backend/state_change.ts";
import { text, utf8 } from "../../../src/base/bytes.ts";
import { NO_LOG } from "../../../src/base/log.ts";
import { Lessor } from "../../../src/lease/lessor.ts";
import { Alarms } from "../../../src/mvcc/alarms.ts";
import { Store } from "../../../src/mvcc/store.ts";
import {
  newPutRequest,
  newRangeRequest,
} from "../../../src/pb/etcdserverpb.ts";
import { FakeClock } from "../../support/fake_clock.ts";

/** The lessor on the store itself: what the doubles of the other tests stand for. */
async function open(backend: MemoryBackend, clock: FakeClock) {
  const lessor = new Lessor(clock, NO_LOG);
  const store = new Store(backend, lessor, clock);
  store.addTable(StateKind.Lease, lessor);
  store.addTable(StateKind.Alarm, new Alarms());
  store.addTable(StateKind.Auth, { apply: () => {} });
  await backend.open();
  await store.load();
  lessor.attachStore(store);
  await lessor.start();
  const put = (key: string, lease: bigint) =>
    store.put(
      newPutRequest({ key: utf8(key), value: utf8("v"), lease }),
      0,
      () => {},
    );
  const keys = async () => {
    const request = newRangeRequest({
      key: utf8("\0"),
      rangeEnd: utf8("\0"),
      countOnly: true,
    });
    return (await store.range(request)).response.count;
  };
  return { lessor, store, put, keys };
}

async function until(isDone: () => boolean): Promise<void> {
  for (let i = 0; i < 10_000 && !isDone(); i++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  assert.ok(isDone());
}

Deno.test("Lessor on a Store: revoke deletes all keys at one revision", async () => {
  const { lessor, store, put, keys } = await open(
    new MemoryBackend(),
    new FakeClock(),
  );
  await lessor.grant(1n, 10);
  await lessor.grant(2n, 10);
  for (const key of ["c", "a", "b"]) await put(key, 1n);
  await put("b", 2n); // moves to the other lease
  assert.deepEqual(lessor.keysOf(1n).map(text), ["a", "c"]);
  const before = store.currentRevision;
  assert.equal(await lessor.revoke(1n), before + 1);
  assert.equal(await keys(), 1);
  assert.deepEqual(lessor.keysOf(2n).map(text), ["b"]);
});

Deno.test("Lessor on a Store: a put that is queued in front of a revoke goes with the lease", async () => {
  const { lessor, put, keys } = await open(
    new MemoryBackend(),
    new FakeClock(),
  );
  await lessor.grant(1n, 10);
  const queued = put("a", 1n);
  const revoked = lessor.revoke(1n);
  const late = assert.rejects(put("b", 1n), { kind: "leaseNotFound" });
  await Promise.all([queued, revoked, late]);
  assert.equal(await keys(), 0);
  assert.equal(lessor.size, 0);
});

Deno.test("Lessor on a Store: leases and their keys survive a restart and then expire", async () => {
  const backend = new MemoryBackend();
  const clock = new FakeClock();
  const first = await open(backend, clock);
  await first.lessor.grant(1n, 60);
  await first.lessor.grant(2n, 600);
  await first.put("a", 1n);
  await first.put("b", 2n);
  await first.lessor.keepAlive(2n);
  clock.advance(20_000);
  await first.lessor.stop();

  const second = await open(backend, clock);
  assert.equal(second.lessor.timeToLive(1n)?.remainingSeconds, 40);
  assert.equal(second.lessor.timeToLive(2n)?.remainingSeconds, 580);
  assert.deepEqual(second.lessor.keysOf(1n).map(text), ["a"]);
  clock.advance(40_000);
  await until(() => !second.lessor.has(1n));
  assert.equal(await second.keys(), 1);
});

Deno.test("Lessor on a Store: 10,000 leases expire together while others write", async () => {
  const clock = new FakeClock();
  const { lessor, store, put, keys } = await open(new MemoryBackend(), clock);
  await lessor.grant(1n << 40n, 600);
  for (let at = 0; at < 10_000; at += 1000) {
    const ids = Array.from({ length: 1000 }, (_, i) => BigInt(at + i + 1));
    await Promise.all(ids.map((id) => lessor.grant(id, 10)));
    await Promise.all(ids.map((id) => put(`leased/${id}`, id)));
  }
  const before = store.currentRevision;
  clock.advance(10_000);
  let puts = 0;
  while (lessor.size > 1) await put(`other/${puts++}`, 1n << 40n);
  assert.ok(puts >= 10, `${puts} writes found their way in between`);
  assert.equal(await keys(), puts);
  assert.equal(store.currentRevision, before + 10_000 + puts);
});

Deno.test("a lessor ends no lease, and marks none, once another server has taken over", async () => {
  const clock = new FakeClock();
  const { store, lessor } = await open(new MemoryBackend(), clock);
  await lessor.resign();
  let mayEnd = true;
  await lessor.start(() => mayEnd);
  await lessor.grant(1n, 10);
  mayEnd = false;
  await assert.rejects(Promise.resolve(lessor.keepAlive(1n)), {
    kind: "noLeader",
  });
  clock.advance(60_000);
  await store.queue.drained();
  assert.ok(lessor.has(1n), "its keys are another server's to delete");
  await lessor.resign();
  assert.throws(() => lessor.keepAlive(1n), { kind: "noLeader" });
  mayEnd = true;
  await lessor.start(() => mayEnd);
  clock.advance(60_000);
  await until(() => !lessor.has(1n));
  await lessor.stop();
});
