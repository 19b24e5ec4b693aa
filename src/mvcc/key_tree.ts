import { assert } from "../base/assert.ts";
import type { KeyEntry } from "./key_entry.ts";

/** Entries of a leaf and children of an inner node; measured: 32 to 128 make little difference in speed. */
const CAPACITY = 64;
/** A node with fewer takes from its neighbour, or joins it if the two have room to spare together. */
const MIN_FILL = CAPACITY / 4;
const JOIN_BELOW = CAPACITY * 3 / 4;
/** What a split at the end of an inner node leaves to the new one: a node of one child could not be repaired. */
const INNER_TAIL = CAPACITY / 8;

/** Entries in order of their keys. */
class Leaf {
  next: Leaf | undefined = undefined;
  previous: Leaf | undefined = undefined;
  constructor(public entries: KeyEntry[]) {}
}

/**
 * Children in order: `live[i]` is the number of live keys below child i, and `bounds[i]` lies between
 * children i and i+1: above all keys of the one, not above any key of the other.
 */
class Inner {
  constructor(
    public children: Node[],
    public bounds: Uint8Array[],
    public live: number[],
  ) {}
}

type Node = Leaf | Inner;

/** What a node that became too large hands to its parent: a right neighbour. */
interface Split {
  readonly bound: Uint8Array;
  readonly node: Node;
  readonly live: number;
}

/**
 * Entries in order of their keys: a B+tree that knows how many live keys are below each node, so that
 * counting a range takes two walks from the root.
 *
 * Holds live and dead entries. Filled in ascending order, its nodes are full; otherwise they are a
 * quarter full at least, however many keys have come and gone.
 */
export class KeyTree {
  #root: Node = new Leaf([]);
  #last = this.#root as Leaf;
  #liveCount = 0;

  get liveCount(): number {
    return this.#liveCount;
  }

  /** Adds an entry whose key is not there yet and which is not live. */
  insert(entry: KeyEntry): void {
    assert(entry.version === 0, "an entry is dead when it comes into the tree");
    const { key } = entry;
    // Where keys come in ascending order, this spares the walk (200,000 keys: a third of the time).
    const { entries } = this.#last;
    if (
      entries.length > 0 && entries.length < CAPACITY &&
      entries[entries.length - 1]!.compareKey(key) < 0
    ) {
      entries.push(entry);
      return;
    }
    const split = insertBelow(this.#root, entry, key);
    if (this.#last.next !== undefined) this.#last = this.#last.next;
    if (split === undefined) return;
    this.#root = new Inner([this.#root, split.node], [split.bound], [
      this.#liveCount - split.live,
      split.live,
    ]);
  }

  /** Takes an entry out; it must not be live. */
  remove(entry: KeyEntry): void {
    assert(entry.version === 0, "an entry is dead when it leaves the tree");
    const root = this.#root;
    removeBelow(root, entry, entry.key);
    if (root instanceof Inner && root.children.length === 1) {
      this.#root = root.children[0]!;
    }
    this.#last = this.#lastLeaf();
  }

  /** Tells that the entry has become live (1) or dead (-1). */
  addLive(entry: KeyEntry, delta: 1 | -1): void {
    this.#liveCount += delta;
    const { key } = entry;
    for (let node = this.#root; node instanceof Inner;) {
      const child = childOf(node, key);
      node.live[child] = node.live[child]! + delta;
      node = node.children[child]!;
    }
  }

