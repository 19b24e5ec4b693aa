import { assert } from "../base/assert.ts";
import { compareBytes } from "../base/bytes.ts";
import type { KeyEntry } from "./key_entry.ts";

/** Entries of a leaf and children of an inner node; measured: 32 to 128 make no difference in speed. */
const CAPACITY = 64;

/** A leaf: entries in order of their keys. */
class Leaf {
  next: Leaf | undefined = undefined;
  previous: Leaf | undefined = undefined;
  constructor(public entries: KeyEntry[], public live: number) {}
}

/** An inner node: `firsts[i]` is a lower bound of child i's keys and larger than all of child i-1's; `firsts[0]` is not looked at. */
class Inner {
  constructor(
    public children: Node[],
    public firsts: Uint8Array[],
    public live: number,
  ) {}
}

type Node = Leaf | Inner;

/** What a split adds to the parent. */
interface Split {
  readonly first: Uint8Array;
  readonly node: Node;
}

/**
 * Entries in order of their keys: a B+tree whose nodes know how many live keys are below them, so that
 * counting a range takes two walks from the root.
 *
 * Holds live and dead entries. Nodes that become empty go; others are not merged, since keys come back
 * where keys have been.
 */
export class KeyTree {
  #root: Node = new Leaf([], 0);
  readonly #firstLeaf = this.#root as Leaf;

  get liveCount(): number {
    return this.#root.live;
  }

  /** Adds an entry whose key is not there yet. */
  insert(entry: KeyEntry): void {
    const split = this.#insert(this.#root, entry);
    if (split === undefined) return;
    const live = this.#root.live + split.node.live;
    this.#root = new Inner(
      [this.#root, split.node],
      [split.first, split.first],
      live,
    );
  }

  /** Takes an entry out; it must not be live. */
  remove(entry: KeyEntry): void {
    this.#remove(this.#root, entry);
    while (this.#root instanceof Inner && this.#root.children.length === 1) {
      this.#root = this.#root.children[0]!;
    }
  }

  /** Adds `delta` to the count of live keys on the way to the entry. */
  addLive(key: Uint8Array, delta: 1 | -1): void {
    let node = this.#root;
    for (;;) {
      node.live += delta;
      if (node instanceof Leaf) return;
      node = node.children[childOf(node, key)]!;
    }
  }

  /** Live keys in [start, end); no `end`: to the last. */
  countLive(start: Uint8Array, end: Uint8Array | undefined): number {
    const below = end === undefined ? this.#root.live : this.#liveBelow(end);
    return Math.max(0, below - this.#liveBelow(start));
  }

  /** Visits entries in [start, end) in ascending order until `visit` returns false; the tree must not change meanwhile. */
  ascend(
    start: Uint8Array,
    end: Uint8Array | undefined,
    visit: (entry: KeyEntry) => boolean,
  ): void {
    let leaf: Leaf | undefined = this.#leafOf(start);
    let at = placeOf(leaf.entries, start);
    for (; leaf !== undefined; leaf = leaf.next, at = 0) {
      const entries: KeyEntry[] = leaf.entries;
      let stop = entries.length;
      if (stop === 0) continue;
      // Only the leaf that holds the end needs looking at each key.
      const isLast = end !== undefined &&
        compareBytes(entries[stop - 1]!.key, end) >= 0;
      if (isLast) stop = placeOf(entries, end);
      for (; at < stop; at++) if (!visit(entries[at]!)) return;
      if (isLast) return;
    }
  }

  /** Up to `max` entries behind `key`, or from the first. */
  after(key: Uint8Array | undefined, max: number): KeyEntry[] {
    const found: KeyEntry[] = [];
    let leaf: Leaf | undefined = key === undefined
      ? this.#firstLeaf
      : this.#leafOf(key);
    let at = key === undefined ? 0 : placeOf(leaf.entries, key);
    for (; leaf !== undefined; leaf = leaf.next, at = 0) {
      const entries: KeyEntry[] = leaf.entries;
      for (; at < entries.length; at++) {
        const entry = entries[at]!;
        if (key !== undefined && compareBytes(entry.key, key) === 0) continue;
        found.push(entry);
        if (found.length === max) return found;
      }
    }
    return found;
  }

  #leafOf(key: Uint8Array): Leaf {
    let node = this.#root;
    while (node instanceof Inner) node = node.children[childOf(node, key)]!;
    return node;
  }

