import type { HeapItem } from "../base/heap.ts";
import type { WatcherGroup } from "./watcher_group.ts";
import type { WatchStream } from "./watch_stream.ts";

/** Where a watcher gets its events from; `hub.ts` draws the transitions. */
export const WatcherState = {
  /** Was offered everything up to the current revision, and gets what is committed. */
  Synced: 0,
  /** Reads history from `next` on. */
  Behind: 1,
  /** Its stream is full: gets nothing until the stream drains, then reads history from `next` on. */
  Slow: 2,
  /** Its first revision, `next`, has not been reached. */
  Future: 3,
  /** Canceled; nothing is sent for it any more. */
  Gone: 4,
} as const;

/** One of the numbers in `WatcherState`. */
export type WatcherState = typeof WatcherState[keyof typeof WatcherState];

/**
 * One watcher of one stream. Holds no events: a revision to go on from is all that is kept for a
 * watcher that cannot be served.
 */
export class Watcher implements HeapItem {
  state: WatcherState = WatcherState.Gone;
  /** The first revision that it was not offered yet. Means nothing while it is synced. */
  next: number;
  /** Whether no event was sent since the last turn of the progress wheel. */
  isQuiet = true;
  /** Whether the catch-up holds it. */
  isQueued = false;
  /** Its place in `group.synced`; -1 while it is not there. */
  syncedIndex = -1;
  /** Its place in the progress wheel; -1 while it is not there. */
  wheelSlot = -1;
  wheelIndex = -1;
  heapIndex = -1;

  constructor(
    readonly stream: WatchStream,
    readonly group: WatcherGroup,
    next: number,
  ) {
    this.next = next;
  }

  get id(): bigint {
    return this.group.id;
  }
}
