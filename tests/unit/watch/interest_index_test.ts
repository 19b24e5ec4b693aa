import assert from "node:assert/strict";
import { utf8 } from "../../../src/base/bytes.ts";
import { keyRange } from "../../../src/mvcc/key_range.ts";
import { InterestIndex } from "../../../src/watch/interest_index.ts";
import { FakeEvent } from "./fake_history.ts";

const range = (key: string, end = "") => keyRange(utf8(key), utf8(end));
const put = (key: string) => new FakeEvent(2, 0, { key, value: "" }, undefined);

Deno.test("InterestIndex.acquire() knows each key and range once", () => {
  const index = new InterestIndex();
  const ranges = [
    range("a"),
    range("a", "\0"),
    range("a", "b"),
    range("a", "bb"),
    range("ab", "b"),
    range("", "ab"),
  ];
  const interests = ranges.map((r) => index.acquire(r));
  assert.equal(new Set(interests).size, ranges.length);
  assert.equal(index.size, ranges.length);
  assert.deepEqual(
    [
      range("a"),
      range("a", "\0"),
      range("a", "b"),
      range("a", "bb"),
      range("ab", "b"),
      range("", "ab"),
    ].map((r) => interests.indexOf(index.acquire(r))),
    [0, 1, 2, 3, 4, 5],
  );
});

Deno.test("InterestIndex.match() names each interest with synced watchers once, with its events in order", () => {
  const index = new InterestIndex();
  const single = index.acquire(range("b"));
  const wide = index.acquire(range("a", "c"));
  const idle = index.acquire(range("a", "\0"));
  const other = index.acquire(range("x"));
  for (const interest of [single, wide, other]) interest.syncedCount = 1;
  const events = [put("a"), put("b"), put("c"), put("b")];
  assert.deepEqual(new Set(index.match(events)), new Set([single, wide]));
  assert.deepEqual(single.matched, [events[1], events[3]]);
  assert.deepEqual(wide.matched, [events[0], events[1], events[3]]);
  assert.deepEqual(idle.matched, []);
});

Deno.test("InterestIndex.release() forgets a key or range", () => {
  const index = new InterestIndex();
  for (const r of [range("b"), range("a", "c"), range("a", "\0")]) {
    const interest = index.acquire(r);
    interest.syncedCount = 1;
    assert.equal(index.match([put("b")]).length, 1);
    interest.matched = [];
    index.release(interest);
    assert.equal(index.match([put("b")]).length, 0);
    assert.equal(index.size, 0);
    assert.notEqual(index.acquire(r), interest);
    index.release(index.acquire(r));
  }
});
