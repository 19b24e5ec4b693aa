import assert from "node:assert/strict";
import { EMPTY, utf8 } from "../../../src/base/bytes.ts";
import type { KeyEntry } from "../../../src/mvcc/key_entry.ts";
import { KeyIndex } from "../../../src/mvcc/key_index.ts";
import { LivenessJournal } from "../../../src/mvcc/liveness_journal.ts";
import { Random, seeds } from "../../support/random.ts";

const index = new KeyIndex();
const entryOf = (name: string): KeyEntry => index.getOrCreate(utf8(name));

Deno.test("LivenessJournal.adjustmentAfter() sums the changes after a revision in a range", () => {
  const journal = new LivenessJournal(100);
  journal.add(2, entryOf("a"), 1);
  journal.add(3, entryOf("b"), 1);
  journal.add(3, entryOf("c"), 1);
  journal.add(5, entryOf("b"), -1);
  assert.equal(journal.changesAfter(1), 4);
  assert.equal(journal.changesAfter(2), 3);
  assert.equal(journal.changesAfter(5), 0);
  assert.equal(journal.adjustmentAfter(1, EMPTY, undefined), 2);
  assert.equal(journal.adjustmentAfter(2, EMPTY, undefined), 1);
  assert.equal(journal.adjustmentAfter(2, utf8("b"), utf8("c")), 0);
  assert.equal(journal.adjustmentAfter(2, utf8("c"), undefined), 1);
  assert.equal(journal.adjustmentAfter(3, utf8("a"), utf8("c")), -1);
  assert.equal(journal.adjustmentAfter(5, EMPTY, undefined), 0);
});

Deno.test("LivenessJournal.trim() forgets changes up to a revision, and says so", () => {
  const journal = new LivenessJournal(100);
  for (let rev = 2; rev < 10; rev++) journal.add(rev, entryOf("a"), 1);
  journal.trim(5);
  assert.equal(journal.changesAfter(4), undefined);
  assert.equal(journal.changesAfter(5), 4);
  journal.trim(3);
  assert.equal(journal.changesAfter(4), undefined);
  assert.equal(journal.changesAfter(5), 4);
});

Deno.test("LivenessJournal forgets the older half beyond its bound, whole revisions at a time", () => {
  const journal = new LivenessJournal(8);
  for (let rev = 2; rev < 10; rev++) journal.add(rev, entryOf("a"), 1);
  assert.equal(journal.changesAfter(1), 8);
  journal.add(10, entryOf("a"), -1);
  assert.equal(journal.changesAfter(5), undefined);
  assert.equal(journal.changesAfter(6), 4);
  // A revision that does not fit is not there in part.
  for (let i = 0; i < 20; i++) journal.add(11, entryOf("b"), 1);
  assert.equal(journal.changesAfter(10), undefined);
  assert.equal(journal.changesAfter(11), 0);
});

for (const seed of seeds(6)) {
  Deno.test(`LivenessJournal counts the past as it was (seed ${seed})`, () => {
    const random = new Random(seed);
    const journal = new LivenessJournal(60);
    const names = ["a", "aa", "ab", "b", "c"];
    /** states[rev]: the live names at that revision. */
    const states: Set<string>[] = [new Set(), new Set()];
    for (let rev = 2; rev < 300; rev++) {
      const state = new Set(states[rev - 1]);
      for (const name of names) {
        if (!random.oneIn(3)) continue;
        const isBorn = !state.delete(name);
        if (isBorn) state.add(name);
        journal.add(rev, entryOf(name), isBorn ? 1 : -1);
      }
      states.push(state);
      if (random.oneIn(40)) journal.trim(rev - random.int(20));
      const past = 1 + random.int(rev);
      const [start, end] = [random.pick(names), random.pick(names)];
      const within = (at: number) =>
        [...states[at]!].filter((n) => n >= start && n < end).length;
      if (journal.changesAfter(past) === undefined) continue;
      assert.equal(
        within(rev) - journal.adjustmentAfter(past, utf8(start), utf8(end)),
        within(past),
        `at ${past} of ${rev}`,
      );
    }
    assert.equal(journal.changesAfter(299), 0);
    assert.equal(journal.changesAfter(1), undefined);
  });
}
