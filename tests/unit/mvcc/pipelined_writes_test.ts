import assert from "node:assert/strict";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { text, utf8 } from "../../../src/base/bytes.ts";
import type { Store } from "../../../src/mvcc/store.ts";
import {
  Compare_CompareResult as CompareResult,
  Compare_CompareTarget as CompareTarget,
  newCompare,
  newDeleteRangeRequest,
  newPutRequest,
  newRangeRequest,
  newRequestOp,
  newTxnRequest,
} from "../../../src/pb/etcdserverpb.ts";
import { decodeKeyValue } from "../../../src/pb/mvccpb.ts";
import { FaultyBackend } from "../../support/faulty_backend.ts";
import { Random, seeds } from "../../support/random.ts";
import { ANYBODY, openTestStore } from "../../support/store.ts";

/** What an answered write says: the revision after it, and what it saw before. */
interface Told {
  readonly kind: "put" | "delete" | "swap";
  readonly key: string;
  readonly value: string;
  readonly revision: number;
  /** The value before; undefined if there was none. */
  readonly before: string | undefined;
  /** Of a swap: whether the version was the expected one. */
  readonly succeeded: boolean;
  readonly expectedVersion: number;
}

const valueOf = (record: Uint8Array | undefined) =>
  record === undefined ? undefined : text(decodeKeyValue(record).value);

/** Sends a random write; resolves with what was told, or undefined if it failed. */
async function write(
  store: Store,
  random: Random,
  serial: number,
): Promise<Told | undefined> {
  const key = random.pick(["a", "b", "c"]);
  const value = `v${serial}`;
  const expectedVersion = random.int(4);
  const told = { key, value, succeeded: true, expectedVersion };
  try {
    switch (random.int(3)) {
      case 0: {
        const { result, revision } = await store.put(
          newPutRequest({ key: utf8(key), value: utf8(value), prevKv: true }),
          0,
          ANYBODY,
        );
        return {
          ...told,
          kind: "put",
          revision,
          before: valueOf(result.prevKv),
        };
      }
      case 1: {
        const { result, revision } = await store.deleteRange(
          newDeleteRangeRequest({ key: utf8(key), prevKv: true }),
          0,
          ANYBODY,
        );
        const before = valueOf(result.prevKvs[0]);
        return { ...told, kind: "delete", revision, before };
      }
      default: {
        const get = newRequestOp({
          requestRange: newRangeRequest({ key: utf8(key) }),
        });
        const put = newRequestOp({
          requestPut: newPutRequest({ key: utf8(key), value: utf8(value) }),
        });
        const { result, revision } = await store.txn(
          newTxnRequest({
            compare: [newCompare({
              result: CompareResult.EQUAL,
              target: CompareTarget.VERSION,
              key: utf8(key),
              version: expectedVersion,
            })],
            success: [get, put],
            failure: [get],
          }),
          0,
          ANYBODY,
        );
        const { succeeded } = result;
        const before = valueOf(result.responses[0]!.responseRange!.kvs[0]);
        return { ...told, kind: "swap", revision, before, succeeded };
      }
    }
  } catch (error) {
    assert.equal((error as { kind: string }).kind, "unhealthy");
    return undefined;
  }
}

/** Replays what was told, in order of revisions, and checks every word of it. Returns the keys at the end. */
function replay(told: readonly Told[], seed: number): Map<string, string> {
  const state = new Map<string, { value: string; version: number }>();
  let revision = 1;
  // Those that changed nothing have the revision of the state that they saw.
  const changes = (t: Told) =>
    t.kind === "put" || (t.kind === "delete" && t.before !== undefined) ||
    (t.kind === "swap" && t.succeeded);
  const ordered = [...told].sort((a, b) =>
    a.revision - b.revision || Number(changes(b)) - Number(changes(a))
  );
  for (const t of ordered) {
    const old = state.get(t.key);
    const where = `seed ${seed}: ${JSON.stringify(t)}`;
    assert.equal(t.before, old?.value, where);
    if (t.kind === "swap") {
      assert.equal(
        t.succeeded,
        (old?.version ?? 0) === t.expectedVersion,
        where,
      );
    }
    if (!changes(t)) {
      assert.equal(t.revision, revision, where);
      continue;
    }
    assert.equal(t.revision, ++revision, `${where}: one revision each`);
    if (t.kind === "delete") state.delete(t.key);
    else state.set(t.key, { value: t.value, version: (old?.version ?? 0) + 1 });
  }
  return new Map([...state].map(([key, { value }]) => [key, value]));
}

Deno.test("Store tells the truth about writes that are evaluated on top of others that may fail", async () => {
  for (const seed of seeds(15)) {
    const random = new Random(seed);
    const backend = new FaultyBackend(new MemoryBackend());
    const { store } = await openTestStore(backend);
    const answers: Promise<Told | undefined>[] = [];
    for (let serial = 0; serial < 150; serial++) {
      if (random.oneIn(12)) backend.failNext("append");
      if (random.oneIn(12)) backend.loseAnswer("append");
      answers.push(write(store, random, serial));
      if (random.oneIn(3)) {
        await new Promise((resolve) => setTimeout(resolve));
      }
    }
    const told = (await Promise.all(answers)).filter((t) => t !== undefined);
    await store.queue.drained();
    const state = replay(told, seed);
    const range = newRangeRequest({ key: utf8("a"), rangeEnd: utf8("z") });
    const { response } = await store.range(range);
    const kept = response.kvs.map((record) => {
      const kv = decodeKeyValue(record);
      return [text(kv.key), text(kv.value)];
    });
    assert.deepEqual(kept, [...state].sort(), `seed ${seed}`);
    store.index.ascend(utf8("a"), undefined, (entry) => {
      assert.equal(
        entry.pending,
        undefined,
        `seed ${seed}: nothing is pending`,
      );
      return true;
    });
  }
});