  /** Live keys in [start, end); no `end`: to the last. Zero for an empty range. */
  countLive(start: Uint8Array, end: Uint8Array | undefined): number {
    const below = end === undefined ? this.#liveCount : this.#liveBelow(end);
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
        entries[stop - 1]!.compareKey(end) >= 0;
      if (isLast) stop = placeOf(entries, end);
      for (; at < stop; at++) if (!visit(entries[at]!)) return;
      if (isLast) return;
    }
  }

  /** Visits entries in [start, end) in descending order, as `ascend` does. */
  descend(
    start: Uint8Array,
    end: Uint8Array | undefined,
    visit: (entry: KeyEntry) => boolean,
  ): void {
    let leaf: Leaf | undefined = end === undefined
      ? this.#last
      : this.#leafOf(end);
    let at = end === undefined
      ? leaf.entries.length
      : placeOf(leaf.entries, end);
    while (leaf !== undefined) {
      const entries: KeyEntry[] = leaf.entries;
      const isLast = entries.length > 0 && entries[0]!.compareKey(start) <= 0;
      const stop = isLast ? placeOf(entries, start) : 0;
      while (--at >= stop) if (!visit(entries[at]!)) return;
      if (isLast) return;
      leaf = leaf.previous;
      if (leaf !== undefined) at = leaf.entries.length;
    }
  }

  /** Up to `max` entries behind `key`, or from the first. */
  after(key: Uint8Array | undefined, max: number): KeyEntry[] {
    const found: KeyEntry[] = [];
    let leaf: Leaf | undefined;
    let at = 0;
    if (key === undefined) leaf = this.#firstLeaf();
    else {
      leaf = this.#leafOf(key);
      at = placeOf(leaf.entries, key);
      if (leaf.entries[at]?.hasKey(key)) at++;
    }
    for (; leaf !== undefined; leaf = leaf.next, at = 0) {
      const entries: KeyEntry[] = leaf.entries;
      for (; at < entries.length; at++) {
        if (found.length >= max) return found;
        found.push(entries[at]!);
      }
    }
    return found;
  }

  /** Throws if an invariant does not hold; for tests. */
  check(): void {
    assert(
      checkBelow(this.#root, undefined, undefined, true) === this.#liveCount,
      "the tree's count is that of its nodes",
    );
    let previous: Leaf | undefined = undefined;
    let leaf: Leaf | undefined = this.#firstLeaf();
    for (; leaf !== undefined; leaf = leaf.next) {
      assert(leaf.previous === previous, "the leaves are linked both ways");
      previous = leaf;
    }
    assert(previous === this.#lastLeaf(), "the last leaf ends the list");
    assert(previous === this.#last, "the last leaf is known");
  }

  #firstLeaf(): Leaf {
    let node = this.#root;
    while (node instanceof Inner) node = node.children[0]!;
    return node;
  }

  #lastLeaf(): Leaf {
    let node = this.#root;
    while (node instanceof Inner) node = node.children[node.bounds.length]!;
    return node;
  }

  #leafOf(key: Uint8Array): Leaf {
    let node = this.#root;
    while (node instanceof Inner) node = node.children[childOf(node, key)]!;
    return node;
  }

  #liveBelow(key: Uint8Array): number {
    let node = this.#root;
    let inNode = this.#liveCount;
    let below = 0;
    while (node instanceof Inner) {
      const child = childOf(node, key);
      const { live } = node;
      for (let i = 0; i < child; i++) below += live[i]!;
      inNode = live[child]!;
      node = node.children[child]!;
    }
    const { entries } = node;
    const stop = placeOf(entries, key);
    // Mostly all keys are live or none is, and then the entries need not be looked at.
    if (inNode === entries.length) return below + stop;
    if (inNode === 0) return below;
    for (let i = 0; i < stop; i++) if (entries[i]!.version > 0) below++;
    return below;
  }
}

/** The place of the first entry whose key is not below `key`. */
function placeOf(entries: readonly KeyEntry[], key: Uint8Array): number {
  let low = 0;
  let high = entries.length;
  // Keys between two that share a prefix with `key` share it as well: it is compared once, not at each step.
  let lowCommon = 0;
  let highCommon = 0;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const known = lowCommon < highCommon ? lowCommon : highCommon;
    const common = entries[middle]!.commonPrefix(key, known);
    if (common < 0) {
      low = middle + 1;
      lowCommon = -1 - common;
    } else {
      high = middle;
      highCommon = common;
    }
  }
  return low;
}

/** The child whose keys surround `key`: the number of bounds that are not above it. */
function childOf(node: Inner, key: Uint8Array): number {
  const { bounds } = node;
  let low = 0;
  let high = bounds.length;
  let lowCommon = 0;
  let highCommon = 0;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const bound = bounds[middle]!;
    const n = bound.length < key.length ? bound.length : key.length;
    let i = lowCommon < highCommon ? lowCommon : highCommon;
    while (i < n && bound[i] === key[i]) i++;
    const isAbove = i < n ? bound[i]! > key[i]! : bound.length > key.length;
    if (isAbove) {
      high = middle;
      highCommon = i;
    } else {
      low = middle + 1;
      lowCommon = i;
    }
  }
  return low;
}

function insertBelow(
  node: Node,
  entry: KeyEntry,
  key: Uint8Array,
): Split | undefined {
  if (node instanceof Leaf) {
    const { entries } = node;
    const at = placeOf(entries, key);
    if (at === entries.length) entries.push(entry);
    else entries.splice(at, 0, entry);
    if (entries.length <= CAPACITY) return undefined;
    // Where keys come in ascending order, the full leaf stays full.
    return splitLeaf(node, at === CAPACITY ? CAPACITY : CAPACITY / 2);
  }
  const at = childOf(node, key);
  const split = insertBelow(node.children[at]!, entry, key);
  if (split === undefined) return undefined;
  node.children.splice(at + 1, 0, split.node);
  node.bounds.splice(at, 0, split.bound);
  node.live.splice(at, 1, node.live[at]! - split.live, split.live);
  if (node.children.length <= CAPACITY) return undefined;
  return splitInner(
    node,
    at + 1 === CAPACITY ? CAPACITY - INNER_TAIL : CAPACITY / 2,
  );
}

