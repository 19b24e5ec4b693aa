import assert from "node:assert/strict";
import { AssertionError } from "../../../src/base/assert.ts";
import { compareBytes, EMPTY, text, utf8 } from "../../../src/base/bytes.ts";
import type { KeyEntry } from "../../../src/mvcc/key_entry.ts";
import { KeyIndex } from "../../../src/mvcc/key_index.ts";
import { Random, seeds } from "../../support/random.ts";

/** An index and, beside it, the plain truth: its entries in an array. */
class Model {
  readonly index = new KeyIndex();
  sorted: KeyEntry[] = [];
  #rev = 1;

  add(key: Uint8Array): KeyEntry {
    const known = this.sorted.find((e) => compareBytes(e.key, key) === 0);
    const entry = this.index.getOrCreate(key);
    if (known !== undefined) assert.equal(entry, known);
    else {
      this.sorted.push(entry);
      this.sorted.sort((a, b) => compareBytes(a.key, b.key));
    }
    return entry;
  }

  setLive(entry: KeyEntry, live: boolean): void {
    if (entry.isLive === live) return;
    const rev = ++this.#rev;
    entry.commit(rev, 0, live ? rev : 0, live ? 1 : 0, 0n, 0, 1);
    this.index.setLive(entry, live);
  }

  remove(entry: KeyEntry): void {
    this.setLive(entry, false);
    this.index.remove(entry);
    this.sorted = this.sorted.filter((other) => other !== entry);
  }

  between(start: Uint8Array, end: Uint8Array | undefined): KeyEntry[] {
    return this.sorted.filter(({ key }) =>
      compareBytes(key, start) >= 0 &&
      (end === undefined || compareBytes(key, end) < 0)
    );
  }

  checkRange(start: Uint8Array, end: Uint8Array | undefined): void {
    const expected = this.between(start, end);
    assert.equal(
      this.index.countLive(start, end),
      expected.filter((entry) => entry.isLive).length,
    );
    assert.deepEqual(names(ascending(this.index, start, end)), names(expected));
    assert.deepEqual(
      names(descending(this.index, start, end)),
      names(expected.reverse()),
    );
  }

  checkAll(): void {
    this.index.check();
    assert.equal(this.index.size, this.sorted.length);
    assert.equal(
      this.index.liveCount,
      this.sorted.filter((entry) => entry.isLive).length,
    );
    this.checkRange(EMPTY, undefined);
  }
}

function ascending(
  index: KeyIndex,
  start: Uint8Array,
  end: Uint8Array | undefined,
): KeyEntry[] {
  const found: KeyEntry[] = [];
  index.ascend(start, end, (entry) => found.push(entry) > 0);
  return found;
}

function descending(
  index: KeyIndex,
  start: Uint8Array,
  end: Uint8Array | undefined,
): KeyEntry[] {
  const found: KeyEntry[] = [];
  index.descend(start, end, (entry) => found.push(entry) > 0);
  return found;
}

function names(entries: readonly KeyEntry[]): string[] {
  return entries.map(({ key }) => Array.from(key).join(" "));
}

function numbered(n: number): Uint8Array {
  return utf8(`/registry/pods/default/${String(n).padStart(6, "0")}`);
}

/** Keys of 0 to 5 bytes of a few values: many share prefixes, and bytes above 0x7f try the sign. */
function randomKey(random: Random): Uint8Array {
  const bytes = [0x00, 0x61, 0x62, 0x7f, 0x80, 0xff];
  return Uint8Array.from({ length: random.int(6) }, () => random.pick(bytes));
}

Deno.test("KeyIndex.getOrCreate() copies the key, and makes an entry that is dead and in order", () => {
  const index = new KeyIndex();
  const key = utf8("b");
  const entry = index.getOrCreate(key);
  key[0] = 0x7a;
  assert.equal(text(entry.key), "b");
  assert.equal(index.get(utf8("b")), entry);
  assert.equal(index.get(utf8("z")), undefined);
  assert.equal(index.getOrCreate(utf8("b")), entry);
  assert.equal(entry.isLive, false);
  assert.equal(index.size, 1);
  assert.equal(index.liveCount, 0);
  assert.deepEqual(ascending(index, EMPTY, undefined), [entry]);
});

Deno.test("KeyIndex holds keys of every size, up to a megabyte and none at all", () => {
  const model = new Model();
  for (const n of [0, 1, 255, 256, 1023, 1024, 1025, 4096, 1 << 20]) {
    for (const last of [0x00, 0xff]) {
      const key = new Uint8Array(n).fill(0x61);
      if (n > 0) key[n - 1] = last;
      model.setLive(model.add(key), true);
      assert.deepEqual(model.index.get(key)!.key, key);
    }
  }
  model.checkAll();
});

Deno.test("KeyIndex.setLive() refuses what the entry itself does not say", () => {
  const index = new KeyIndex();
  const entry = index.getOrCreate(utf8("a"));
  assert.throws(() => index.setLive(entry, true), AssertionError);
  entry.commit(2, 0, 2, 1, 0n, 0, 1);
  assert.throws(() => index.setLive(entry, false), AssertionError);
});

Deno.test("KeyIndex.remove() refuses a live entry and one that is gone", () => {
  const model = new Model();
  const entry = model.add(utf8("a"));
  model.add(utf8("b"));
  model.setLive(entry, true);
  assert.throws(() => model.index.remove(entry), AssertionError);
  model.remove(entry);
  assert.throws(() => model.index.remove(entry), AssertionError);
  model.checkAll();
});

