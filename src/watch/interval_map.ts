import { assert } from "../base/assert.ts";
import { compareBytes } from "../base/bytes.ts";

/**
 * Which ranges contain a key: values under half-open ranges [start, end) of byte strings.
 *
 * An AVL tree of the distinct ranges, ordered by start and then by end, in which each node knows the
 * largest end below it: a subtree that ends before the key is skipped as a whole, and so is everything
 * that begins behind it. Inserting and removing cost O(log n) for n distinct ranges, whatever the number
 * of values under each; a look-up costs O(log n) for each range that it finds, and O(log n) if it finds none.
 *
 * The arrays are kept, not copied, and must not change. An empty range is held but contains no key.
 *
 * Invariants: every node holds at least one value; the heights of its two subtrees differ by one at most.
 */
export class IntervalMap<V> {
  #root: Node<V> | undefined = undefined;
  #size = 0;

  /** Pairs of a range and a value. */
  get size(): number {
    return this.#size;
  }

  /** Puts `value` under a range; `end` undefined: no upper bound. The same pair again changes nothing. */
  insert(start: Uint8Array, end: Uint8Array | undefined, value: V): void {
    const node = this.#find(start, end);
    if (node === undefined) {
      this.#root = insertNode(this.#root, new Node(start, end, value));
      this.#size++;
      return;
    }
    const before = node.values.size;
    node.values.add(value);
    this.#size += node.values.size - before;
  }

  /** Takes `value` from under a range; false if it was not there. */
  remove(start: Uint8Array, end: Uint8Array | undefined, value: V): boolean {
    const node = this.#find(start, end);
    if (node === undefined || !node.values.delete(value)) return false;
    this.#size--;
    if (node.values.size === 0) this.#root = removeNode(this.#root!, node);
    return true;
  }

