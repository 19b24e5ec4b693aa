import assert from "node:assert/strict";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { StateKind } from "../../../src/backend/state_change.ts";
import { compareBytes, EMPTY, text, utf8 } from "../../../src/base/bytes.ts";
import type { Event } from "../../../src/mvcc/event.ts";
import { hashKv } from "../../../src/mvcc/hash.ts";
import { leaseStateKey } from "../../../src/mvcc/lease_book.ts";
import type { Store } from "../../../src/mvcc/store.ts";
import {
  newDeleteRangeRequest,
  newPutRequest,
  newRangeRequest,
  newRequestOp,
  newTxnRequest,
  type RangeRequest,
} from "../../../src/pb/etcdserverpb.ts";
import {
  decodeEvent,
  decodeKeyValue,
  type KeyValue,
} from "../../../src/pb/mvccpb.ts";
import { Random, seeds } from "../../support/random.ts";
import { ANYBODY, keyOf, openTestStore, reap } from "../../support/store.ts";

const put = (store: Store, key: string, value: string, lease = 0n) =>
  store.put(
    newPutRequest({ key: utf8(key), value: utf8(value), lease }),
    0,
    ANYBODY,
  );

async function range(
  store: Store,
  request: Partial<RangeRequest>,
): Promise<{ kvs: KeyValue[]; count: number; more: boolean }> {
  const { response } = await store.range(newRangeRequest(request));
  const { count, more } = response;
  return { kvs: response.kvs.map((kv) => decodeKeyValue(kv)), count, more };
}

/** What a key was at some revision. */
interface Version {
  value: string;
  createRev: number;
  modRev: number;
  version: number;
}

/** etcd's rules, written down naively: all keys at every revision. */
class Model {
  /** states[rev]: the keys at that revision. */
  readonly states: Map<string, Version>[] = [new Map(), new Map()];
  compacted = -1;

  get revision(): number {
    return this.states.length - 1;
  }

  /** One revision with these changes; undefined deletes. */
  commit(changes: readonly [string, string | undefined][]): void {
    const state = new Map(this.states.at(-1));
    const rev = this.revision + 1;
    for (const [key, value] of changes) {
      const old = state.get(key);
      if (value === undefined) state.delete(key);
      else {
        state.set(key, {
          value,
          createRev: old?.createRev ?? rev,
          modRev: rev,
          version: (old?.version ?? 0) + 1,
        });
      }
    }
    this.states.push(state);
  }

  range(rev: number, start: string, end: string): [string, Version][] {
    return [...this.states[rev]!]
      .filter(([key]) => key >= start && key < end)
      .sort(([a], [b]) => (a < b ? -1 : 1));
  }
}

/** Writes something random to both. */
async function step(store: Store, model: Model, random: Random): Promise<void> {
  const key = () => text(keyOf(random.int(20)));
  const value = () => "v".repeat(random.int(300)) + random.int(1000);
  if (random.oneIn(4)) {
    const [start, end] = [key(), key()];
    const doomed = model.range(model.revision, start, end);
    const { result, revision } = await store.deleteRange(
      newDeleteRangeRequest({ key: utf8(start), rangeEnd: utf8(end) }),
      0,
      ANYBODY,
    );
    assert.equal(result.deleted, doomed.length);
    if (doomed.length > 0) model.commit(doomed.map(([k]) => [k, undefined]));
    assert.equal(revision, model.revision);
  } else if (random.oneIn(3)) {
    const changes = new Map<string, string>();
    for (let i = 0; i < 3; i++) changes.set(key(), value());
    const success = [...changes].map(([k, v]) =>
      newRequestOp({
        requestPut: newPutRequest({ key: utf8(k), value: utf8(v) }),
      })
    );
    await store.txn(newTxnRequest({ success }), 0, ANYBODY);
    model.commit([...changes]);
  } else {
    const [k, v] = [key(), value()];
    await put(store, k, v);
    model.commit([[k, v]]);
  }
  if (random.oneIn(15)) {
    const rev = model.compacted + random.int(model.revision - model.compacted) +
      1;
    await store.compact(rev);
    model.compacted = rev;
    if (random.oneIn(2)) await reap(store);
  }
}

/** Compares a random range at a random readable revision. */
async function check(
  store: Store,
  model: Model,
  random: Random,
): Promise<void> {
  const oldest = Math.max(1, model.compacted);
  const rev = oldest + random.int(model.revision - oldest + 1);
  const [start, end] = [
    text(keyOf(random.int(20))),
    text(keyOf(random.int(20))),
  ];
  const expected = model.range(rev, start, end);
  const limit = random.int(4);
  const request = {
    key: utf8(start),
    rangeEnd: utf8(end),
    revision: rev,
    limit,
  };
  const seen = await range(store, request);
  const wanted = limit === 0 ? expected : expected.slice(0, limit);
  assert.deepEqual(
    seen.kvs.map((kv) => [text(kv.key), {
      value: text(kv.value),
      createRev: kv.createRevision,
      modRev: kv.modRevision,
      version: kv.version,
    }]),
    wanted,
    `range at ${rev}`,
  );
  assert.deepEqual([seen.count, seen.more], [
    expected.length,
    wanted.length < expected.length,
  ]);
}