  #liveBelow(key: Uint8Array): number {
    let node = this.#root;
    let live = 0;
    while (node instanceof Inner) {
      const child = childOf(node, key);
      for (let i = 0; i < child; i++) live += node.children[i]!.live;
      node = node.children[child]!;
    }
    const stop = placeOf(node.entries, key);
    for (let i = 0; i < stop; i++) if (node.entries[i]!.version > 0) live++;
    return live;
  }

  #insert(node: Node, entry: KeyEntry): Split | undefined {
    if (entry.version > 0) node.live++;
    if (node instanceof Leaf) {
      const at = placeOf(node.entries, entry.key);
      node.entries.splice(at, 0, entry);
      if (node.entries.length <= CAPACITY) return undefined;
      return splitLeaf(node, at === node.entries.length - 1);
    }
    const at = childOf(node, entry.key);
    const split = this.#insert(node.children[at]!, entry);
    if (split === undefined) return undefined;
    node.children.splice(at + 1, 0, split.node);
    node.firsts.splice(at + 1, 0, split.first);
    if (node.children.length <= CAPACITY) return undefined;
    return splitInner(node, at + 2 === node.children.length);
  }

  /** Returns true if the node is empty now. */
  #remove(node: Node, entry: KeyEntry): boolean {
    if (node instanceof Leaf) {
      const at = placeOf(node.entries, entry.key);
      assert(node.entries[at] === entry, "an entry to remove is in the tree");
      node.entries.splice(at, 1);
      // The first leaf stays, so that there is always one to begin at.
      if (node.entries.length > 0 || node === this.#firstLeaf) return false;
      if (node.previous !== undefined) node.previous.next = node.next;
      if (node.next !== undefined) node.next.previous = node.previous;
      return true;
    }
    const at = childOf(node, entry.key);
    if (!this.#remove(node.children[at]!, entry)) return false;
    node.children.splice(at, 1);
    node.firsts.splice(at, 1);
    return node.children.length === 0;
  }
}

/** The place of the first entry whose key is not below `key`. */
function placeOf(entries: readonly KeyEntry[], key: Uint8Array): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(entries[middle]!.key, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The child whose range holds `key`. */
function childOf(node: Inner, key: Uint8Array): number {
  const { firsts } = node;
  let low = 1;
  let high = firsts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(firsts[middle]!, key) <= 0) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Halves a full leaf; where keys come in ascending order, all but the last stay. */
function splitLeaf(leaf: Leaf, isAppend: boolean): Split {
  const half = isAppend ? leaf.entries.length - 1 : leaf.entries.length >>> 1;
  const entries = leaf.entries.splice(half);
  let live = 0;
  for (const entry of entries) if (entry.version > 0) live++;
  leaf.live -= live;
  const right = new Leaf(entries, live);
  right.next = leaf.next;
  right.previous = leaf;
  if (leaf.next !== undefined) leaf.next.previous = right;
  leaf.next = right;
  return { first: entries[0]!.key, node: right };
}

function splitInner(inner: Inner, isAppend: boolean): Split {
  const half = isAppend
    ? inner.children.length - 1
    : inner.children.length >>> 1;
  const children = inner.children.splice(half);
  const firsts = inner.firsts.splice(half);
  let live = 0;
  for (const child of children) live += child.live;
  inner.live -= live;
  return { first: firsts[0]!, node: new Inner(children, firsts, live) };
}
