import {
  newWatchCreateRequest,
  newWatchProgressRequest,
  newWatchRequest,
  type WatchCreateRequest,
  type WatchResponse,
  WatchService,
} from "../pb/etcdserverpb.ts";
import { decodeEvent, type Event } from "../pb/mvccpb.ts";
import { headerRevision } from "./cluster_reads.ts";
import type { EtcdClient } from "./etcd_client.ts";

/** What the past is asked for: keys, and revisions from `from` to `to`, both included. */
export interface ChangeRange {
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array;
  readonly from: number;
  readonly to: number;
}

/** The revisions asked for are compacted. */
export class CompactedError extends Error {
  override name = "CompactedError";

  /** `compactRevision` is the oldest revision that is readable. */
  constructor(readonly compactRevision: number) {
    super(`revisions before ${compactRevision} are compacted`);
  }
}

/** How often to ask how far the server is. etcd does not answer while a watcher is behind. */
const PROGRESS_INTERVAL_MS = 50;
const PROGRESS_REQUEST = newWatchRequest({
  progressRequest: newWatchProgressRequest(),
});

/**
 * Every change of the keys between two revisions of the past, in order: a watch that ends.
 * Throws `CompactedError` if the first of them is compacted.
 */
export async function* changes(
  client: EtcdClient,
  range: ChangeRange,
): AsyncGenerator<Event, void, undefined> {
  if (range.from > range.to) return;
  const watch = await client.duplex(WatchService.methods.watch);
  await watch.send(newWatchRequest({ createRequest: createRequest(range) }));
  // Without it, nobody could tell "nothing more up to there" from "not there yet".
  const asking = setInterval(
    () => void watch.send(PROGRESS_REQUEST),
    PROGRESS_INTERVAL_MS,
  );
  try {
    for await (const response of watch.messages) {
      if (response.canceled) throw failureOf(response);
      if (response.created) continue;
      for (const bytes of response.events) {
        const event = decodeEvent(bytes);
        if (event.kv!.modRevision > range.to) return;
        yield event;
      }
      if (isComplete(response, range.to)) return;
    }
    throw new Error("server ended the watch");
  } finally {
    clearInterval(asking);
    watch.cancel();
  }
}

function createRequest(range: ChangeRange): WatchCreateRequest {
  return newWatchCreateRequest({
    key: range.key,
    rangeEnd: range.rangeEnd,
    startRevision: range.from,
    prevKv: true,
  });
}

/** A revision's events come in one response, as it was not asked to be cut. */
function isComplete(response: WatchResponse, to: number): boolean {
  const last = response.events.at(-1);
  if (last !== undefined) return decodeEvent(last).kv!.modRevision >= to;
  return headerRevision(response) >= to;
}

function failureOf({ compactRevision, cancelReason }: WatchResponse): Error {
  return compactRevision > 0
    ? new CompactedError(compactRevision)
    : new Error(cancelReason || "server canceled the watch");
}
