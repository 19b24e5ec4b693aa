import assert from "node:assert/strict";
import { MemoryBackend } from "../../src/backend/memory.ts";
import { StateKind } from "../../src/backend/state_change.ts";
import { EMPTY, text, utf8 } from "../../src/base/bytes.ts";
import { DomainError } from "../../src/base/errors.ts";
import { leaseStateKey } from "../../src/mvcc/lease_book.ts";
import type { Store } from "../../src/mvcc/store.ts";
import {
  type Compare,
  decodeTxnRequest,
  encodeTxnRequest,
  newCompare,
  newDeleteRangeRequest,
  newPutRequest,
  newRangeRequest,
  newRequestOp,
  newTxnRequest,
  type RangeRequest,
  type RequestOp,
  type ResponseOp,
  type TxnRequest,
  type TxnResponse,
} from "../../src/pb/etcdserverpb.ts";
import { decodeKeyValue } from "../../src/pb/mvccpb.ts";
import { checkTxn, isReadOnlyTxn } from "../../src/rpc/check.ts";
import type { Random } from "../support/random.ts";
import { ANYBODY, openTestStore } from "../support/store.ts";
import type { FuzzTarget } from "./target.ts";
import {
  type OpAnswer,
  type Pair,
  type RangeAnswer,
  sortKey,
  type TxnAnswer,
  TxnModel,
} from "./txn_model.ts";

const TXNS = 60;
const MAX_OPS = 128;
const MAX_DEPTH = 3;
/** Few and short, so that ranges meet keys and transactions meet each other. */
const KEYS = ["a", "aa", "ab", "b", "ba", "c", "d", "\u{7f}"];
const RANGE_ENDS = ["", "", "", "\0", "b", "c", "aa", "z"];
const SOME = 4;

/** Transactions of all kinds, one after the other, against a naive model; with little memory and compactions. */
export const TXN: FuzzTarget = {
  name: "txn",
  async run(random) {
    const backend = new MemoryBackend();
    const tiny = { valueCacheBytes: 4 << 10, eventWindowBytes: 4 << 10 };
    const options = random.oneIn(3) ? tiny : {};
    const { store } = await openTestStore(backend, options);
    await store.write((tx) =>
      tx.putState(StateKind.Lease, leaseStateKey(7n), EMPTY)
    );
    const model = new TxnModel();
    for (let i = 0; i < TXNS; i++) {
      const request = randomTxn(random, model, MAX_DEPTH);
      // As it comes from a client.
      const received = decodeTxnRequest(encodeTxnRequest(request));
      if (isRefused(received)) continue;
      await compare(store, model, received);
      if (random.oneIn(15) && model.revision > model.compactRevision + 1) {
        const least = Math.max(1, model.compactRevision + 1);
        const revision = least + random.int(model.revision - least + 1);
        await store.compact(revision);
        model.compactRevision = revision;
      }
    }
    await store.queue.drained();
    await backend.close();
  },
};

/** The shape is wrong: a client is told, and nothing happens. */
function isRefused(request: TxnRequest): boolean {
  try {
    checkTxn(request, MAX_OPS);
    return false;
  } catch (error) {
    assert.ok(error instanceof DomainError, String(error));
    return true;
  }
}

async function compare(
  store: Store,
  model: TxnModel,
  request: TxnRequest,
): Promise<void> {
  const errors = model.errors(request);
  const readOnly = isReadOnlyTxn(request);
  let response: TxnResponse;
  try {
    const done = readOnly
      ? await store.readOnlyTxn(request)
      : await store.txn(request, 0, ANYBODY);
    response = "result" in done ? done.result : done.response;
  } catch (error) {
    assert.ok(error instanceof DomainError, String(error));
    assert.ok(
      errors.has(error.kind),
      `${error.kind} instead of ${[...errors]}`,
    );
    return;
  }
  assert.deepEqual([...errors], [], "the transaction must fail");
  checkTxnAnswer(answerOf(response), model.apply(request), request);
  assert.equal(store.currentRevision, model.revision);
}

/** The same, but for the order of what sorts alike. */
function checkTxnAnswer(
  seen: TxnAnswer,
  wanted: TxnAnswer,
  request: TxnRequest,
): void {
  assert.equal(seen.succeeded, wanted.succeeded);
  const ops = wanted.succeeded ? request.success : request.failure;
  assert.equal(seen.responses.length, ops.length);
  ops.forEach((op, i) => {
    const [is, should] = [seen.responses[i]!, wanted.responses[i]!];
    if ("range" in is && "range" in should) {
      checkRangeAnswer(is.range, should.range, op.requestRange!);
    } else if ("txn" in is && "txn" in should) {
      checkTxnAnswer(is.txn, should.txn, op.requestTxn!);
    } else assert.deepEqual(is, should);
  });
}

