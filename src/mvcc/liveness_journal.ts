import type { KeyEntry } from "./key_entry.ts";

/**
 * Which keys came to life or died, and when: a count of a range in the past is the count now, less what
 * has changed since. So a page of a list that was begun a moment ago costs the changes of that moment.
 *
 * Invariant: it holds every change of liveness with a revision above `#floor`.
 */
export class LivenessJournal {
  #revs: number[] = [];
  #entries: KeyEntry[] = [];
  #deltas: number[] = [];
  #floor = 0;

  /** Beyond `maxEntries` the older half is forgotten. */
  constructor(readonly maxEntries: number) {}

  /** Notes that a commit at `rev` made a key live (+1) or dead (-1); commits come in order. */
  add(rev: number, entry: KeyEntry, delta: 1 | -1): void {
    this.#revs.push(rev);
    this.#entries.push(entry);
    this.#deltas.push(delta);
    if (this.#revs.length > this.maxEntries) {
      this.trim(this.#revs[this.#revs.length >>> 1]!);
    }
  }

  /** How many changes came after `rev`; undefined if it does not reach back that far. */
  changesAfter(rev: number): number | undefined {
    if (rev < this.#floor) return undefined;
    return this.#revs.length - this.#after(rev);
  }

  /** The sum of the changes after `rev` to keys in [start, end): what the range has gained since. */
  adjustmentAfter(
    rev: number,
    start: Uint8Array,
    end: Uint8Array | undefined,
  ): number {
    let sum = 0;
    for (let i = this.#after(rev); i < this.#revs.length; i++) {
      const entry = this.#entries[i]!;
      if (entry.compareKey(start) < 0) continue;
      if (end !== undefined && entry.compareKey(end) >= 0) continue;
      sum += this.#deltas[i]!;
    }
    return sum;
  }

  /** Forgets changes up to `rev`: nobody reads below it any more. */
  trim(rev: number): void {
    const first = this.#after(rev);
    this.#floor = Math.max(this.#floor, rev);
    if (first === 0) return;
    this.#revs = this.#revs.slice(first);
    this.#entries = this.#entries.slice(first);
    this.#deltas = this.#deltas.slice(first);
  }

  #after(rev: number): number {
    let low = 0;
    let high = this.#revs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#revs[middle]! <= rev) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
