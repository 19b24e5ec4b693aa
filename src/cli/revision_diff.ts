import { compareBytes, equalBytes } from "../base/bytes.ts";
import {
  KVService,
  newRangeRequest,
  newRequestOp,
  newTxnRequest,
  type RangeRequest,
} from "../pb/etcdserverpb.ts";
import { decodeKeyValue, type KeyValue } from "../pb/mvccpb.ts";
import { pagesOf } from "./cluster_reads.ts";
import type { EtcdClient } from "./etcd_client.ts";

/** `rewritten`: put again, or deleted and made again, with the value and the lease that it had. */
export type DifferenceKind = "added" | "removed" | "changed" | "rewritten";

/** A key that is not the same at two revisions. */
export interface Difference {
  readonly kind: DifferenceKind;
  readonly key: Uint8Array;
  /** At the first revision; undefined if it was not there. */
  readonly before: KeyValue | undefined;
  /** At the second. */
  readonly after: KeyValue | undefined;
}

export interface DiffRange extends Pick<RangeRequest, "key" | "rangeEnd"> {
  readonly from: number;
  readonly to: number;
}

/** Keys in a page; without their values they are small. */
const PAGE_KEYS = 1000;
/**
 * Keys whose values are read together, at both revisions: two operations each of the 128 that etcd takes.
 * A value is 1.5 MiB at most by default, which makes this 48 MiB in the worst case.
 */
const KEYS_PER_READ = 16;

/**
 * What differs between two revisions, in key order. Both are walked a page at a time without values; values
 * are read of keys that differ only, so that the cost is that of the keys and of what changed.
 */
export async function* differences(
  client: EtcdClient,
  range: DiffRange,
): AsyncGenerator<Difference, void, undefined> {
  let pairs: Pair[] = [];
  for await (const pair of unequalPairs(client, range)) {
    pairs.push(pair);
    if (pairs.length < KEYS_PER_READ) continue;
    yield* await withValues(client, pairs, range);
    pairs = [];
  }
  if (pairs.length > 0) yield* await withValues(client, pairs, range);
}

/** One key at both revisions, without its values. At least one is there. */
interface Pair {
  readonly before: KeyValue | undefined;
  readonly after: KeyValue | undefined;
}

/** Merges the two lists, which are in key order. */
async function* unequalPairs(
  client: EtcdClient,
  { key, rangeEnd, from, to }: DiffRange,
): AsyncGenerator<Pair, void, undefined> {
  const keys = { key, rangeEnd, limit: PAGE_KEYS, keysOnly: true };
  const olds = flat(pagesOf(client, { ...keys, revision: from }));
  const news = flat(pagesOf(client, { ...keys, revision: to }));
  let before = await next(olds);
  let after = await next(news);
  while (before !== undefined || after !== undefined) {
    const order = before === undefined
      ? 1
      : after === undefined
      ? -1
      : compareBytes(before.key, after.key);
    if (order !== 0 || before!.modRevision !== after!.modRevision) {
      yield {
        before: order <= 0 ? before : undefined,
        after: order >= 0 ? after : undefined,
      };
    }
    if (order <= 0) before = await next(olds);
    if (order >= 0) after = await next(news);
  }
}

async function* flat<T>(
  pages: AsyncIterable<readonly T[]>,
): AsyncGenerator<T, undefined, undefined> {
  for await (const page of pages) yield* page;
}

async function next<T>(
  items: AsyncGenerator<T, undefined, undefined>,
): Promise<T | undefined> {
  return (await items.next()).value;
}

/** Reads both values of each key in one transaction. */
async function withValues(
  client: EtcdClient,
  pairs: readonly Pair[],
  { from, to }: DiffRange,
): Promise<Difference[]> {
  const reads = pairs.flatMap(({ before, after }) => [
    ...(before === undefined ? [] : [{ key: before.key, revision: from }]),
    ...(after === undefined ? [] : [{ key: after.key, revision: to }]),
  ]);
  const { responses } = await client.unary(
    KVService.methods.txn,
    newTxnRequest({
      success: reads.map((read) =>
        newRequestOp({ requestRange: newRangeRequest(read) })
      ),
    }),
  );
  const values = responses.map(({ responseRange }) => {
    const kv = responseRange?.kvs[0];
    if (kv === undefined) throw new Error("server lost a key between reads");
    return decodeKeyValue(kv);
  });
  let at = 0;
  return pairs.map((pair) => {
    const before = pair.before && values[at++];
    const after = pair.after && values[at++];
    const { key } = (before ?? after)!;
    return { kind: kindOf(before, after), key, before, after };
  });
}

function kindOf(
  before: KeyValue | undefined,
  after: KeyValue | undefined,
): DifferenceKind {
  if (before === undefined) return "added";
  if (after === undefined) return "removed";
  const isSame = before.lease === after.lease &&
    equalBytes(before.value, after.value);
  return isSame ? "rewritten" : "changed";
}
