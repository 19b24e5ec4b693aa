import { compareBytes } from "../base/bytes.ts";

/**
 * etcd's (key, range_end) pair as a half-open interval.
 *
 *   range_end empty      the one key
 *   range_end = "\0"     every key >= key: `end` is undefined
 *   otherwise            [key, range_end); nothing if range_end <= key
 */
export interface KeyRange {
  readonly start: Uint8Array;
  /** Undefined: no upper bound (only meaningful when `isSingle` is false). */
  readonly end: Uint8Array | undefined;
  readonly isSingle: boolean;
}

/** Reads a request's pair. */
export function keyRange(key: Uint8Array, rangeEnd: Uint8Array): KeyRange {
  if (rangeEnd.length === 0) {
    return { start: key, end: undefined, isSingle: true };
  }
  if (rangeEnd.length === 1 && rangeEnd[0] === 0) {
    return { start: key, end: undefined, isSingle: false };
  }
  return { start: key, end: rangeEnd, isSingle: false };
}

/** Whether no key at all can be in the range. */
export function isEmptyRange(range: KeyRange): boolean {
  return range.end !== undefined && compareBytes(range.start, range.end) >= 0;
}
