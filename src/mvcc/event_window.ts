import type { Change } from "./change.ts";

/** What an entry costs beside its record: the object and its place in the array. */
const ENTRY_OVERHEAD_BYTES = 200;

/**
 * The recent past in memory: the newest changes, within a budget of bytes, for watchers that are a
 * little behind. Whole revisions only: what it covers, it covers completely.
 *
 * Invariant: it holds every change with revision > `coveredAfter`.
 */
export class EventWindow {
  #changes: Change[] = [];
  #first = 0;
  #bytes = 0;
  #coveredAfter: number;

  constructor(revision: number, readonly budgetBytes: number) {
    this.#coveredAfter = revision;
  }

  /** Changes with a revision larger than this one are all here. */
  get coveredAfter(): number {
    return this.#coveredAfter;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Starts again, empty, at `revision`. */
  reset(revision: number): void {
    this.#changes = [];
    this.#first = 0;
    this.#bytes = 0;
    this.#coveredAfter = revision;
  }

  /** Adds a committed change; they come in order. */
  push(change: Change): void {
    this.#changes.push(change);
    this.#bytes += change.recordBytes + ENTRY_OVERHEAD_BYTES;
  }

  /** Lets the oldest revisions go until the budget is kept; called once per batch. */
  trim(): void {
    const changes = this.#changes;
    let first = this.#first;
    while (this.#bytes > this.budgetBytes && first < changes.length) {
      const rev = changes[first]!.rev;
      while (first < changes.length && changes[first]!.rev === rev) {
        this.#bytes -= changes[first]!.recordBytes + ENTRY_OVERHEAD_BYTES;
        first++;
      }
      this.#coveredAfter = rev;
    }
    this.#first = first;
    // Moving the rest to the front costs no more than what was let go since the last time.
    if (first > 1024 && first * 2 > changes.length) {
      this.#changes = changes.slice(first);
      this.#first = 0;
    }
  }

  /** Changes with revision > `rev`, whole revisions, about `maxBytes` at most beyond the first revision. */
  after(rev: number, maxBytes: number): Change[] {
    const changes = this.#changes;
    let low = this.#first;
    let high = changes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (changes[middle]!.rev <= rev) low = middle + 1;
      else high = middle;
    }
    let end = low;
    let bytes = 0;
    while (end < changes.length) {
      const change = changes[end]!;
      if (bytes > maxBytes && change.rev !== changes[end - 1]!.rev) break;
      bytes += change.recordBytes;
      end++;
    }
    return changes.slice(low, end);
  }
}
