import { compareBytes } from "../base/bytes.ts";
import type { Permission } from "../pb/authpb.ts";
import { Permission_Type as Type } from "../pb/authpb.ts";

/** A half-open interval of keys; `end` undefined: no upper bound. */
interface Interval {
  readonly start: Uint8Array;
  end: Uint8Array | undefined;
}

/**
 * What one user may read and write: the union of the ranges of all its roles. Ranges that overlap or touch are
 * one, so that a request across two of them is allowed (etcd, server/auth/range_perm_cache.go).
 */
export class RangePermissions {
  readonly #reads: readonly Interval[];
  readonly #writes: readonly Interval[];

  constructor(permissions: Iterable<Permission>) {
    const reads: Interval[] = [];
    const writes: Interval[] = [];
    for (const { permType, key, rangeEnd } of permissions) {
      // A type that there is not is kept, and allows nothing.
      if (permType === Type.READ || permType === Type.READWRITE) {
        reads.push(interval(key, rangeEnd));
      }
      if (permType === Type.WRITE || permType === Type.READWRITE) {
        writes.push(interval(key, rangeEnd));
      }
    }
    this.#reads = merge(reads);
    this.#writes = merge(writes);
  }

  /** Whether all of a request's range may be read; `rangeEnd` as in requests: empty for one key, `\0` for no end. */
  mayRead(key: Uint8Array, rangeEnd: Uint8Array): boolean {
    return covers(this.#reads, key, rangeEnd);
  }

  /** Whether all of a request's range may be written. */
  mayWrite(key: Uint8Array, rangeEnd: Uint8Array): boolean {
    return covers(this.#writes, key, rangeEnd);
  }
}

/** Whether a permission's range can be: a key, and an end above it, `\0` or none. */
export function isPermissionRange(
  key: Uint8Array,
  rangeEnd: Uint8Array,
): boolean {
  if (key.length === 0) return false;
  return rangeEnd.length === 0 || isOpenEnd(rangeEnd) ||
    compareBytes(key, rangeEnd) < 0;
}

function interval(key: Uint8Array, rangeEnd: Uint8Array): Interval {
  if (rangeEnd.length === 0) return { start: key, end: after(key) };
  return { start: key, end: isOpenEnd(rangeEnd) ? undefined : rangeEnd };
}

function merge(intervals: Interval[]): Interval[] {
  intervals.sort((a, b) => compareBytes(a.start, b.start));
  const merged: Interval[] = [];
  for (const { start, end } of intervals) {
    const last = merged.at(-1);
    if (
      last === undefined ||
      (last.end !== undefined && compareBytes(last.end, start) < 0)
    ) {
      merged.push({ start, end });
    } else if (
      last.end !== undefined &&
      (end === undefined || compareBytes(end, last.end) > 0)
    ) {
      last.end = end;
    }
  }
  return merged;
}

function covers(
  intervals: readonly Interval[],
  key: Uint8Array,
  rangeEnd: Uint8Array,
): boolean {
  // The last interval that starts at or before the key.
  let low = 0;
  let high = intervals.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(intervals[middle]!.start, key) <= 0) low = middle + 1;
    else high = middle;
  }
  if (low === 0) return false;
  const { end } = intervals[low - 1]!;
  if (end === undefined) return true;
  if (compareBytes(key, end) >= 0) return false;
  if (rangeEnd.length === 0) return true;
  return !isOpenEnd(rangeEnd) && compareBytes(rangeEnd, end) <= 0;
}

function isOpenEnd(rangeEnd: Uint8Array): boolean {
  return rangeEnd.length === 1 && rangeEnd[0] === 0;
}

/** The smallest key above `key`. */
function after(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
