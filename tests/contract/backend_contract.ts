import assert from "node:assert/strict";
import {
  type Backend,
  BackendError,
  type Batch,
  type Head,
  type LoadSink,
  type RowId,
} from "../../src/backend/backend.ts";
import { type StateChange, StateKind } from "../../src/backend/state_change.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { batchOf, makeBatch, type Row, rowsOf } from "../support/batches.ts";

/** How the suite gets at a driver. */
export interface BackendFixture {
  /** A backend on an empty store, not yet opened. */
  create(): Backend;
  /** A second one on the same store after `backend` was closed; undefined if nothing outlives it. */
  reopen?(backend: Backend): Backend;
  /** Space comes back when the engine thinks fit, and `defragment` does nothing. */
  readonly compactsItself?: boolean;
  /** Removes what `create` made; every backend is closed by then. */
  cleanUp(): void | Promise<void>;
}

/** Runs the suite that every driver passes. */
export function testBackend(name: string, makeFixture: () => BackendFixture) {
  const test = (
    behaviour: string,
    run: (backend: Backend, fixture: BackendFixture) => Promise<void>,
  ) => {
    Deno.test(`${name}: ${behaviour}`, async () => {
      const fixture = makeFixture();
      const backend = fixture.create();
      try {
        await run(backend, fixture);
      } finally {
        await backend.close();
        await fixture.cleanUp();
      }
    });
  };

  test("open() of an empty store is at seq 0, revision 1", async (backend) => {
    assert.deepEqual(place(await backend.open()), { seq: 0, revision: 1 });
    assert.deepEqual(place(await backend.head()), { seq: 0, revision: 1 });
    assert.deepEqual(await loadAll(backend), { state: [], rows: [] });
    assert.deepEqual(await backend.batchesAfter(0, 10), []);
    assert.deepEqual(rowsOf(await backend.eventsAfter(0, 1000)), []);
  });

  test("append() moves the head and keeps every column", async (backend) => {
    await backend.open();
    const rows = oddRows();
    const batch = batchOf({ seq: 1, afterRev: 1 }, rows);
    assert.equal(await backend.append(batch), "committed");
    assert.deepEqual(place(await backend.head()), {
      seq: 1,
      revision: rows.at(-1)!.rev,
    });
    assert.deepEqual(rowsOf(await backend.eventsAfter(1, 1e9)), rows);
    assert.deepEqual((await loadAll(backend)).rows, rows);
  });

  test("append() keeps records byte for byte", async (backend) => {
    await backend.open();
    const batch = batchOf({ seq: 1, afterRev: 1 }, oddRows());
    const block = batch.rows.slice();
    await backend.append(batch);
    assert.deepEqual(
      new Uint8Array(await backend.eventsAfter(1, 1e9)),
      block,
    );
  });

  test("append() of a batch of state alone keeps the revision", async (backend) => {
    await backend.open();
    const change = { kind: StateKind.Lease, key: utf8("l"), value: utf8("v") };
    const batch = batchOf({ seq: 1, afterRev: 1 }, [], [change]);
    assert.equal(batch.firstRev, batch.lastRev + 1);
    assert.equal(await backend.append(batch), "committed");
    assert.deepEqual(place(await backend.head()), { seq: 1, revision: 1 });
    const [found] = await backend.batchesAfter(0, 10);
    assert.deepEqual(plainState(found!.state), plainState([change]));
    assert.equal(found!.rows.length, 0);
  });

  test("append() at a taken seq is a conflict and changes nothing", async (backend) => {
    await backend.open();
    const mine = makeBatch(1, 1, { rows: 2 });
    assert.equal(await backend.append(mine), "committed");
    assert.equal(await backend.append(makeBatch(1, 1)), "conflict");
    assert.deepEqual(place(await backend.head()), { seq: 1, revision: 3 });
    assert.equal(rowsOf(await backend.eventsAfter(0, 1e9)).length, 2);
  });

  test("append() of a batch that is there already says committed, once", async (backend) => {
    await backend.open();
    const batch = makeBatch(1, 1);
    const again = { ...batch, id: batch.id.slice(), rows: batch.rows.slice() };
    await backend.append(batch);
    assert.equal(await backend.append(again), "committed");
    assert.equal(rowsOf(await backend.eventsAfter(0, 1e9)).length, 1);
  });

  test("append() refuses to leave a gap", async (backend) => {
    await backend.open();
    await backend.append(makeBatch(1, 1));
    await assert.rejects(backend.append(makeBatch(3, 2)), BackendError);
    assert.equal((await backend.head()).seq, 1);
    assert.equal(await backend.append(makeBatch(2, 2)), "committed");
  });

  test("append() at a trimmed seq is a conflict", async (backend) => {
    await backend.open();
    for (let seq = 1; seq <= 3; seq++) {
      await backend.append(makeBatch(seq, seq));
    }
    await backend.trimBatches(3);
    assert.equal(await backend.append(makeBatch(1, 1)), "conflict");
    assert.deepEqual(place(await backend.head()), { seq: 3, revision: 4 });
  });

  test("append() takes a batch bigger than any buffer", async (backend) => {
    await backend.open();
    const deletes = 100_000;
    await backend.append(makeBatch(1, 1, { deletes }));
    await backend.append(makeBatch(2, 2, { rows: 3, valueBytes: 2_000_000 }));
    const rows = rowsOf(await backend.eventsAfter(1, 1));
    assert.equal(rows.length, deletes);
    assert.equal(rows.at(-1)!.sub, deletes - 1);
    const [first, second] = await backend.batchesAfter(0, 2);
    assert.equal(rowsOf(first!.rows).length, deletes);
    const put = rowsOf(second!.rows).at(-1)!.put!;
    assert.equal(put.value.length, 2_000_000);
    assert.equal(put.value[1_999_999], (2 + 1_999_999) & 0xff);
  });

  test("append() of several at once commits them in order", async (backend) => {
    await backend.open();
    const outcomes = await Promise.all(
      [1, 2, 3, 4].map((seq) => backend.append(makeBatch(seq, seq))),
    );
    assert.deepEqual(outcomes, Array(4).fill("committed"));
    assert.deepEqual(place(await backend.head()), { seq: 4, revision: 5 });
  });

  test("batchIdAt() is the batch's id, or undefined", async (backend) => {
    await backend.open();
    const batch = makeBatch(1, 1);
    const id = batch.id.slice();
    await backend.append(batch);
    assert.deepEqual(new Uint8Array((await backend.batchIdAt(1))!), id);
    assert.equal(await backend.batchIdAt(0), undefined);
    assert.equal(await backend.batchIdAt(2), undefined);
  });

  test("batchesAfter() gives back what was appended, up to the limit", async (backend) => {
    await backend.open();
    const sent: Batch[] = [];
    for (let seq = 1, rev = 1; seq <= 5; seq++) {
      const batch = makeBatch(seq, rev, { rows: seq - 1 });
      rev = batch.lastRev;
      sent.push({ ...batch, rows: batch.rows.slice(), id: batch.id.slice() });
      await backend.append(batch);
    }
    const found = await backend.batchesAfter(2, 2);
    assert.deepEqual(found.map((batch) => batch.seq), [3, 4]);
    for (const batch of found) {
      const want = sent[batch.seq - 1]!;
      assert.deepEqual(rowsOf(batch.rows), rowsOf(want.rows));
      assert.deepEqual(new Uint8Array(batch.id), want.id);
      assert.equal(batch.firstRev, want.firstRev);
      assert.equal(batch.lastRev, want.lastRev);
      assert.equal(batch.timeMs, want.timeMs);
    }
    assert.equal((await backend.batchesAfter(0, 100)).length, 5);
    assert.deepEqual(await backend.batchesAfter(5, 100), []);
  });

  test("trimBatches() keeps the rows, the head and later batches", async (backend) => {
    await backend.open();
    for (let seq = 1; seq <= 5; seq++) {
      await backend.append(makeBatch(seq, seq));
    }
    await backend.trimBatches(4);
    const left = await backend.batchesAfter(0, 10);
    assert.deepEqual(left.map((batch) => batch.seq), [4, 5]);
    assert.equal(rowsOf(await backend.eventsAfter(0, 1e9)).length, 5);
    await backend.trimBatches(100);
    assert.deepEqual(place(await backend.head()), { seq: 5, revision: 6 });
    assert.equal(await backend.append(makeBatch(6, 6)), "committed");
  });

  test("valuesOf() answers in the order asked, undefined for what is gone", async (backend) => {
    await backend.open();
    const rows = oddRows();
    await backend.append(batchOf({ seq: 1, afterRev: 1 }, rows));
    const asked: RowId[] = [
      { rev: 999, sub: 0 },
      ...rows.toReversed(),
      { rev: 2, sub: 99 },
      rows[0]!,
    ];
    const found = await backend.valuesOf(asked);
    assert.equal(found.length, asked.length);
    assert.equal(found[0], undefined);
    assert.equal(found.at(-2), undefined);
    const records = await recordsOf(backend);
    for (const [i, { rev, sub }] of asked.entries()) {
      assert.deepEqual(plain(found[i]), records.get(`${rev}/${sub}`));
    }
    assert.deepEqual(await backend.valuesOf([]), []);
  });

  test("valuesOf() of many rows", async (backend) => {
    await backend.open();
    await backend.append(makeBatch(1, 1, { rows: 1000, valueBytes: 2000 }));
    const asked = Array.from({ length: 1000 }, (_, i) => ({
      rev: 1001 - i,
      sub: 0,
    }));
    const found = await backend.valuesOf(asked);
    assert.ok(found.every((record) => record!.length > 2000));
  });

  test("eventsAfter() gives whole revisions, one at least", async (backend) => {
    await backend.open();
    const rows: Row[] = [];
    for (let rev = 2; rev <= 6; rev++) {
      for (let sub = 0; sub < 3; sub++) {
        rows.push({ rev, sub, key: utf8(`k${sub}`) });
      }
    }
    await backend.append(batchOf({ seq: 1, afterRev: 1 }, rows));
    assert.deepEqual(rowsOf(await backend.eventsAfter(2, 0)), rows.slice(3, 6));
    assert.deepEqual(rowsOf(await backend.eventsAfter(1, 1e6)), rows);
    assert.deepEqual(rowsOf(await backend.eventsAfter(6, 1e6)), []);
    const some = rowsOf(await backend.eventsAfter(1, 60));
    assert.equal(some.length % 3, 0);
    assert.ok(some.length >= 3 && some.length < rows.length);
  });

  test("eventsAfter() pages through everything without gap or repetition", async (backend) => {
    await backend.open();
    let rev = 1;
    for (let seq = 1; seq <= 20; seq++) {
      const batch = makeBatch(seq, rev, { rows: 100, valueBytes: seq * 40 });
      rev = batch.lastRev;
      await backend.append(batch);
    }
    const seen: number[] = [];
    for (;;) {
      const page = rowsOf(await backend.eventsAfter(seen.at(-1) ?? 0, 50_000));
      if (page.length === 0) break;
      for (const row of page) seen.push(row.rev);
    }
    assert.deepEqual(seen, Array.from({ length: 2000 }, (_, i) => i + 2));
  });

  test("remove() takes rows away and does not mind what is gone", async (backend) => {
    await backend.open();
    await backend.append(makeBatch(1, 1, { rows: 1500 }));
    const gone: RowId[] = [];
    for (let rev = 2; rev <= 1501; rev += 2) gone.push({ rev, sub: 0 });
    await backend.remove(gone);
    await backend.remove([...gone, { rev: 77777, sub: 3 }]);
    await backend.remove([]);
    const left = rowsOf(await backend.eventsAfter(0, 1e9));
    assert.equal(left.length, 750);
    assert.ok(left.every((row) => row.rev % 2 === 1));
    assert.deepEqual(await backend.valuesOf(gone.slice(0, 1)), [undefined]);
    assert.deepEqual(place(await backend.head()), { seq: 1, revision: 1501 });
    const [batch] = await backend.batchesAfter(0, 1);
    assert.equal(rowsOf(batch!.rows).length, 750);
  });

  test("load() gives state before rows, the last value of each key", async (backend) => {
    await backend.open();
    const set = (kind: StateKind, key: string, value?: string) => ({
      kind,
      key: utf8(key),
      value: value === undefined ? undefined : utf8(value),
    });
    const first = [
      set(StateKind.Meta, "", "empty key"),
      set(StateKind.Meta, "m", "1"),
      set(StateKind.Lease, "l", "1"),
      set(StateKind.Lease, "gone", "1"),
      set(StateKind.Auth, "a", ""),
      set(StateKind.Alarm, "a", "1"),
    ];
    const second = [
      set(StateKind.Meta, "m", "2"),
      set(StateKind.Lease, "gone"),
      set(StateKind.Lease, "never"),
    ];
    await backend.append({ ...makeBatch(1, 1), state: first });
    await backend.append({ ...makeBatch(2, 2), state: second });
    const order: string[] = [];
    const state: StateChange[] = [];
    await backend.load({
      state: (change) => {
        order.push("state");
        state.push(change);
      },
      rows: () => order.push("rows"),
    });
    assert.ok(order.lastIndexOf("state") < order.indexOf("rows"));
    assert.deepEqual(plainState(state), [
      "1  empty key",
      "1 m 2",
      "2 l 1",
      "3 a ",
      "4 a 1",
    ]);
  });

  test("load() of much state and many rows keeps the order", async (backend) => {
    await backend.open();
    const state = Array.from({ length: 2500 }, (_, i) => ({
      kind: StateKind.Lease,
      key: utf8(String(i).padStart(5, "0")),
      value: utf8("x"),
    }));
    await backend.append({ ...makeBatch(1, 1, { rows: 1000 }), state });
    await backend.append(makeBatch(2, 1001, { deletes: 5000 }));
    await backend.append(makeBatch(3, 1002, { rows: 5, valueBytes: 900_000 }));
    const all = await loadAll(backend);
    assert.equal(all.state.length, 2500);
    assert.equal(all.rows.length, 6005);
    for (let i = 1; i < all.rows.length; i++) {
      const before = all.rows[i - 1]!;
      const row = all.rows[i]!;
      assert.ok(
        before.rev < row.rev || before.rev === row.rev && before.sub < row.sub,
      );
    }
  });

  test("load() rejects with what its sink throws, and the backend goes on", async (backend) => {
    await backend.open();
    await backend.append(makeBatch(1, 1, { rows: 10, valueBytes: 1_000_000 }));
    const sink: LoadSink = {
      state() {},
      rows() {
        throw new RangeError("no more");
      },
    };
    await assert.rejects(backend.load(sink), RangeError);
    assert.equal(await backend.append(makeBatch(2, 11)), "committed");
  });

  test("revisions up to 2^53 - 1 and leases of 64 bits survive", async (backend) => {
    await backend.open();
    const last = Number.MAX_SAFE_INTEGER;
    const rows: Row[] = [];
    const leases = [
      1n,
      2n ** 53n,
      2n ** 63n - 1n,
      -1n,
      -(2n ** 63n),
      2n ** 32n,
    ];
    for (const [i, lease] of leases.entries()) {
      const rev = last - leases.length + 1 + i;
      const put = { value: utf8("v"), createRev: rev, version: rev, lease };
      rows.push({ rev, sub: 0, key: utf8(`k${i}`), put });
    }
    await backend.append(batchOf({ seq: 1, afterRev: rows[0]!.rev - 1 }, rows));
    assert.deepEqual(rowsOf(await backend.eventsAfter(0, 1e9)), rows);
    assert.deepEqual(
      rowsOf(await backend.eventsAfter(last - 1, 1e9)),
      rows.slice(-1),
    );
    const [record] = await backend.valuesOf(rows.slice(3, 4));
    assert.deepEqual(
      plain(record),
      (await recordsOf(backend)).get(`${rows[3]!.rev}/0`),
    );
    await backend.remove(rows.slice(0, 5));
    assert.deepEqual(
      rowsOf(await backend.eventsAfter(0, 1e9)),
      rows.slice(5),
    );
    assert.equal((await backend.head()).revision, last);
  });

  test("appends go on while everything else is under way", async (backend) => {
    await backend.open();
    await backend.append(makeBatch(1, 1, { rows: 3000 }));
    const all = Array.from(
      { length: 3000 },
      (_, i) => ({ rev: i + 2, sub: 0 }),
    );
    const others = [
      loadAll(backend),
      backend.valuesOf(all),
      backend.eventsAfter(0, 1e9),
      backend.remove(all.slice(0, 1500)),
      backend.batchesAfter(0, 1),
      backend.size(),
      backend.defragment(),
    ];
    for (let seq = 2; seq < 30; seq++) {
      const outcome = await backend.append(makeBatch(seq, 2999 + seq));
      assert.equal(outcome, "committed");
    }
    await Promise.all(others);
    assert.deepEqual(place(await backend.head()), { seq: 29, revision: 3029 });
  });

  test(
    "size() grows with data, and defragment() gives space back",
    async (backend, fixture) => {
      await backend.open();
      await backend.append(makeBatch(1, 1, { rows: 3000, valueBytes: 1000 }));
      const full = await backend.size();
      assert.ok(full.inUseBytes >= 3_000_000);
      assert.ok(full.totalBytes >= full.inUseBytes);
      await backend.remove(
        Array.from({ length: 3000 }, (_, i) => ({ rev: i + 2, sub: 0 })),
      );
      const emptied = await backend.size();
      assert.ok(emptied.inUseBytes < 200_000, `${emptied.inUseBytes}`);
      await backend.defragment();
      if (fixture.compactsItself) return;
      const small = await backend.size();
      assert.ok(small.totalBytes < 200_000, `${small.totalBytes}`);
    },
  );

  test("snapshot() is read in pieces whose sum is its size", async (backend) => {
    await backend.open();
    await backend.append(makeBatch(1, 1, { rows: 100 }));
    const snapshot = await backend.snapshot();
    assert.equal(snapshot.sizeBytes % 512, 0);
    let bytes = 0;
    for (;;) {
      const piece = await snapshot.read(bytes, 10_000);
      if (piece.length === 0) break;
      bytes += piece.length;
    }
    assert.equal(bytes, snapshot.sizeBytes);
    assert.equal((await snapshot.read(bytes + 5, 10)).length, 0);
    await snapshot.close();
    await snapshot.close();
    await assert.rejects(snapshot.read(0, 10), BackendError);
  });

  test("an exclusive backend never tells of commits", async (backend) => {
    await backend.open();
    if (!backend.isExclusive) return;
    let calls = 0;
    const stop = backend.watchCommits(() => calls++);
    await backend.append(makeBatch(1, 1));
    await backend.head();
    stop();
    assert.equal(calls, 0);
  });

  test("calls before open() and after close() reject, closing twice is fine", async (backend) => {
    const isClosed = { name: "BackendError", kind: "closed" };
    await assert.rejects(backend.head(), isClosed);
    await backend.open();
    await backend.append(makeBatch(1, 1));
    await backend.close();
    await backend.close();
    await assert.rejects(backend.head(), isClosed);
    await assert.rejects(backend.append(makeBatch(2, 2)), isClosed);
    await assert.rejects(backend.snapshot(), isClosed);
  });

  test(
    "what was appended is there after close() and open()",
    async (backend, fixture) => {
      await backend.open();
      const rows = oddRows();
      const change = { kind: StateKind.Auth, key: utf8("k"), value: utf8("v") };
      await backend.append(batchOf({ seq: 1, afterRev: 1 }, rows, [change]));
      const head = await backend.head();
      await backend.close();
      const next = fixture.reopen?.(backend);
      if (next === undefined) return;
      try {
        assert.deepEqual(await next.open(), head);
        const all = await loadAll(next);
        assert.deepEqual(all.rows, rows);
        assert.deepEqual(plainState(all.state), plainState([change]));
        assert.equal(
          await next.append(makeBatch(2, head.revision)),
          "committed",
        );
      } finally {
        await next.close();
      }
    },
  );
}

