import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import type { Read, Store } from "../../../src/mvcc/store.ts";
import {
  newPutRequest,
  newRangeRequest,
  newRequestOp,
  newTxnRequest,
  type RangeRequest,
  RangeRequest_SortOrder as SortOrder,
  type RangeResponse,
} from "../../../src/pb/etcdserverpb.ts";
import { decodeKeyValue } from "../../../src/pb/mvccpb.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import { longRange } from "../../../src/rpc/long_range.ts";
import { ANYBODY, openTestStore } from "../../support/store.ts";

const KEYS = 20_000;
const ALL = { key: utf8("/"), rangeEnd: utf8("0") };

function keyOf(n: number): Uint8Array {
  return utf8(`/registry/pods/${String(n).padStart(5, "0")}`);
}

/** A store with `KEYS` keys at revision 2. */
async function filledStore(): Promise<Store> {
  const { store } = await openTestStore();
  const success = Array.from({ length: KEYS }, (_, n) =>
    newRequestOp({
      requestPut: newPutRequest({ key: keyOf(n), value: utf8("old") }),
    }));
  await store.txn(newTxnRequest({ success }), 0, ANYBODY);
  return store;
}

function put(store: Store, n: number): Promise<unknown> {
  const request = newPutRequest({ key: keyOf(n), value: utf8("new") });
  return store.put(request, 0, ANYBODY);
}

/** What `store.range` answers in one go. */
function atOnce(store: Store, request: RangeRequest): Read<RangeResponse> {
  const read = store.range(request);
  assert(!(read instanceof Promise));
  return read;
}

Deno.test("longRange() answers what Range answers, whatever the limit", async () => {
  const store = await filledStore();
  for (
    const limit of [0, -1, 1, 8191, 8192, 8193, 16_384, KEYS - 1, KEYS, 30_000]
  ) {
    for (const keysOnly of [false, true]) {
      const request = newRangeRequest({ ...ALL, limit, keysOnly });
      const read = await longRange(store, request);
      assert.deepEqual(read, atOnce(store, request), `limit ${limit}`);
    }
  }
});

Deno.test("longRange() answers at once what fits into a slice or has another order", async () => {
  const store = await filledStore();
  for (
    const request of [
      newRangeRequest({ key: keyOf(1), rangeEnd: keyOf(8000) }),
      newRangeRequest({ ...ALL, limit: 8192 }),
      newRangeRequest({ ...ALL, countOnly: true }),
      newRangeRequest({ ...ALL, sortOrder: SortOrder.DESCEND }),
      newRangeRequest({ ...ALL, minModRevision: 2 }),
    ]
  ) {
    assert.deepEqual(longRange(store, request), atOnce(store, request));
  }
});

Deno.test("longRange() lets writes happen meanwhile and shows none of them", async () => {
  const store = await filledStore();
  const expected = atOnce(store, newRangeRequest(ALL));
  const reading = longRange(store, newRangeRequest(ALL));
  assert(reading instanceof Promise);
  await put(store, KEYS - 1);
  await put(store, KEYS + 1);
  const read = await reading;
  assert.equal(store.currentRevision, 4);
  assert.equal(read.revision, 2);
  assert.deepEqual(read.response, expected.response);
});

Deno.test("longRange() begins again when a compaction takes its revision away", async () => {
  const store = await filledStore();
  const reading = longRange(store, newRangeRequest(ALL));
  await put(store, KEYS - 1);
  await store.compact(3);
  const read = await reading;
  assert.equal(read.revision, 3);
  const { kvs, count, more } = read.response;
  assert.deepEqual([kvs.length, count, more], [KEYS, KEYS, false]);
  assert.equal(decodeKeyValue(kvs[KEYS - 1]!).modRevision, 3);
});

Deno.test("longRange() of a revision that is compacted meanwhile says so", async () => {
  const store = await filledStore();
  const reading = longRange(store, newRangeRequest({ ...ALL, revision: 2 }));
  await put(store, KEYS - 1);
  await store.compact(3);
  await assert.rejects(async () => await reading, { kind: "compacted" });
});

Deno.test("longRange() ends although compactions overtake it again and again", async () => {
  const store = await filledStore();
  let isOver = false;
  const compacting = (async () => {
    while (!isOver) {
      await new Promise((resolve) => setImmediate(resolve));
      await put(store, 0);
      await store.compact(store.currentRevision);
    }
  })();
  const { response, revision } = await longRange(store, newRangeRequest(ALL));
  isOver = true;
  await compacting;
  assert.equal(response.kvs.length, KEYS);
  assert.equal(decodeKeyValue(response.kvs[0]!).modRevision, revision);
});
