import { ByteMap } from "../base/byte_map.ts";
import type { Event } from "../mvcc/event.ts";
import type { KeyRange } from "../mvcc/key_range.ts";
import { IntervalMap } from "./interval_map.ts";
import { KeyInterest } from "./key_interest.ts";

/**
 * All keys and ranges that are watched, each once.
 *
 * Single keys are found by hash, ranges by a look-up in a tree, so that a commit costs what it matches
 * and not what is watched.
 */
export class InterestIndex {
  readonly #keys = new ByteMap<KeyInterest>();
  readonly #ranges = new IntervalMap<KeyInterest>();
  readonly #byRange = new ByteMap<KeyInterest>();
  readonly #touched: KeyInterest[] = [];
  #event: Event | undefined = undefined;

  get size(): number {
    return this.#keys.size + this.#byRange.size;
  }

  /** The interest in a range, made if there is none. The range's bytes are copied, since requests share buffers. */
  acquire(range: KeyRange): KeyInterest {
    const name = range.isSingle ? range.start : nameOf(range);
    const map = range.isSingle ? this.#keys : this.#byRange;
    const known = map.get(name);
    if (known !== undefined) return known;
    const interest = new KeyInterest({
      start: range.start.slice(),
      end: range.end?.slice(),
      isSingle: range.isSingle,
    });
    const { start, end } = interest.range;
    map.set(range.isSingle ? start : name, interest);
    if (!range.isSingle) this.#ranges.insert(start, end, interest);
    return interest;
  }

  /** Lets an interest go that has no watchers. */
  release({ range }: KeyInterest): void {
    const { start, end, isSingle } = range;
    if (isSingle) {
      this.#keys.delete(start);
      return;
    }
    const name = nameOf(range);
    const interest = this.#byRange.get(name)!;
    this.#byRange.delete(name);
    this.#ranges.remove(start, end, interest);
  }

  /**
   * Puts each event into `matched` of the interests with synced watchers that contain its key. Returns
   * these interests, in an array that the next call uses again; the caller takes the events out of `matched`.
   */
  match(events: readonly Event[]): readonly KeyInterest[] {
    const touched = this.#touched;
    touched.length = 0;
    const hasRanges = this.#ranges.size > 0;
    const hasKeys = this.#keys.size > 0;
    for (let i = 0; i < events.length; i++) {
      const event = events[i]!;
      this.#event = event;
      if (hasKeys) {
        const interest = this.#keys.get(event.key);
        if (interest !== undefined) this.#touch(interest);
      }
      if (hasRanges) this.#ranges.stab(event.key, this.#touch);
    }
    this.#event = undefined;
    return touched;
  }

  readonly #touch = (interest: KeyInterest): void => {
    if (interest.syncedCount === 0) return;
    if (interest.matched.length === 0) this.#touched.push(interest);
    interest.matched.push(this.#event!);
  };
}

/** The two ends as one byte string: the length of the first (4 bytes), whether there is a second, both. */
function nameOf({ start, end }: KeyRange): Uint8Array {
  const endLength = end === undefined ? 0 : end.length;
  const out = new Uint8Array(5 + start.length + endLength);
  new DataView(out.buffer).setUint32(0, start.length);
  out[4] = end === undefined ? 0 : 1;
  out.set(start, 5);
  if (end !== undefined) out.set(end, 5 + start.length);
  return out;
}
