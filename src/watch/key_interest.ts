import { compareBytes, equalBytes } from "../base/bytes.ts";
import type { Event } from "../mvcc/event.ts";
import type { KeyRange } from "../mvcc/key_range.ts";
import { WatcherGroup, type WatcherShape } from "./watcher_group.ts";

/** One key or range that somebody watches, with all its watchers. Events are matched against it once. */
export class KeyInterest {
  readonly groups: WatcherGroup[] = [];
  readonly #byShape = new Map<string, WatcherGroup>();
  /** Synced watchers in all groups. */
  syncedCount = 0;
  /** The events of the commit that is being offered; only the hub and its index use it. */
  matched: Event[] = [];

  constructor(readonly range: KeyRange) {}

  /** The group of watchers of this shape, made if there is none. */
  group(shape: WatcherShape): WatcherGroup {
    const name = nameOf(shape);
    let group = this.#byShape.get(name);
    if (group === undefined) {
      group = new WatcherGroup(this, shape);
      this.#byShape.set(name, group);
      group.index = this.groups.length;
      this.groups.push(group);
    }
    return group;
  }

  /** Lets a group go that has no members. */
  remove(group: WatcherGroup): void {
    this.#byShape.delete(nameOf(group));
    const last = this.groups.pop()!;
    if (last === group) return;
    this.groups[group.index] = last;
    last.index = group.index;
  }

  includes(key: Uint8Array): boolean {
    const { start, end, isSingle } = this.range;
    if (isSingle) return equalBytes(key, start);
    return compareBytes(key, start) >= 0 &&
      (end === undefined || compareBytes(key, end) < 0);
  }
}

function nameOf(shape: WatcherShape): string {
  const { id, prevKv, skipPuts, skipDeletes, fragment } = shape;
  return `${id} ${+prevKv}${+skipPuts}${+skipDeletes}${+fragment}`;
}
