import assert from "node:assert/strict";
import type { Batch } from "../../../src/backend/backend.ts";
import { text, utf8 } from "../../../src/base/bytes.ts";
import type { CommitListener } from "../../../src/mvcc/event.ts";
import type { Store, StoreOptions } from "../../../src/mvcc/store.ts";
import {
  newCompare,
  newDeleteRangeRequest,
  newPutRequest,
  newRangeRequest,
  newRequestOp,
  newTxnRequest,
} from "../../../src/pb/etcdserverpb.ts";
import { decodeKeyValue } from "../../../src/pb/mvccpb.ts";
import { Random, seeds } from "../../support/random.ts";
import { SharedLog } from "../../support/shared_log.ts";
import { ANYBODY, openTestStore, reap } from "../../support/store.ts";

const KEY = utf8("k");

async function openReplica(
  log: SharedLog,
  options: Partial<StoreOptions> = {},
) {
  const backend = log.replica();
  const opened = await openTestStore(backend, options);
  await opened.store.follow();
  return { ...opened, backend };
}

/** Four batches of one replica, which another has heard nothing of. */
async function appendFour() {
  const log = new SharedLog();
  const one = await openReplica(log);
  const two = await openReplica(log);
  two.backend.hears = false;
  const told: Batch[] = [];
  one.store.feed = {
    isWanted: true,
    appended: (batch) => void told.push(batch),
  };
  for (let i = 0; i < 4; i++) await put(one.store, String(i));
  return { two, told };
}

async function put(store: Store, value: string, key = KEY): Promise<number> {
  const request = newPutRequest({ key, value: utf8(value) });
  return (await store.put(request, 0, ANYBODY)).revision;
}

async function read(store: Store, key = KEY): Promise<string | undefined> {
  await store.barrier();
  const { response } = await store.range(newRangeRequest({ key }));
  const [record] = response.kvs;
  return record && text(decodeKeyValue(record).value);
}

/** The keys and values that a store tells its listeners, in order. */
function record(store: Store): string[] {
  const seen: string[] = [];
  const listener: CommitListener = {
    committed: (events) => {
      for (const event of events) {
        seen.push(`${event.rev}/${event.sub} ${text(event.key)}`);
      }
    },
    compacted: () => {},
  };
  store.addListener(listener);
  return seen;
}

Deno.test("a linearizable read sees what another replica wrote before it, heard of or not", async () => {
  const log = new SharedLog();
  const one = await openReplica(log);
  const two = await openReplica(log);
  two.backend.hears = false;
  await put(one.store, "a");
  assert.equal(await read(two.store), "a");
  assert.equal(two.store.currentRevision, one.store.currentRevision);
});

Deno.test("reads that wait at the same time share one look at the log's end", async () => {
  const log = new SharedLog();
  const { store, backend } = await openReplica(log);
  const before = backend.calls("head");
  await Promise.all(Array.from({ length: 100 }, () => read(store)));
  assert.ok(backend.calls("head") - before <= 2);
});

Deno.test("a batch that comes too late is evaluated again on what came first", async () => {
  const log = new SharedLog();
  const one = await openReplica(log);
  const two = await openReplica(log);
  two.backend.hears = false;
  await put(one.store, "a");
  const increment = newTxnRequest({
    compare: [newCompare({
      key: KEY,
      target: 1, // CREATE
      createRevision: 0,
    })],
    success: [newRequestOp({
      requestPut: newPutRequest({ key: KEY, value: utf8("mine") }),
    })],
  });
  const { result } = await two.store.txn(increment, 0, ANYBODY);
  assert.equal(result.succeeded, false, "the key was there already");
  assert.equal(await read(two.store), "a");
});

Deno.test("a write that changes nothing is not answered from a state that is old", async () => {
  const log = new SharedLog();
  const one = await openReplica(log);
  const two = await openReplica(log);
  two.backend.hears = false;
  await put(one.store, "a");
  const request = newDeleteRangeRequest({ key: KEY });
  const { result } = await two.store.deleteRange(request, 0, ANYBODY);
  assert.equal(result.deleted, 1);
});

Deno.test("every replica tells its listeners the same events in the same order, each once", async () => {
  for (const seed of seeds(8)) {
    const random = new Random(seed);
    const log = new SharedLog();
    const replicas = [];
    for (let i = 0; i < 3; i++) replicas.push(await openReplica(log));
    const seen = replicas.map(({ store }) => record(store));
    const counts = new Map<string, number>();
    const writes: Promise<unknown>[] = [];
    for (let i = 0; i < 200; i++) {
      const replica = replicas[random.int(3)]!;
      replica.backend.hears = random.int(4) > 0;
      const key = `k${random.int(10)}`;
      if (random.int(8) === 0) {
        replica.backend.loseAnswer("append");
      }
      const written = random.int(4) === 0
        ? replica.store.deleteRange(
          newDeleteRangeRequest({ key: utf8(key) }),
          0,
          ANYBODY,
        )
        : put(replica.store, String(i), utf8(key)).then(() =>
          counts.set(String(i), 0)
        );
      writes.push(written);
      if (random.int(5) === 0) await Promise.allSettled(writes);
    }
    const outcomes = await Promise.allSettled(writes);
    assert.ok(outcomes.every(({ status }) => status === "fulfilled"));
    for (const { store } of replicas) await store.barrier();
    assert.deepEqual(seen[1], seen[0], `seed ${seed}`);
    assert.deepEqual(seen[2], seen[0], `seed ${seed}`);
    assert.equal(new Set(seen[0]).size, seen[0]!.length);
    const all = newRangeRequest({ key: utf8("k"), rangeEnd: utf8("l") });
    const states = [];
    for (const { store } of replicas) {
      const { response } = await store.range(all);
      states.push(response.kvs.map((kv) => decodeKeyValue(kv)));
    }
    assert.deepEqual(states[1], states[0]);
    assert.deepEqual(states[2], states[0]);
    const fresh = await openReplica(log);
    const { response } = await fresh.store.range(all);
    assert.deepEqual(response.kvs.map((kv) => decodeKeyValue(kv)), states[0]);
  }
});