Deno.test("KeyIndex.remove() leaves views of the key what they were", () => {
  const model = new Model();
  const entries = Array.from(
    { length: 2000 },
    (_, n) => model.add(numbered(n)),
  );
  const views = entries.map(({ key }) => key);
  // All but every fiftieth: each block is given up, and what is left in it moves.
  for (let n = 0; n < 2000; n++) if (n % 50 !== 0) model.remove(entries[n]!);
  const blocks = new Set(model.sorted.map(({ keyBlock }) => keyBlock));
  assert.ok(blocks.size <= 2, `40 keys in ${blocks.size} blocks`);
  for (let n = 2000; n < 4000; n++) model.add(numbered(n));
  for (let n = 0; n < 2000; n++) {
    assert.deepEqual(views[n], numbered(n));
    assert.deepEqual(entries[n]!.key, numbered(n));
  }
  model.checkAll();
});

Deno.test("KeyIndex.remove() moves no key that came again elsewhere", () => {
  const model = new Model();
  const entries = Array.from(
    { length: 1000 },
    (_, n) => model.add(numbered(n)),
  );
  const first = entries[0]!.keyBlock;
  model.remove(entries[1]!);
  const again = model.add(numbered(1));
  const second = again.keyBlock;
  assert.notEqual(first, second);
  for (let n = 1000; n < 2000; n++) model.add(numbered(n));
  for (let n = 2; n < 1000; n++) {
    if (entries[n]!.keyBlock === first) model.remove(entries[n]!);
  }
  assert.notEqual(entries[0]!.keyBlock, first);
  assert.equal(again.keyBlock, second);
  model.checkAll();
});

Deno.test("KeyIndex.ascend() and descend() stop when told", () => {
  const index = new KeyIndex();
  for (let n = 0; n < 1000; n++) index.getOrCreate(numbered(n));
  for (const many of [1, 63, 64, 65, 128, 129]) {
    const up: string[] = [];
    index.ascend(numbered(300), undefined, ({ key }) => {
      return up.push(text(key)) < many;
    });
    assert.equal(up.length, many);
    assert.equal(up.at(-1), text(numbered(300 + many - 1)));
    const down: string[] = [];
    index.descend(EMPTY, numbered(300), ({ key }) => {
      return down.push(text(key)) < many;
    });
    assert.equal(down.length, many);
    assert.equal(down.at(-1), text(numbered(300 - many)));
  }
});

Deno.test("KeyIndex.ascendAfter() walks the whole index in slices while it changes", () => {
  const model = new Model();
  for (let n = 0; n < 1000; n += 2) model.add(numbered(n));
  const walked: string[] = [];
  let after: Uint8Array | undefined;
  for (;;) {
    const slice = model.index.ascendAfter(after, 37);
    walked.push(...slice.map(({ key }) => text(key)));
    if (slice.length < 37) break;
    after = slice.at(-1)!.key;
    // The last one goes, and so does one behind it; a new one comes before them.
    model.remove(slice.at(-1)!);
    model.add(utf8("/a" + walked.length));
  }
  const expected = Array.from({ length: 500 }, (_, i) => text(numbered(2 * i)));
  assert.deepEqual(walked, expected);
  assert.deepEqual(model.index.ascendAfter(undefined, 0), []);
  assert.deepEqual(model.index.ascendAfter(utf8("/z"), 5), []);
});

Deno.test("KeyIndex.countLive() follows keys that come in ascending and descending order, and go", () => {
  for (const step of [1, -1]) {
    const model = new Model();
    const order = Array.from(
      { length: 5000 },
      (_, i) => step > 0 ? i : 4999 - i,
    );
    const entries = new Map<number, KeyEntry>();
    const index = model.index;
    for (const n of order) {
      const entry = index.getOrCreate(numbered(n));
      entry.commit(2, 0, 2, 1, 0n, 0, 1);
      index.setLive(entry, true);
      entries.set(n, entry);
    }
    index.check();
    assert.equal(index.liveCount, 5000);
    assert.equal(index.countLive(numbered(10), numbered(4321)), 4311);
    assert.equal(index.countLive(numbered(4321), numbered(10)), 0);
    for (const n of order) {
      if (n % 3 !== 0) continue;
      const entry = entries.get(n)!;
      entry.commit(3, 0, 0, 0, 0n, 0, 1);
      index.setLive(entry, false);
      if (n % 2 === 0) index.remove(entry);
    }
    index.check();
    assert.equal(index.countLive(numbered(0), numbered(300)), 200);
    for (const entry of index.ascendAfter(undefined, Infinity)) {
      if (entry.isLive) {
        entry.commit(4, 0, 0, 0, 0n, 0, 1);
        index.setLive(entry, false);
      }
      index.remove(entry);
    }
    index.check();
    assert.equal(index.size, 0);
    assert.equal(index.countLive(EMPTY, undefined), 0);
  }
});

for (const seed of seeds(6)) {
  Deno.test(`KeyIndex agrees with a sorted array (seed ${seed})`, () => {
    const random = new Random(seed);
    const model = new Model();
    const key = () =>
      random.oneIn(3) ? randomKey(random) : numbered(random.int(700));
    for (let step = 0; step < 4000; step++) {
      // Grows to several levels, then shrinks to almost nothing, twice.
      const shrinks = Math.floor(step / 1000) % 2 === 1;
      if (model.sorted.length > 0 && random.oneIn(shrinks ? 1 : 6)) {
        model.remove(random.pick(model.sorted));
      } else if (model.sorted.length > 0 && random.oneIn(3)) {
        model.setLive(random.pick(model.sorted), random.oneIn(2));
      } else {
        const entry = model.add(key());
        if (!random.oneIn(4)) model.setLive(entry, true);
      }
      if (step % 40 === 0) {
        model.checkRange(key(), random.oneIn(5) ? undefined : key());
      }
      if (step % 250 === 0) model.checkAll();
    }
    while (model.sorted.length > 0) model.remove(random.pick(model.sorted));
    model.checkAll();
  });
}
