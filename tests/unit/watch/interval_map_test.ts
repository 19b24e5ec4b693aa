import assert from "node:assert/strict";
import { compareBytes, EMPTY, utf8 } from "../../../src/base/bytes.ts";
import { IntervalMap } from "../../../src/watch/interval_map.ts";
import { Random, seeds } from "../../support/random.ts";

interface Held {
  start: Uint8Array;
  end: Uint8Array | undefined;
  value: number;
}

function stab(map: IntervalMap<number>, key: Uint8Array): number[] {
  const found: number[] = [];
  map.stab(key, (value) => found.push(value));
  return found.sort((a, b) => a - b);
}

function linear(held: readonly Held[], key: Uint8Array): number[] {
  return held
    .filter(({ start, end }) =>
      compareBytes(start, key) <= 0 &&
      (end === undefined || compareBytes(key, end) < 0)
    )
    .map(({ value }) => value)
    .sort((a, b) => a - b);
}

/** Few letters, so that prefixes, equal bounds and empty strings are frequent; 0x80 and 0xff try the sign. */
function randomKey(random: Random): Uint8Array {
  const bytes = [0x00, 0x61, 0x62, 0x80, 0xff];
  return Uint8Array.from({ length: random.int(4) }, () => random.pick(bytes));
}

Deno.test("IntervalMap.stab() includes the start and excludes the end", () => {
  const map = new IntervalMap<number>();
  map.insert(utf8("b"), utf8("d"), 1);
  assert.deepEqual(stab(map, utf8("a")), []);
  assert.deepEqual(stab(map, utf8("azz")), []);
  assert.deepEqual(stab(map, utf8("b")), [1]);
  assert.deepEqual(stab(map, utf8("czz")), [1]);
  assert.deepEqual(stab(map, utf8("d")), []);
});

Deno.test("IntervalMap.stab() finds a range without an upper bound", () => {
  const map = new IntervalMap<number>();
  map.insert(utf8("b"), undefined, 1);
  map.insert(EMPTY, undefined, 2);
  map.insert(utf8("a"), utf8("c"), 3);
  assert.deepEqual(stab(map, EMPTY), [2]);
  assert.deepEqual(stab(map, utf8("b")), [1, 2, 3]);
  assert.deepEqual(stab(map, Uint8Array.of(0xff, 0xff)), [1, 2]);
});

Deno.test("IntervalMap.stab() never finds an empty range", () => {
  const map = new IntervalMap<number>();
  map.insert(utf8("b"), utf8("b"), 1);
  map.insert(utf8("c"), utf8("a"), 2);
  for (const key of ["a", "b", "c", "d"]) {
    assert.deepEqual(stab(map, utf8(key)), []);
  }
  assert.equal(map.remove(utf8("b"), utf8("b"), 1), true);
  assert.equal(map.remove(utf8("c"), utf8("a"), 2), true);
  assert.equal(map.size, 0);
});

Deno.test("IntervalMap.insert() holds a pair of range and value once", () => {
  const map = new IntervalMap<number>();
  map.insert(utf8("a"), utf8("b"), 1);
  map.insert(utf8("a"), utf8("b"), 1);
  map.insert(utf8("a"), utf8("b"), 2);
  map.insert(utf8("a"), undefined, 1);
  assert.equal(map.size, 3);
  assert.deepEqual(stab(map, utf8("a")), [1, 1, 2]);
});

Deno.test("IntervalMap.remove() takes the one value from the one range", () => {
  const map = new IntervalMap<number>();
  map.insert(utf8("a"), utf8("c"), 1);
  map.insert(utf8("a"), utf8("c"), 2);
  map.insert(utf8("a"), utf8("d"), 1);
  assert.equal(map.remove(utf8("a"), utf8("c"), 3), false);
  assert.equal(map.remove(utf8("a"), utf8("b"), 1), false);
  assert.equal(map.remove(utf8("a"), undefined, 1), false);
  assert.equal(map.remove(utf8("a"), utf8("c"), 1), true);
  assert.equal(map.remove(utf8("a"), utf8("c"), 1), false);
  assert.equal(map.size, 2);
  assert.deepEqual(stab(map, utf8("b")), [1, 2]);
  assert.deepEqual(stab(map, utf8("c")), [1]);
});

Deno.test("IntervalMap.stab() looks at few of 10,000 ranges in ascending order", () => {
  const map = new IntervalMap<number>();
  let reads = 0;
  // Counts the comparisons: each begins by reading the first byte of a bound.
  const counted = (bytes: Uint8Array) =>
    new Proxy(bytes, {
      get: (target, name) => {
        if (name === "0") reads++;
        const value = Reflect.get(target, name, target);
        return value;
      },
    });
  const bound = (n: number) => Uint8Array.of(n >> 8, n & 0xff);
  for (let i = 0; i < 10_000; i++) {
    map.insert(counted(bound(i)), counted(bound(i + 1)), i);
  }
  reads = 0;
  assert.deepEqual(stab(map, bound(7777)), [7777]);
  assert.ok(reads < 100, `${reads} comparisons`);
  reads = 0;
  for (let i = 0; i < 9_999; i++) map.remove(bound(i), bound(i + 1), i);
  assert.ok(reads / 10_000 < 250, `${reads} comparisons for all removals`);
  assert.deepEqual(stab(map, bound(9_999)), [9_999]);
  assert.deepEqual(stab(map, bound(7777)), []);
});

for (const seed of seeds(8)) {
  Deno.test(`IntervalMap agrees with a list of ranges (seed ${seed})`, () => {
    const random = new Random(seed);
    const map = new IntervalMap<number>();
    let held: Held[] = [];
    for (let step = 0; step < 1500; step++) {
      // Phases of growth and of shrinking, so that both shapes of the tree are seen.
      const shrinks = Math.floor(step / 250) % 2 === 1;
      if (held.length > 0 && random.oneIn(shrinks ? 1 : 4)) {
        const gone = random.pick(held);
        assert.equal(map.remove(gone.start, gone.end, gone.value), true);
        held = held.filter((other) => other !== gone);
      } else {
        const start = randomKey(random);
        const end = random.oneIn(6) ? undefined : randomKey(random);
        const value = random.int(3);
        const isHeld = held.some((other) =>
          other.value === value && compareBytes(other.start, start) === 0 &&
          (end === undefined || other.end === undefined
            ? end === other.end
            : compareBytes(end, other.end) === 0)
        );
        map.insert(start, end, value);
        if (!isHeld) held.push({ start, end, value });
      }
      assert.equal(map.size, held.length);
      map.check();
      const key = randomKey(random);
      assert.deepEqual(stab(map, key), linear(held, key));
    }
  });
}
