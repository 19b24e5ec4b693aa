import assert from "node:assert/strict";
import { utf8 } from "../../../src/base/bytes.ts";
import { KeyEntry, VersionRef } from "../../../src/mvcc/key_entry.ts";
import { Random, seeds } from "../../support/random.ts";

/** A version as the tests write it: its revision; negative for a tombstone. */
type Mark = number;

function newEntry(name = "key"): KeyEntry {
  // Not at the beginning of its block, so that nobody gets away with forgetting where the key begins.
  const block = utf8(`xx${name}yy`);
  return new KeyEntry(block, 2, 2 + name.length, 7);
}

/** The address and the size that a version gets, told by its revision: addresses beyond 32 bits. */
const addressOf = (rev: number) => 2 ** 33 + rev * 1000;
const bytesOf = (rev: number) => rev + 100;

function commit(entry: KeyEntry, mark: Mark): void {
  const rev = Math.abs(mark);
  const version = mark < 0 ? 0 : entry.version + 1;
  entry.commit(rev, rev % 3, rev, version, 0n, addressOf(rev), bytesOf(rev));
}

function entryWith(marks: readonly Mark[]): KeyEntry {
  const entry = newEntry();
  for (const mark of marks) commit(entry, mark);
  return entry;
}

/** The versions that are left, by asking at each revision. */
function marksOf(entry: KeyEntry, upTo: number): Mark[] {
  const found: Mark[] = [];
  const ref = new VersionRef();
  for (let rev = 1; rev <= upTo; rev++) {
    if (!entry.versionBefore(rev, ref) || ref.rev !== rev) continue;
    assert.equal(ref.sub, rev % 3);
    assert.equal(ref.address, addressOf(rev));
    assert.equal(ref.recordBytes, bytesOf(rev));
    found.push(ref.deleted ? -rev : rev);
  }
  return found;
}

function compact(entry: KeyEntry, rev: number): number[] {
  const dropped: number[] = [];
  const isGone = entry.compact(rev, (rev, sub, address, recordBytes) => {
    assert.equal(sub, rev % 3);
    assert.equal(address, addressOf(rev));
    assert.equal(recordBytes, bytesOf(rev));
    dropped.push(rev);
  });
  assert.equal(isGone, entry.rev === 0);
  return dropped;
}

Deno.test("KeyEntry compares its key as unsigned bytes", () => {
  const entry = newEntry("bb");
  for (const below of ["", "a", "ba", "b", "bazzz"]) {
    assert.ok(entry.compareKey(utf8(below)) > 0, below);
    assert.equal(entry.hasKey(utf8(below)), false);
  }
  for (const above of ["bba", "bc", "c", "ÿ"]) {
    assert.ok(entry.compareKey(utf8(above)) < 0, above);
    assert.equal(entry.hasKey(utf8(above)), false);
  }
  assert.equal(entry.compareKey(utf8("bb")), 0);
  assert.equal(entry.hasKey(utf8("bb")), true);
  assert.deepEqual(entry.key, utf8("bb"));
});

Deno.test("KeyEntry.moveKey() keeps the key", () => {
  const entry = newEntry("abc");
  entry.moveKey(utf8("12345abc"), 5);
  assert.deepEqual(entry.key, utf8("abc"));
  assert.equal(entry.keyLength, 3);
});

Deno.test("KeyEntry.versionAt() finds nothing before the first version and at tombstones", () => {
  const entry = entryWith([3, 5, -7, 9]);
  const ref = new VersionRef();
  const seen = Array.from(
    { length: 10 },
    (_, rev) => entry.versionAt(rev + 1, ref) ? ref.rev : 0,
  );
  assert.deepEqual(seen, [0, 0, 3, 3, 5, 5, 0, 0, 9, 9]);
  assert.equal(newEntry().versionAt(10, ref), false);
  assert.equal(newEntry().versionBefore(10, ref), false);
});

Deno.test("KeyEntry.compact() keeps what etcd's key_index.go keeps in its example", () => {
  // put(1) put(2) tombstone(3) put(4) tombstone(5)
  const example = [1, 2, -3, 4, -5];
  const kept: Mark[][] = [
    [1, 2, -3, 4, -5],
    [2, -3, 4, -5],
    [-3, 4, -5],
    [4, -5],
    [-5],
    [],
  ];
  kept.forEach((marks, i) => {
    const entry = entryWith(example);
    const dropped = compact(entry, i + 1);
    assert.deepEqual(marksOf(entry, 9), marks, `compact(${i + 1})`);
    assert.deepEqual(
      dropped,
      example.map(Math.abs).filter((rev) => !marks.map(Math.abs).includes(rev)),
    );
  });
});