for (const seed of seeds(6)) {
  Deno.test(`Store agrees with a naive model, in a tiny memory and over restarts (seed ${seed})`, async () => {
    const random = new Random(seed);
    const backend = new MemoryBackend();
    // With 8 KiB of values nearly everything has to be read back.
    const options = seed % 2 === 0
      ? {}
      : { valueCacheBytes: 8 << 10, eventWindowBytes: 4 << 10 };
    let { store } = await openTestStore(backend, options);
    const model = new Model();
    for (let i = 0; i < 300; i++) {
      await step(store, model, random);
      for (let n = 0; n < 3; n++) await check(store, model, random);
      if (random.oneIn(100)) {
        const before = await hashKv(store, 0);
        await store.queue.drained();
        await backend.close();
        ({ store } = await openTestStore(backend, options));
        assert.equal(store.currentRevision, model.revision);
        assert.equal(store.compactRevision, model.compacted);
        assert.deepEqual(await hashKv(store, 0), before);
      }
    }
    assert.equal(store.index.liveCount, model.states.at(-1)!.size);
    await checkHistory(store, model);
  });
}

/** Every event since the compact revision, from the log, against the model. */
async function checkHistory(store: Store, model: Model): Promise<void> {
  const seen: string[] = [];
  for (let rev = Math.max(1, model.compacted); rev < store.currentRevision;) {
    const page = await store.events.eventsAfter(rev, 2000);
    await store.events.resolvePrevious(page.events);
    for (const event of page.events) seen.push(describe(event));
    assert.ok(page.throughRevision > rev, "a page covers something");
    rev = page.throughRevision;
  }
  const expected: string[] = [];
  for (
    let rev = Math.max(1, model.compacted) + 1;
    rev <= model.revision;
    rev++
  ) {
    const [before, after] = [model.states[rev - 1]!, model.states[rev]!];
    for (const [key, version] of after) {
      if (version.modRev !== rev) continue;
      const previous = rev - 1 < model.compacted ? undefined : before.get(key);
      expected.push(`${rev} ${key}=${version.value} was ${previous?.value}`);
    }
    for (const [key, { value }] of before) {
      if (!after.has(key)) expected.push(`${rev} -${key} was ${value}`);
    }
  }
  assert.deepEqual(seen.sort(), expected.sort());
}

function describe(event: Event): string {
  const { type, kv, prevKv } = decodeEvent(event.wireWithPrevious!);
  const was = prevKv === undefined ? undefined : text(prevKv.value);
  const key = text(kv!.key);
  assert.equal(compareBytes(kv!.key, event.key), 0);
  assert.equal(kv!.modRevision, event.rev);
  return type === 1
    ? `${event.rev} -${key} was ${was}`
    : `${event.rev} ${key}=${text(kv!.value)} was ${was}`;
}

Deno.test("Store tells listeners of a batch's changes after they are visible", async () => {
  const { store } = await openTestStore();
  const seen: string[] = [];
  store.addListener({
    committed: (events, revision) => {
      assert.equal(store.currentRevision, revision);
      assert.equal(store.events.resolvePrevious(events), undefined);
      for (const event of events) seen.push(describe(event));
    },
    compacted: (revision) => seen.push(`compacted ${revision}`),
  });
  await put(store, "a", "1");
  await put(store, "a", "2");
  await store.compact(3);
  assert.deepEqual(seen, [
    "2 a=1 was undefined",
    "3 a=2 was 1",
    "compacted 3",
  ]);
});

Deno.test("Store rolls a failed write back without a trace, in the middle of a batch", async () => {
  const { store } = await openTestStore();
  const writes = [
    put(store, "a", "1"),
    put(store, "b", "1", 404n).catch((error) => error.kind),
    put(store, "a", "2"),
  ];
  const [first, failed, last] = await Promise.all(writes);
  assert.deepEqual([first.revision, failed, last.revision], [
    2,
    "leaseNotFound",
    3,
  ]);
  assert.equal(store.index.size, 1);
  assert.equal((await range(store, { key: utf8("a") })).kvs[0]!.version, 2);
});

Deno.test("Store applies a lease's grant, its keys and its end in the order of the log", async () => {
  const { store, leases } = await openTestStore();
  await Promise.all([
    store.write((tx) => tx.putState(StateKind.Lease, leaseStateKey(7n), EMPTY)),
    put(store, "a", "1", 7n),
    put(store, "b", "1", 7n),
    put(store, "b", "2"),
  ]);
  assert.deepEqual(leases.keysOf(7n).map(text), ["a"]);
  const { revision } = await store.write((tx) => {
    for (const key of tx.keysOfLease(7n)) tx.deleteKey(key);
    tx.putState(StateKind.Lease, leaseStateKey(7n), undefined);
  });
  assert.equal(revision, 5);
  assert.equal(leases.has(7n), false);
  assert.equal((await range(store, { key: utf8("a") })).count, 0);
});

Deno.test("Store.compact() keeps a tombstone at its revision, and lets the next one remove it", async () => {
  const { store } = await openTestStore();
  await put(store, "a", "1");
  await store.deleteRange(
    newDeleteRangeRequest({ key: utf8("a") }),
    0,
    ANYBODY,
  );
  await store.compact(3);
  assert.equal(await reap(store), 1);
  const page = await store.events.eventsAfter(2, 1000);
  assert.deepEqual(page.events.map((e) => e.deleted), [true]);
  await put(store, "b", "1");
  await store.compact(4);
  assert.equal(await reap(store), 1);
  assert.equal(store.index.size, 1);
});

Deno.test("Store refuses revisions that are compacted or ahead", async () => {
  const { store } = await openTestStore();
  for (let i = 0; i < 5; i++) await put(store, "a", `${i}`);
  await store.compact(4);
  assert.throws(
    () => store.range(newRangeRequest({ key: utf8("a"), revision: 3 })),
    {
      kind: "compacted",
    },
  );
  assert.equal((await range(store, { key: utf8("a"), revision: 4 })).count, 1);
  assert.throws(
    () => store.range(newRangeRequest({ key: utf8("a"), revision: 7 })),
    {
      kind: "futureRevision",
    },
  );
  await assert.rejects(store.compact(4), { kind: "compacted" });
  await assert.rejects(store.compact(7), { kind: "futureRevision" });
});