function checkRangeAnswer(
  seen: RangeAnswer,
  wanted: RangeAnswer,
  { sortTarget, keysOnly }: RangeRequest,
): void {
  assert.deepEqual([seen.count, seen.more], [wanted.count, wanted.more]);
  if (sortTarget === 0) return assert.deepEqual(seen.kvs, wanted.kvs);
  if (keysOnly) return assert.equal(seen.kvs.length, wanted.kvs.length);
  const keys = (pairs: readonly Pair[]) =>
    pairs.map((pair) => sortKey(pair, sortTarget));
  assert.deepEqual(keys(seen.kvs), keys(wanted.kvs));
}

function answerOf({ succeeded, responses }: TxnResponse): TxnAnswer {
  return { succeeded, responses: responses.map(opAnswerOf) };
}

function opAnswerOf(response: ResponseOp): OpAnswer {
  if (response.responseRange !== undefined) {
    const { kvs, count, more } = response.responseRange;
    return { range: { kvs: kvs.map(pairOf), count, more } };
  }
  if (response.responsePut !== undefined) {
    const { prevKv } = response.responsePut;
    return { put: { prevKv: prevKv && pairOf(prevKv) } };
  }
  if (response.responseTxn !== undefined) {
    return { txn: answerOf(response.responseTxn) };
  }
  const { deleted, prevKvs } = response.responseDeleteRange!;
  return { delete: { deleted, prevKvs: prevKvs.map(pairOf) } };
}

function pairOf(record: Uint8Array): Pair {
  const kv = decodeKeyValue(record);
  const { createRevision, modRevision, version, lease } = kv;
  const value = text(kv.value);
  return [
    text(kv.key),
    { value, createRevision, modRevision, version, lease },
  ];
}

function randomTxn(
  random: Random,
  model: TxnModel,
  depth: number,
): TxnRequest {
  const several = <T>(make: () => T) =>
    Array.from({ length: random.int(SOME) }, make);
  return newTxnRequest({
    compare: several(() => randomCompare(random, model)),
    success: several(() => randomOp(random, model, depth)),
    failure: several(() => randomOp(random, model, depth)),
  });
}

function randomOp(random: Random, model: TxnModel, depth: number): RequestOp {
  const key = utf8(random.oneIn(60) ? "" : random.pick(KEYS));
  switch (random.int(depth > 0 ? 8 : 7)) {
    case 0:
    case 1:
    case 2:
      return newRequestOp({
        requestPut: newPutRequest({
          key,
          value: utf8(random.oneIn(8) ? "" : randomValue(random)),
          lease: random.oneIn(5) ? random.pick([7n, 7n, 404n]) : 0n,
          prevKv: random.oneIn(2),
          ignoreValue: random.oneIn(20),
          ignoreLease: random.oneIn(20),
        }),
      });
    case 3:
      return newRequestOp({
        requestDeleteRange: newDeleteRangeRequest({
          key,
          rangeEnd: utf8(random.pick(RANGE_ENDS)),
          prevKv: random.oneIn(2),
        }),
      });
    case 7:
      return newRequestOp({ requestTxn: randomTxn(random, model, depth - 1) });
    default:
      return newRequestOp({ requestRange: randomRange(random, model, key) });
  }
}

function randomRange(
  random: Random,
  model: TxnModel,
  key: Uint8Array,
): RangeRequest {
  const bound = () => random.oneIn(8) ? random.int(model.revision + 2) : 0;
  return newRangeRequest({
    key,
    rangeEnd: utf8(random.pick(RANGE_ENDS)),
    limit: random.oneIn(2) ? random.int(4) : 0,
    revision: random.oneIn(4)
      ? Math.max(0, model.revision + 1 - random.int(12))
      : 0,
    sortOrder: random.int(random.oneIn(3) ? 3 : 1),
    sortTarget: random.int(random.oneIn(4) ? 5 : 1),
    keysOnly: random.oneIn(6),
    countOnly: random.oneIn(8),
    minModRevision: bound(),
    maxModRevision: bound(),
    minCreateRevision: bound(),
    maxCreateRevision: bound(),
  });
}

function randomCompare(random: Random, model: TxnModel): Compare {
  const revision = random.int(model.revision + 2);
  const target = random.int(5);
  return newCompare({
    result: random.int(4),
    target,
    key: utf8(random.pick(KEYS)),
    rangeEnd: utf8(random.oneIn(3) ? random.pick(RANGE_ENDS) : ""),
    // Of these one is sent: that of the target.
    ...(random.oneIn(6) ? {} : [
      { version: random.int(4) },
      { createRevision: revision },
      { modRevision: revision },
      { value: utf8(randomValue(random)) },
      { lease: random.pick([0n, 7n]) },
    ][target]),
  });
}

function randomValue(random: Random): string {
  return random.oneIn(10) ? "v".repeat(random.int(3_000)) : `${random.int(3)}`;
}
