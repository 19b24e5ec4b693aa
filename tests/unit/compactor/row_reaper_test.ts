import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import type { RowId } from "../../../src/backend/backend.ts";
import { type Garbage, RowReaper } from "../../../src/compactor/row_reaper.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { CapturingLogger } from "../../support/log.ts";

/** Rows to remove; removing them takes time on the fake clock. */
class Heap implements Garbage {
  readonly removed = new Set<number>();
  readonly slices: { readonly atMs: number; readonly rows: number }[] = [];
  isBusy = false;
  failures = 0;
  /** Milliseconds that one row takes. */
  costMs = 0;
  #left: number;
  #next = 1;

  constructor(readonly clock: FakeClock, left: number) {
    this.#left = left;
  }

  add(rows: number): void {
    this.#left += rows;
  }

  next(max: number): RowId[] {
    const rows: RowId[] = [];
    for (; rows.length < max && this.#left > 0; this.#left--) {
      rows.push({ rev: this.#next++, sub: 0 });
    }
    return rows;
  }

  async remove(rows: readonly RowId[]): Promise<void> {
    this.slices.push({ atMs: this.clock.monotonicMs(), rows: rows.length });
    const costMs = rows.length * this.costMs;
    if (costMs > 0) {
      await new Promise<void>((resolve) => this.clock.after(costMs, resolve));
    }
    await turn();
    if (this.failures > 0) {
      this.failures--;
      throw new Error("the database is busy");
    }
    for (const { rev } of rows) this.removed.add(rev);
  }

  busy(): boolean {
    return this.isBusy;
  }
}

async function turn(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

function setUp(rows: number) {
  const clock = new FakeClock();
  const garbage = new Heap(clock, rows);
  const log = new CapturingLogger();
  const reaper = new RowReaper(garbage, clock, log);
  const pass = async (ms: number) => {
    for (let i = 0; i < ms; i++) {
      clock.advance(1);
      await turn();
    }
  };
  return { clock, garbage, log, reaper, pass };
}

async function finish(
  reaper: RowReaper,
  pass: (ms: number) => Promise<void>,
): Promise<void> {
  for (let i = 0; i < 20_000 && reaper.isRunning; i++) await pass(1);
  assert.equal(reaper.isRunning, false);
}

Deno.test("RowReaper removes everything, a slice at a time, with pauses", async () => {
  const { garbage, log, reaper, pass } = setUp(2000);
  reaper.wake();
  assert.equal(
    garbage.slices.length,
    0,
    "not before the compaction is answered",
  );
  await finish(reaper, pass);
  assert.equal(garbage.removed.size, 2000);
  assert.equal(reaper.removedRows, 2000);
  assert.equal(garbage.slices[0]!.rows, 500);
  for (let i = 1; i < garbage.slices.length; i++) {
    assert.ok(garbage.slices[i]!.atMs - garbage.slices[i - 1]!.atMs >= 10);
  }
  assert.deepEqual(log.messages("info"), ["removed compacted rows"]);
});

Deno.test("RowReaper says nothing if there is nothing", async () => {
  const { garbage, log, reaper, pass } = setUp(0);
  reaper.wake();
  await finish(reaper, pass);
  assert.deepEqual(garbage.slices, []);
  assert.deepEqual(log.entries, []);
});

Deno.test("RowReaper.done resolves when the rows are gone, not before", async () => {
  const { garbage, reaper, pass } = setUp(2000);
  let isDone = false;
  const done = reaper.done.then(() => isDone = true);
  while (garbage.removed.size < 2000) {
    assert.equal(isDone, false);
    await pass(1);
  }
  garbage.add(100); // a compaction while it runs
  await finish(reaper, pass);
  await done;
  assert.equal(garbage.removed.size, 2100);
  garbage.add(5);
  const again = reaper.done;
  await finish(reaper, pass);
  await again;
  assert.equal(garbage.removed.size, 2105);
});

Deno.test("RowReaper grows its slices while they are quick, up to the limit", async () => {
  const { garbage, reaper, pass } = setUp(20_000);
  reaper.wake();
  await finish(reaper, pass);
  assert.equal(Math.max(...garbage.slices.map(({ rows }) => rows)), 1000);
});

Deno.test("RowReaper makes slow slices smaller until they take the target", async () => {
  const { garbage, reaper, pass } = setUp(5000);
  garbage.costMs = 0.05; // 80 rows in 4 ms
  reaper.wake();
  await finish(reaper, pass);
  assert.deepEqual(garbage.slices.slice(0, 3).map(({ rows }) => rows), [
    500,
    250,
    125,
  ]);
  for (const { rows } of garbage.slices.slice(4)) {
    assert.ok(rows <= 80, `${rows} rows`);
  }
  assert.equal(garbage.removed.size, 5000);
});

Deno.test("RowReaper leaves a slow database most of the time, and never stops", async () => {
  const { garbage, reaper, pass } = setUp(2000);
  garbage.costMs = 10;
  reaper.wake();
  await pass(20_000);
  assert.equal(reaper.sliceRows, 16);
  const last = garbage.slices.slice(-3);
  for (let i = 1; i < last.length; i++) {
    const apartMs = last[i]!.atMs - last[i - 1]!.atMs;
    assert.ok(apartMs >= 5 * 160, `${apartMs} ms apart`);
    assert.ok(apartMs <= 1200, `${apartMs} ms apart`);
  }
});

Deno.test("RowReaper gives way to writes, but not for ever", async () => {
  const { garbage, reaper, pass } = setUp(1000);
  garbage.isBusy = true;
  reaper.wake();
  await pass(49);
  assert.equal(garbage.slices.length, 0);
  await pass(3);
  assert.equal(garbage.slices.length, 1);
  garbage.isBusy = false;
  await pass(12);
  assert.equal(garbage.slices.length, 2);
});

Deno.test("RowReaper gives way no more once a pass takes very long", async () => {
  const { clock, garbage, reaper, pass } = setUp(100_000);
  garbage.isBusy = true;
  reaper.wake();
  await pass(1);
  clock.advance(60_000); // a slice begins, and seems to take this long
  await turn();
  await pass(1100);
  const before = garbage.slices.length;
  await pass(50);
  assert.ok(garbage.slices.length - before >= 4);
});

Deno.test("RowReaper tries rows again whose removal failed", async () => {
  const { garbage, log, reaper, pass } = setUp(700);
  garbage.failures = 2;
  reaper.wake();
  await finish(reaper, pass);
  assert.equal(garbage.removed.size, 700);
  assert.deepEqual(garbage.slices.map(({ rows }) => rows), [
    500,
    500,
    500,
    200,
  ]);
  assert.deepEqual(log.messages("warn"), ["cannot remove compacted rows"]);
});

Deno.test("RowReaper.stop() waits for the slice under way, and tells those who wait for more", async () => {
  const { clock, garbage, reaper } = setUp(2000);
  const done = assert.rejects(reaper.done, { kind: "stopped" });
  clock.advance(1);
  assert.equal(garbage.slices.length, 1);
  await reaper.stop();
  assert.equal(garbage.removed.size, 500);
  await done;
  clock.advance(1000);
  await turn();
  assert.equal(garbage.slices.length, 1);
  await assert.rejects(reaper.done, { kind: "stopped" });
});

Deno.test("RowReaper goes on where another one ended", async () => {
  const { clock, garbage, reaper, log, pass } = setUp(2000);
  reaper.wake();
  await pass(5);
  await reaper.stop();
  const rest = new RowReaper(garbage, clock, log);
  rest.wake();
  await finish(rest, pass);
  assert.equal(reaper.removedRows + rest.removedRows, 2000);
  assert.equal(garbage.removed.size, 2000);
});