Deno.test("KeyEntry.compact() drops a tombstone that it had kept, the next time", () => {
  const entry = entryWith([3, -5]);
  assert.deepEqual(compact(entry, 5), [3]);
  assert.equal(entry.rev, 5);
  assert.deepEqual(compact(entry, 6), [5]);
  assert.equal(entry.rev, 0);
});

Deno.test("KeyEntry.compact() says that an entry without any version is gone", () => {
  assert.deepEqual(compact(newEntry(), 5), []);
});

Deno.test("KeyEntry.commit() after everything was compacted begins anew", () => {
  const entry = entryWith([3, -5]);
  compact(entry, 8);
  commit(entry, 9);
  assert.deepEqual(marksOf(entry, 10), [9]);
  assert.equal(entry.olderVersions, 0);
});

Deno.test("KeyEntry.relocate() moves the record of the one version at that revision", () => {
  const entry = entryWith([3, 5, 9]);
  entry.relocate(5, 50);
  entry.relocate(9, 90);
  entry.relocate(4, 40);
  entry.relocate(10, 100);
  assert.deepEqual(
    [2, 3, 4, 5, 9, 10].map((rev) => entry.addressAt(rev)),
    [undefined, addressOf(3), undefined, 50, 90, undefined],
  );
  assert.equal(entry.address, 90);
  assert.equal(newEntry().addressAt(0), undefined);
});

Deno.test("KeyEntry.forEachVersion() visits what is readable from the compact revision on", () => {
  const entry = entryWith([3, 5, -7, 9, 12]);
  const visited = (compactRev: number, rev: number) => {
    const found: number[] = [];
    entry.forEachVersion(compactRev, rev, (ref) => found.push(ref.rev));
    return found;
  };
  assert.deepEqual(visited(-1, 12), [3, 5, 7, 9, 12]);
  assert.deepEqual(visited(-1, 11), [3, 5, 7, 9]);
  assert.deepEqual(visited(5, 9), [5, 7, 9]);
  assert.deepEqual(visited(6, 9), [5, 7, 9]);
  assert.deepEqual(visited(7, 9), [9]);
  assert.deepEqual(visited(12, 12), [12]);
  assert.deepEqual(visited(-1, 2), []);
});

/** A random history: ascending revisions, tombstones only behind a live version. */
function randomMarks(random: Random, count: number): Mark[] {
  const marks: Mark[] = [];
  let rev = 1;
  let live = false;
  for (let i = 0; i < count; i++) {
    rev += 1 + random.int(3);
    live = !live || !random.oneIn(3);
    marks.push(live ? rev : -rev);
  }
  return marks;
}

for (const seed of seeds(20)) {
  Deno.test(`KeyEntry.compact() changes no read at or above its revision (seed ${seed})`, () => {
    const random = new Random(seed);
    const ref = new VersionRef();
    for (let round = 0; round < 60; round++) {
      const entry = newEntry();
      /** All versions ever, and those whose row is still there. */
      const all: Mark[] = [];
      const rows = new Set<number>();
      const marks = randomMarks(random, 1 + random.int(40));
      let compacted = -1;
      for (const mark of marks) {
        const last = all.length === 0 ? 1 : Math.abs(all.at(-1)!);
        if (random.oneIn(5) && last > compacted) {
          // Never above what is committed, as for the store.
          compacted += 1 + random.int(last - compacted);
          for (const rev of compact(entry, compacted)) {
            assert.ok(rows.delete(rev), "a row is dropped once");
          }
        }
        commit(entry, mark);
        all.push(mark);
        rows.add(Math.abs(mark));
        const now = Math.abs(mark);
        for (let rev = Math.max(1, compacted); rev <= now; rev++) {
          const version = all.findLast((mark) => Math.abs(mark) <= rev) ?? -1;
          const expected = version > 0 ? version : 0;
          const seen = entry.versionAt(rev, ref) ? ref.rev : 0;
          assert.equal(seen, expected, `at ${rev} after compact(${compacted})`);
          if (seen !== 0) assert.ok(rows.has(seen), `the row of ${seen}`);
        }
        // Rows that a watcher may still ask for, and none that nobody can.
        for (const mark of all) {
          const rev = Math.abs(mark);
          if (rev >= compacted) assert.ok(rows.has(rev), `row ${rev}`);
        }
        const below = [...rows].filter((rev) => rev < compacted);
        assert.ok(below.length <= 1, `${below} below ${compacted}`);
        assert.equal(entry.olderVersions, rows.size - 1);
      }
    }
  });
}
