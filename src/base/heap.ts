import { assert } from "./assert.ts";

/** What a heap holds: an item remembers its own place, so that it can be moved without a search. */
export interface HeapItem {
  /** The item's place; -1 while it is in no heap. Only the heap writes it. */
  heapIndex: number;
}

/**
 * A binary heap whose items can be moved and removed in O(log n) wherever they are.
 *
 * Invariants: no item comes `before` its parent, and `items[i].heapIndex === i`. An item is in at most
 * one heap. Whoever changes what `before` looks at calls `update` next.
 */
export class IndexedHeap<T extends HeapItem> {
  readonly #items: T[] = [];
  readonly #before: (a: T, b: T) => boolean;

  /** `before` is a strict order: whether `a` leaves the heap ahead of `b`. */
  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before;
  }

  get size(): number {
    return this.#items.length;
  }

  /** The first item in order, or undefined. */
  peek(): T | undefined {
    return this.#items[0];
  }

  has(item: T): boolean {
    return this.#items[item.heapIndex] === item;
  }

  push(item: T): void {
    assert(item.heapIndex === -1, "an item is in one heap at most");
    this.#items.push(item);
    this.#up(item, this.#items.length - 1);
  }

  /** Takes the first item in order out, or returns undefined. */
  pop(): T | undefined {
    const first = this.#items[0];
    if (first !== undefined) this.remove(first);
    return first;
  }

  /** Moves an item to its place after its order changed, in either direction. */
  update(item: T): void {
    assert(this.has(item), "only what is in the heap can be moved");
    const at = item.heapIndex;
    this.#up(item, at);
    if (item.heapIndex === at) this.#down(item, at);
  }

  /** Takes an item out; false if it was not in. */
  remove(item: T): boolean {
    if (!this.has(item)) return false;
    const at = item.heapIndex;
    item.heapIndex = -1;
    const last = this.#items.pop()!;
    if (last === item) return true;
    this.#items[at] = last;
    last.heapIndex = at;
    this.update(last);
    return true;
  }

  /** Takes everything out, in no particular order. */
  clear(): void {
    for (const item of this.#items) item.heapIndex = -1;
    this.#items.length = 0;
  }

  #up(item: T, start: number): void {
    const items = this.#items;
    let at = start;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = items[above]!;
      if (!this.#before(item, parent)) break;
      items[at] = parent;
      parent.heapIndex = at;
      at = above;
    }
    items[at] = item;
    item.heapIndex = at;
  }

  #down(item: T, start: number): void {
    const items = this.#items;
    const size = items.length;
    let at = start;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= size) break;
      if (below + 1 < size && this.#before(items[below + 1]!, items[below]!)) {
        below++;
      }
      const child = items[below]!;
      if (!this.#before(child, item)) break;
      items[at] = child;
      child.heapIndex = at;
      at = below;
    }
    items[at] = item;
    item.heapIndex = at;
  }
}
