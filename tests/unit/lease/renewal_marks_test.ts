import assert from "node:assert/strict";
import { StateKind } from "../../../src/backend/state_change.ts";
import {
  decodeLeaseRecord,
  encodeLeaseRecord,
} from "../../../src/lease/lease_record.ts";
import type { LeaseStore, LeaseTx } from "../../../src/lease/lease_store.ts";
import { LeaseTable } from "../../../src/lease/lease_table.ts";
import { RenewalMarks } from "../../../src/lease/renewal_marks.ts";
import { leaseStateKey } from "../../../src/mvcc/lease_book.ts";
import { FakeClock } from "../../support/fake_clock.ts";

/** A store that evaluates at once and answers when it is told to. */
class SlowStore implements LeaseStore {
  readonly currentRevision = 1;
  readonly written: (Uint8Array | undefined)[] = [];
  readonly answers: (() => void)[] = [];
  pending: Uint8Array | undefined | null = null;

  write<T>(
    evaluate: (tx: LeaseTx) => T,
  ): Promise<{ result: T; revision: number }> {
    const result = evaluate({
      deleteKey: () => assert.fail("renewals delete nothing"),
      putState: (kind, _key, value) => {
        assert.equal(kind, StateKind.Lease);
        this.written.push(value);
      },
      pendingState: () => this.pending,
      hasLease: () => true,
      keysOfLease: () => [],
    });
    return new Promise((resolve) =>
      this.answers.push(() => resolve({ result, revision: 1 }))
    );
  }
}

function setUp(isRenewing = false) {
  const clock = new FakeClock();
  const table = new LeaseTable({ leaseAdded() {}, leaseRemoved() {} });
  const record = { ttlSeconds: 10, deadlineWallMs: clock.wallMs(), isRenewing };
  table.apply(leaseStateKey(1n), encodeLeaseRecord(record));
  const store = new SlowStore();
  return { store, marks: new RenewalMarks(store, table, clock), record };
}

async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await undefined;
}

Deno.test("RenewalMarks.set() shares a write that waits, never one that is under way", async () => {
  const { store, marks } = setUp();
  const first = marks.set(1n);
  assert.equal(marks.set(1n), first);
  await turns();
  assert.equal(store.answers.length, 1);
  const second = marks.set(1n);
  assert.notEqual(second, first);
  await turns();
  assert.equal(store.answers.length, 1, "one write at a time");
  store.answers[0]!();
  assert.equal(await first, 10);
  await turns();
  assert.equal(store.answers.length, 2);
  store.answers[1]!();
  assert.equal(await second, 10);
});

Deno.test("RenewalMarks.set() writes nothing for a lease that is marked", async () => {
  const { store, marks } = setUp(true);
  const answer = marks.set(1n);
  await turns();
  assert.deepEqual(store.written, []);
  store.answers[0]!();
  assert.equal(await answer, 10);
});

Deno.test("RenewalMarks.set() goes by what the batch makes of the record", async () => {
  const { store, marks, record } = setUp(true);
  store.pending = encodeLeaseRecord({ ...record, isRenewing: false });
  const cleared = marks.set(1n);
  await turns();
  assert.equal(store.written.length, 1);
  assert.equal(decodeLeaseRecord(store.written[0]!).isRenewing, true);
  store.answers[0]!();
  assert.equal(await cleared, 10);

  store.pending = undefined;
  const removed = marks.set(1n);
  await turns();
  store.answers[1]!();
  assert.equal(await removed, 0);
  assert.equal(store.written.length, 1);
});

Deno.test("RenewalMarks.set() of an unknown lease is 0", async () => {
  const { store, marks } = setUp();
  const answer = marks.set(2n);
  await turns();
  store.answers[0]!();
  assert.equal(await answer, 0);
});
