import type { Operation } from "./operation.ts";

/** An operation and where it took effect. */
export interface Placed {
  readonly operation: Operation;
  /** The revision that it made, or the one that it saw. */
  readonly revision: number;
  readonly isWrite: boolean;
  /** It may have seen the past, but not the future. */
  readonly isSerializable: boolean;
}

/** The revisions at which a write can be, for all that is known of the operations before and after it. */
export interface Window {
  /** The first that is possible. */
  readonly from: number;
  /** The last that is possible. */
  readonly to: number;
}

/** What placed operations say about when other ones can have been. */
export class RealTime {
  /** By time of return, with the highest revision so far. */
  readonly #returns: { readonly stamp: number; readonly revision: number }[] =
    [];
  /** By time of call, latest first, with the lowest revision that a write before it can have at most. */
  readonly #calls: { readonly stamp: number; readonly revision: number }[] = [];

  constructor(placed: readonly Placed[]) {
    let highest = 1;
    for (
      const { operation, revision } of placed.toSorted((a, b) =>
        a.operation.return - b.operation.return
      )
    ) {
      highest = Math.max(highest, revision);
      this.#returns.push({ stamp: operation.return, revision: highest });
    }
    let lowest = Infinity;
    for (
      const { operation, revision, isWrite, isSerializable } of placed.toSorted(
        (a, b) => b.operation.call - a.operation.call,
      )
    ) {
      if (isSerializable) continue;
      lowest = Math.min(lowest, isWrite ? revision - 1 : revision);
      this.#calls.push({ stamp: operation.call, revision: lowest });
    }
  }

  /** The highest revision that somebody knew of before `stamp`. */
  floor(stamp: number): number {
    return last(this.#returns, (r) => r.stamp < stamp)?.revision ?? 1;
  }

  /** Where a write can be that is called and over at these times. */
  window({ call, return: returned }: Operation): Window {
    return {
      from: this.floor(call) + 1,
      to: last(this.#calls, (c) => c.stamp > returned)?.revision ?? Infinity,
    };
  }
}

/** Everything that is placed before something that it came after. */
export function orderViolations(placed: readonly Placed[]): string[] {
  const time = new RealTime(placed);
  const violations: string[] = [];
  for (const { operation, revision, isWrite, isSerializable } of placed) {
    const floor = time.floor(operation.call);
    if (isSerializable || (isWrite ? revision > floor : revision >= floor)) {
      continue;
    }
    const what = isWrite ? "wrote" : "saw";
    violations.push(
      `client ${operation.client} ${what} revision ${revision}, but ${floor} was known before it asked: ${
        JSON.stringify(operation.request)
      }`,
    );
  }
  return violations;
}

/** The last item of a list in which those that fit come first. */
function last<T>(
  items: readonly T[],
  fits: (item: T) => boolean,
): T | undefined {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (fits(items[middle]!)) low = middle + 1;
    else high = middle;
  }
  return items[low - 1];
}