/** The end of the log, without the id of its last batch, which only shared databases tell. */
function place({ seq, revision }: Head): Omit<Head, "id"> {
  return { seq, revision };
}

/** Everything that `load` streams. */
export async function loadAll(
  backend: Backend,
): Promise<{ state: StateChange[]; rows: Row[] }> {
  const state: StateChange[] = [];
  const rows: Row[] = [];
  await backend.load({
    state: (change) => state.push(change),
    rows: (block) => rows.push(...rowsOf(block)),
  });
  return { state, rows };
}

/** Rows with every odd shape: tombstones, empty values, zeros in bytes, several to a revision. */
function oddRows(): Row[] {
  const every = Uint8Array.from({ length: 256 }, (_, i) => i);
  const put = (value: Uint8Array, lease = 0n, version = 1) => ({
    value,
    createRev: 2,
    version,
    lease,
  });
  return [
    { rev: 2, sub: 0, key: utf8("a"), put: put(utf8("1")) },
    { rev: 2, sub: 1, key: utf8("a"), put: put(new Uint8Array(0), 7n, 2) },
    { rev: 2, sub: 2, key: utf8("b") },
    { rev: 3, sub: 0, key: new Uint8Array([0]), put: put(every) },
    { rev: 4, sub: 0, key: every },
    { rev: 5, sub: 0, key: every, put: put(new Uint8Array(3), 2n ** 62n + 3n) },
    { rev: 5, sub: 70_000, key: utf8("é\uffff"), put: put(utf8("😀"), 1n, 3) },
    { rev: 5, sub: 0x7fffffff, key: new Uint8Array(1000).fill(0xff) },
  ];
}

async function recordsOf(backend: Backend): Promise<Map<string, Uint8Array>> {
  const block = await backend.eventsAfter(0, 1e9);
  const records = new Map<string, Uint8Array>();
  let at = 0;
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  for (const { rev, sub } of rowsOf(block)) {
    const size = view.getUint32(at, true);
    records.set(`${rev}/${sub}`, block.slice(at + 8, at + 8 + size));
    at += 8 + size;
  }
  return records;
}

function plain(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes === undefined ? undefined : new Uint8Array(bytes);
}

function plainState(state: readonly StateChange[]): string[] {
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return state.map(({ kind, key, value }) =>
    `${kind} ${decode(key)} ${value === undefined ? "-" : decode(value)}`
  );
}
