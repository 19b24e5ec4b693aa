import assert from "node:assert/strict";
import { AssertionError } from "../../../src/base/assert.ts";
import { type HeapItem, IndexedHeap } from "../../../src/base/heap.ts";
import { Random, seeds } from "../../support/random.ts";

interface Job extends HeapItem {
  due: number;
}

function job(due: number): Job {
  return { due, heapIndex: -1 };
}

function newHeap(): IndexedHeap<Job> {
  return new IndexedHeap<Job>((a, b) => a.due < b.due);
}

Deno.test("IndexedHeap.pop() gives items in order and undefined at the end", () => {
  const heap = newHeap();
  for (const due of [5, 1, 4, 1, 3]) heap.push(job(due));
  const popped = [];
  for (let next = heap.pop(); next !== undefined; next = heap.pop()) {
    assert.equal(next.heapIndex, -1);
    popped.push(next.due);
  }
  assert.deepEqual(popped, [1, 1, 3, 4, 5]);
  assert.equal(heap.peek(), undefined);
});

Deno.test("IndexedHeap.push() refuses an item that is in a heap already", () => {
  const heap = newHeap();
  const item = job(1);
  heap.push(item);
  assert.throws(() => heap.push(item), AssertionError);
  assert.throws(() => newHeap().push(item), AssertionError);
});

Deno.test("IndexedHeap.update() refuses an item that is not in the heap", () => {
  assert.throws(() => newHeap().update(job(1)), AssertionError);
});

Deno.test("IndexedHeap.remove() tells whether the item was in", () => {
  const heap = newHeap();
  const [a, b] = [job(1), job(2)];
  heap.push(a);
  assert.equal(heap.remove(b), false);
  assert.equal(heap.remove(a), true);
  assert.equal(heap.remove(a), false);
  assert.equal(heap.size, 0);
});

Deno.test("IndexedHeap.clear() lets items go, so that they can be pushed again", () => {
  const heap = newHeap();
  const items = [job(2), job(1)];
  for (const item of items) heap.push(item);
  heap.clear();
  assert.equal(heap.size, 0);
  for (const item of items) heap.push(item);
  assert.equal(heap.peek(), items[1]);
});

Deno.test("IndexedHeap keeps its order under random pushes, moves and removals", () => {
  for (const seed of seeds(3)) playRandomly(new Random(seed));
});

function playRandomly(random: Random): void {
  const label = `seed ${random.seed}`;
  const heap = newHeap();
  const model = new Set<Job>();
  for (let step = 0; step < 2000; step++) {
    const items = [...model];
    const some = items[random.int(items.length || 1)];
    const choice = random.int(10);
    if (choice < 4 || some === undefined) {
      const item = job(random.int(100));
      heap.push(item);
      model.add(item);
    } else if (choice < 7) {
      some.due = random.int(100);
      heap.update(some);
    } else if (choice < 9) {
      assert.equal(heap.remove(some), true, label);
      model.delete(some);
    } else {
      const first = heap.pop()!;
      assert.ok(model.delete(first), label);
      for (const other of model) {
        assert.ok(other.due >= first.due, label);
      }
    }
    const least = Math.min(...[...model].map((item) => item.due));
    assert.equal(heap.peek()?.due ?? Infinity, least, label);
    assert.equal(heap.size, model.size, label);
    for (const item of model) assert.ok(heap.has(item), label);
  }
}