function splitLeaf(leaf: Leaf, half: number): Split {
  const node = new Leaf(leaf.entries.slice(half));
  leaf.entries = leaf.entries.slice(0, half);
  node.next = leaf.next;
  node.previous = leaf;
  if (leaf.next !== undefined) leaf.next.previous = node;
  leaf.next = node;
  return { bound: boundOf(leaf, node), node, live: liveOf(node.entries) };
}

function splitInner(inner: Inner, half: number): Split {
  const node = new Inner(
    inner.children.slice(half),
    inner.bounds.slice(half),
    inner.live.slice(half),
  );
  const bound = inner.bounds[half - 1]!;
  inner.children = inner.children.slice(0, half);
  inner.bounds = inner.bounds.slice(0, half - 1);
  inner.live = inner.live.slice(0, half);
  return { bound, node, live: sum(node.live) };
}

function removeBelow(node: Node, entry: KeyEntry, key: Uint8Array): void {
  if (node instanceof Leaf) {
    const at = placeOf(node.entries, key);
    assert(node.entries[at] === entry, "an entry to remove is in the tree");
    node.entries.splice(at, 1);
    return;
  }
  const at = childOf(node, key);
  const child = node.children[at]!;
  removeBelow(child, entry, key);
  if (sizeOf(child) < MIN_FILL) repair(node, at > 0 ? at - 1 : 0);
}

/** Makes one node of children `at` and `at + 1` if they are small, else two of about the same size. */
function repair(parent: Inner, at: number): void {
  const left = parent.children[at]!;
  const right = parent.children[at + 1]!;
  if (left instanceof Leaf) joinLeaves(left, right as Leaf);
  else joinInners(left, right as Inner, parent.bounds[at]!);
  const size = sizeOf(left);
  const live = parent.live[at]! + parent.live[at + 1]!;
  if (size <= JOIN_BELOW) {
    parent.children.splice(at + 1, 1);
    parent.bounds.splice(at, 1);
    parent.live.splice(at, 2, live);
    return;
  }
  const split = left instanceof Leaf
    ? splitLeaf(left, size >>> 1)
    : splitInner(left, size >>> 1);
  parent.children[at + 1] = split.node;
  parent.bounds[at] = split.bound;
  parent.live[at] = live - split.live;
  parent.live[at + 1] = split.live;
}

function joinLeaves(left: Leaf, right: Leaf): void {
  left.entries = left.entries.concat(right.entries);
  left.next = right.next;
  if (right.next !== undefined) right.next.previous = left;
}

function joinInners(left: Inner, right: Inner, bound: Uint8Array): void {
  left.children = left.children.concat(right.children);
  left.bounds = [...left.bounds, bound, ...right.bounds];
  left.live = left.live.concat(right.live);
}

function sizeOf(node: Node): number {
  return node instanceof Leaf ? node.entries.length : node.children.length;
}

function liveOf(entries: readonly KeyEntry[]): number {
  let live = 0;
  for (const entry of entries) if (entry.version > 0) live++;
  return live;
}

function sum(counts: readonly number[]): number {
  let total = 0;
  for (const count of counts) total += count;
  return total;
}

/** The shortest prefix of the right leaf's first key that is above the left one's last. */
function boundOf(left: Leaf, right: Leaf): Uint8Array {
  const first = right.entries[0]!.key;
  const last = left.entries[left.entries.length - 1]!;
  return first.slice(0, -1 - last.commonPrefix(first, 0) + 1);
}

/** Returns the live keys below the node. */
function checkBelow(
  node: Node,
  start: Uint8Array | undefined,
  end: Uint8Array | undefined,
  isRoot: boolean,
): number {
  if (node instanceof Inner) {
    const { children, bounds, live } = node;
    assert(children.length > 1, "an inner node has several children");
    assert(children.length <= CAPACITY, "an inner node is not too large");
    assert(bounds.length === children.length - 1, "a bound between children");
    assert(live.length === children.length, "a count for each child");
    children.forEach((child, i) => {
      const from = i === 0 ? start : bounds[i - 1];
      const to = i === bounds.length ? end : bounds[i];
      const below = checkBelow(child, from, to, false);
      assert(below === live[i], "a child's count is what is below it");
    });
    return sum(live);
  }
  const { entries } = node;
  assert(isRoot || entries.length > 0, "only the root may be empty");
  assert(entries.length <= CAPACITY, "a leaf is not too large");
  entries.forEach((entry, i) => {
    const before = i === 0 ? undefined : entries[i - 1]!;
    assert(
      before === undefined || before.compareKey(entry.key) < 0,
      "entries are in order",
    );
    assert(
      start === undefined || entry.compareKey(start) >= 0,
      "no key is below its leaf's bound",
    );
    assert(
      end === undefined || entry.compareKey(end) < 0,
      "all keys are below the next bound",
    );
  });
  return liveOf(entries);
}
