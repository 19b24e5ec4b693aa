import { DomainError } from "../base/errors.ts";
import type { Store } from "../mvcc/store.ts";
import {
  encodeRangeResponse,
  newRangeResponse,
  newRangeStreamResponse,
  type RangeRequest,
  RangeRequest_SortOrder as SortOrder,
  RangeRequest_SortTarget as SortTarget,
  type RangeStreamResponse,
} from "../pb/etcdserverpb.ts";
import type { MessageWriter } from "../transport/grpc/service.ts";
import { checkRange } from "./check.ts";
import type { HeaderSource } from "./header.ts";
import { othersTurn, successor } from "./long_range.ts";

/** Keys in the first message: small, so that a client sees something soon (etcd starts with 10 as well). */
const FIRST_CHUNK_KEYS = 10;
/** A message that stays below this doubles the number of keys of the next one. */
const GROW_BELOW_BYTES = 512 << 10;
/** A message above this halves it. */
const SHRINK_ABOVE_BYTES = 1 << 20;
const MAX_CHUNK_KEYS = 8192;

/**
 * etcdserverpb.KV/RangeStream: one Range in many messages, all read at one revision. The first ones hold
 * only pairs; the last has the header, `more` and `count` besides, so that all of them merged are the
 * answer that Range gives. A client that stops reading stops the reading.
 *
 * To a client that reads as fast as we write, the writer is always drained: without a pause after each message,
 * others waited for up to 250 ms.
 */
export async function rangeStream(
  request: RangeRequest,
  out: MessageWriter<RangeStreamResponse>,
  server: { readonly store: Store; readonly header: HeaderSource },
): Promise<void> {
  checkRange(request);
  checkStreamable(request);
  const { store, header } = server;
  const first = await store.range({ ...request, countOnly: true });
  const { count } = first.response;
  const revision = request.revision > 0 ? request.revision : first.revision;
  const wanted = request.countOnly
    ? 0
    : request.limit > 0
    ? Math.min(request.limit, count)
    : count;
  let key = request.key;
  let sent = 0;
  let keys = FIRST_CHUNK_KEYS;
  do {
    const limit = Math.min(keys, wanted - sent);
    const kvs = limit === 0 ? [] : (await store.range(
      { ...request, key, revision, limit },
      { wantsCount: false },
    )).response.kvs;
    sent += kvs.length;
    const isLast = sent >= wanted || kvs.length === 0;
    const response = newRangeResponse({ kvs });
    if (isLast) {
      response.header = header.at(first.revision);
      response.count = count;
      response.more = !request.countOnly && sent < count;
    }
    const encoded = encodeRangeResponse(response);
    out.send(newRangeStreamResponse({ rangeResponse: encoded }));
    if (isLast) return;
    if (encoded.length < GROW_BELOW_BYTES) {
      keys = Math.min(keys * 2, MAX_CHUNK_KEYS);
    } else if (encoded.length > SHRINK_ABOVE_BYTES) {
      keys = Math.max(keys >>> 1, 1);
    }
    key = successor(kvs[kvs.length - 1]!);
    await out.drained();
    await othersTurn();
  } while (!out.isEnded);
}

function checkStreamable(request: RangeRequest): void {
  const { sortOrder, sortTarget } = request;
  const isDefaultOrder = sortOrder === SortOrder.NONE ||
    (sortOrder === SortOrder.ASCEND && sortTarget === SortTarget.KEY);
  if (!isDefaultOrder) throw new DomainError("rangeStreamSort");
  if (
    request.minModRevision !== 0 || request.maxModRevision !== 0 ||
    request.minCreateRevision !== 0 || request.maxCreateRevision !== 0
  ) throw new DomainError("rangeStreamFilter");
}