  /** Calls `visit` with each value whose range contains `key`, in no particular order. The map must not change meanwhile. */
  stab(key: Uint8Array, visit: (value: V) => void): void {
    stabBelow(this.#root, key, visit);
  }

  /** Throws if an invariant does not hold; for tests. */
  check(): void {
    assert(checkBelow(this.#root) === this.#size, "all pairs are counted");
  }

  #find(start: Uint8Array, end: Uint8Array | undefined): Node<V> | undefined {
    let node = this.#root;
    while (node !== undefined) {
      const order = compareRanges(start, end, node);
      if (order === 0) return node;
      node = order < 0 ? node.left : node.right;
    }
    return undefined;
  }
}

/** One range with its values. */
class Node<V> {
  left: Node<V> | undefined = undefined;
  right: Node<V> | undefined = undefined;
  height = 1;
  /** The largest end here and below; undefined: one has no upper bound. */
  maxEnd: Uint8Array | undefined;
  readonly values: Set<V>;

  constructor(
    readonly start: Uint8Array,
    readonly end: Uint8Array | undefined,
    value: V,
  ) {
    this.maxEnd = end;
    this.values = new Set([value]);
  }
}

function stabBelow<V>(
  node: Node<V> | undefined,
  key: Uint8Array,
  visit: (value: V) => void,
): void {
  while (node !== undefined && isBelow(key, node.maxEnd)) {
    stabBelow(node.left, key, visit);
    if (compareBytes(key, node.start) < 0) return;
    if (isBelow(key, node.end)) node.values.forEach(visit);
    node = node.right;
  }
}

/** Whether `key` is below an end, which all keys are if there is none. */
function isBelow(key: Uint8Array, end: Uint8Array | undefined): boolean {
  return end === undefined || compareBytes(key, end) < 0;
}

function compareEnds(
  a: Uint8Array | undefined,
  b: Uint8Array | undefined,
): number {
  if (a === undefined) return b === undefined ? 0 : 1;
  return b === undefined ? -1 : compareBytes(a, b);
}

function compareRanges<V>(
  start: Uint8Array,
  end: Uint8Array | undefined,
  node: Node<V>,
): number {
  return compareBytes(start, node.start) || compareEnds(end, node.end);
}

/** The tree with `added`, whose range it does not hold yet. */
function insertNode<V>(tree: Node<V> | undefined, added: Node<V>): Node<V> {
  if (tree === undefined) return added;
  if (compareRanges(added.start, added.end, tree) < 0) {
    tree.left = insertNode(tree.left, added);
  } else tree.right = insertNode(tree.right, added);
  return balance(tree);
}

/** The tree without `gone`, which it holds. */
function removeNode<V>(tree: Node<V>, gone: Node<V>): Node<V> | undefined {
  if (tree === gone) {
    const { left, right } = tree;
    if (left === undefined) return right;
    if (right === undefined) return left;
    const first = firstOf(right);
    first.right = withoutFirst(right);
    first.left = left;
    return balance(first);
  }
  if (compareRanges(gone.start, gone.end, tree) < 0) {
    tree.left = removeNode(tree.left!, gone);
  } else tree.right = removeNode(tree.right!, gone);
  return balance(tree);
}

function firstOf<V>(tree: Node<V>): Node<V> {
  while (tree.left !== undefined) tree = tree.left;
  return tree;
}

function withoutFirst<V>(tree: Node<V>): Node<V> | undefined {
  if (tree.left === undefined) return tree.right;
  tree.left = withoutFirst(tree.left);
  return balance(tree);
}

/** Restores the invariant at `node`, whose subtrees hold it and whose heights differ by two at most; returns the new top. */
function balance<V>(node: Node<V>): Node<V> {
  const lean = heightOf(node.left) - heightOf(node.right);
  if (lean > 1) {
    const left = node.left!;
    if (heightOf(left.left) < heightOf(left.right)) {
      node.left = rotateLeft(left);
    }
    return rotateRight(node);
  }
  if (lean < -1) {
    const right = node.right!;
    if (heightOf(right.right) < heightOf(right.left)) {
      node.right = rotateRight(right);
    }
    return rotateLeft(node);
  }
  update(node);
  return node;
}

function rotateLeft<V>(node: Node<V>): Node<V> {
  const top = node.right!;
  node.right = top.left;
  top.left = node;
  update(node);
  update(top);
  return top;
}

function rotateRight<V>(node: Node<V>): Node<V> {
  const top = node.left!;
  node.left = top.right;
  top.right = node;
  update(node);
  update(top);
  return top;
}

function heightOf<V>(node: Node<V> | undefined): number {
  return node === undefined ? 0 : node.height;
}

/** Computes again what a node knows of those below it. */
function update<V>(node: Node<V>): void {
  const { left, right } = node;
  node.height = 1 + Math.max(heightOf(left), heightOf(right));
  let max = node.end;
  if (left !== undefined && compareEnds(left.maxEnd, max) > 0) {
    max = left.maxEnd;
  }
  if (right !== undefined && compareEnds(right.maxEnd, max) > 0) {
    max = right.maxEnd;
  }
  node.maxEnd = max;
}

/** Returns the number of values at and below the node. */
function checkBelow<V>(node: Node<V> | undefined): number {
  if (node === undefined) return 0;
  const { left, right, height, maxEnd, values } = node;
  const size = checkBelow(left) + values.size + checkBelow(right);
  assert(
    Math.abs(heightOf(left) - heightOf(right)) <= 1,
    "the subtrees are about equally high",
  );
  assert(values.size > 0, "a range is there for its values");
  assert(
    left === undefined || compareRanges(left.start, left.end, node) < 0,
    "the left range is below",
  );
  assert(
    right === undefined || compareRanges(right.start, right.end, node) > 0,
    "the right range is above",
  );
  update(node);
  assert(node.height === height, "the height is up to date");
  assert(compareEnds(node.maxEnd, maxEnd) === 0, "the end is up to date");
  return size;
}