Deno.test("a replica that missed what was compacted meanwhile says so to its watchers", async () => {
  const log = new SharedLog();
  const one = await openReplica(log);
  const two = await openReplica(log);
  two.backend.hears = false;
  const seen = record(two.store);
  await put(two.store, "seen");
  const from = two.store.currentRevision;
  for (let i = 0; i < 5; i++) await put(one.store, `missed ${i}`);
  const compacted = one.store.currentRevision;
  await one.store.compact(compacted);
  assert.ok(await reap(one.store) > 0);
  const page = Promise.resolve(two.store.events.eventsAfter(from, 1 << 20));
  await page; // nothing that it knows of is missing yet
  await two.store.barrier();
  assert.equal(seen.length, 1, "no event is told as if it were all of them");
  assert.throws(
    () => two.store.events.eventsAfter(from, 1 << 20),
    { kind: "compacted" },
  );
  assert.equal(await read(two.store), "missed 4");
  assert.equal(await put(two.store, "goes on"), compacted + 1);
});

Deno.test("a log that went back in time is not served", async () => {
  const log = new SharedLog();
  const one = await openReplica(log);
  await put(one.store, "a");
  await put(one.store, "b");
  const other = new SharedLog();
  const second = await openReplica(other);
  await put(second.store, "x");
  one.backend.head = () => second.backend.head();
  await assert.rejects(one.store.barrier()!, { kind: "corrupt" });
  assert.throws(() => one.store.range(newRangeRequest({ key: KEY })), {
    kind: "corrupt",
  });
  assert.match(String(one.store.failure), /went back in time/);
});

Deno.test("reads wait while the log cannot be read, fail, and work again afterwards", async () => {
  const log = new SharedLog();
  const one = await openReplica(log);
  const two = await openReplica(log);
  one.backend.hears = false;
  await put(two.store, "a");
  one.backend.failNext("batchesAfter");
  await assert.rejects(one.store.barrier()!, { kind: "unhealthy" });
  assert.notEqual(one.store.failure, undefined);
  assert.equal(await read(one.store), "a");
  assert.equal(one.store.failure, undefined);
});

Deno.test("serializable reads go on while the log cannot be read, unless they may not", async () => {
  for (const servesStaleReads of [true, false]) {
    const { store, backend } = await openReplica(new SharedLog(), {
      servesStaleReads,
    });
    await put(store, "a");
    backend.failNext("head");
    await assert.rejects(store.barrier()!, { kind: "unhealthy" });
    const request = newRangeRequest({ key: KEY, serializable: true });
    if (servesStaleReads) {
      assert.equal((await store.range(request)).response.count, 1);
    } else {
      assert.throws(() => store.range(request), { kind: "unhealthy" });
    }
    await store.barrier();
    assert.equal((await store.range(request)).response.count, 1);
  }
});

Deno.test("what another replica tells of is applied without a look into the database, in order", async () => {
  const { two, told } = await appendFour();
  const reads = two.backend.calls("batchesAfter");
  const { follower } = two.store;
  for (const i of [1, 0, 1, 3]) follower!.offer(told[i]!);
  await two.store.queue.drained();
  assert.equal(two.backend.calls("batchesAfter"), reads);
  assert.equal(two.store.seq, told[1]!.seq, "the third is missing");
  two.clock.advance(10);
  await two.store.queue.drained();
  assert.equal(two.store.seq, told[3]!.seq, "then it is read");
  assert.equal(two.backend.calls("batchesAfter"), reads + 1);
  assert.equal(await read(two.store), "3");
});

Deno.test("what is missing is read, even if what came before it was told of when it was about to be", async () => {
  const { two, told } = await appendFour();
  const { follower } = two.store;
  follower!.offer(told[1]!);
  two.clock.advance(10);
  // Time is up for the first, and here it is; now the third is missing.
  for (const i of [0, 3]) follower!.offer(told[i]!);
  await two.store.queue.drained();
  assert.equal(two.store.seq, told[1]!.seq);
  two.clock.advance(10);
  await two.store.queue.drained();
  assert.equal(two.store.seq, told[3]!.seq);
});
