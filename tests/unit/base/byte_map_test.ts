import assert from "node:assert/strict";
import { ByteMap } from "../../../src/base/byte_map.ts";
import { EMPTY, text, utf8 } from "../../../src/base/bytes.ts";
import { Random, seeds } from "../../support/random.ts";

function contents(map: ByteMap<number>): [string, number][] {
  const found: [string, number][] = [];
  map.forEach((value, key) => found.push([text(key), value]));
  return found.sort();
}

Deno.test("ByteMap.get() tells keys apart by all their bytes", () => {
  const map = new ByteMap<number>();
  const keys = [EMPTY, [0], [0, 0], [0xff], [0xff, 0], [0, 0xff], [1, 2, 3, 4]];
  keys.forEach((key, i) => map.set(Uint8Array.from(key), i));
  assert.equal(map.size, keys.length);
  keys.forEach((key, i) => assert.equal(map.get(Uint8Array.from(key)), i));
  assert.equal(map.get(Uint8Array.of(1, 2, 3)), undefined);
  assert.equal(map.get(Uint8Array.of(1, 2, 3, 4, 0)), undefined);
});

Deno.test("ByteMap.set() replaces the value of a key that is there", () => {
  const map = new ByteMap<number>();
  map.set(utf8("a"), 1);
  map.set(utf8("a"), 2);
  assert.deepEqual(contents(map), [["a", 2]]);
  assert.equal(map.size, 1);
});

Deno.test("ByteMap.delete() says whether the key was there", () => {
  const map = new ByteMap<number>();
  map.set(utf8("a"), 1);
  assert.equal(map.delete(utf8("b")), false);
  assert.equal(map.delete(utf8("a")), true);
  assert.equal(map.delete(utf8("a")), false);
  assert.equal(map.size, 0);
});

Deno.test("ByteMap.clear() leaves a map that works", () => {
  const map = new ByteMap<number>();
  for (let i = 0; i < 100; i++) map.set(utf8(String(i)), i);
  map.clear();
  assert.equal(map.size, 0);
  assert.equal(map.get(utf8("7")), undefined);
  map.set(utf8("7"), 7);
  assert.deepEqual(contents(map), [["7", 7]]);
});

for (const seed of seeds(6)) {
  Deno.test(`ByteMap agrees with Map (seed ${seed})`, () => {
    const random = new Random(seed);
    const map = new ByteMap<number>();
    const model = new Map<string, number>();
    for (let step = 0; step < 6000; step++) {
      // Grows for a while, then shrinks: the table is as full as it gets, then full of places moved back.
      const shrinks = Math.floor(step / 1500) % 2 === 1;
      const key = `k${random.int(400)}`;
      if (random.oneIn(shrinks ? 1 : 5)) {
        assert.equal(map.delete(utf8(key)), model.delete(key));
      } else {
        map.set(utf8(key), step);
        model.set(key, step);
      }
      assert.equal(map.size, model.size);
      const other = `k${random.int(400)}`;
      assert.equal(map.get(utf8(other)), model.get(other));
    }
    assert.deepEqual(contents(map), [...model].sort());
  });
}
