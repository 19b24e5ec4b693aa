import { EMPTY } from "../base/bytes.ts";
import type { Event } from "../mvcc/event.ts";
import { sizeId, writeId } from "../pb/wire.ts";
import type { KeyInterest } from "./key_interest.ts";
import type { Watcher } from "./watcher.ts";

/** What makes two watchers of one range get the same bytes. */
export interface WatcherShape {
  readonly id: bigint;
  /** Events carry what the key held before. */
  readonly prevKv: boolean;
  /** The filter NOPUT. */
  readonly skipPuts: boolean;
  /** The filter NODELETE. */
  readonly skipDeletes: boolean;
  /** A large revision may be cut into several responses. */
  readonly fragment: boolean;
}

/**
 * The watchers, of any stream, to which a batch of events looks the same to the last byte: same range,
 * same id, same options. A response is encoded once for all of them.
 *
 * Invariant: `synced` holds exactly the members that are synced, save while a commit is being offered,
 * when it may still hold some that no longer are.
 */
export class WatcherGroup {
  readonly id: bigint;
  /** Wire bytes of the id as a field of WatchResponse; empty for 0. */
  readonly idField: Uint8Array;
  readonly prevKv: boolean;
  readonly skipPuts: boolean;
  readonly skipDeletes: boolean;
  readonly fragment: boolean;
  readonly synced: Watcher[] = [];
  /** Watchers in any state. */
  members = 0;
  /** Its place in `interest.groups`. */
  index = -1;

  constructor(readonly interest: KeyInterest, shape: WatcherShape) {
    this.id = shape.id;
    this.idField = encodeIdField(shape.id);
    this.prevKv = shape.prevKv;
    this.skipPuts = shape.skipPuts;
    this.skipDeletes = shape.skipDeletes;
    this.fragment = shape.fragment;
  }

  /** Those of the range's events that pass the filters; the same array if there are none. */
  select(events: readonly Event[]): readonly Event[] {
    const { skipPuts, skipDeletes } = this;
    if (!skipPuts && !skipDeletes) return events;
    return events.filter((e) => e.deleted ? !skipDeletes : !skipPuts);
  }

  join(watcher: Watcher): void {
    watcher.syncedIndex = this.synced.length;
    this.synced.push(watcher);
  }

  leave(watcher: Watcher): void {
    const last = this.synced.pop()!;
    const at = watcher.syncedIndex;
    watcher.syncedIndex = -1;
    if (last === watcher) return;
    this.synced[at] = last;
    last.syncedIndex = at;
  }
}

/** Field 2, varint. */
function encodeIdField(id: bigint): Uint8Array {
  if (id === 0n) return EMPTY;
  const out = new Uint8Array(1 + sizeId(id));
  out[0] = 0x10;
  writeId(out, 1, id);
  return out;
}
