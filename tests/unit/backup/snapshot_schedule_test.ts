import assert from "node:assert/strict";
import { BackendError, type Snapshot } from "../../../src/backend/backend.ts";
import { SnapshotDir } from "../../../src/backup/snapshot_dir.ts";
import { verifySnapshotFile } from "../../../src/backup/snapshot_file.ts";
import { SnapshotSchedule } from "../../../src/backup/snapshot_schedule.ts";
import { NO_LOG } from "../../../src/base/log.ts";
import { Registry } from "../../../src/base/metrics.ts";
import { FakeClock } from "../../support/fake_clock.ts";

const HOUR_MS = 3_600_000;

/** A schedule over a backend whose copies the test makes. */
class Fixture implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly store = { seq: 1, currentRevision: 10 };
  readonly parent = Deno.makeTempDirSync({ prefix: "stele-schedule-" });
  readonly directory = `${this.parent}/snapshots`;
  copies = 0;
  open = 0;
  /** Resolves with the first close. */
  readonly closed = Promise.withResolvers<void>();
  /** While set, copies wait for it. */
  gate: Promise<void> | undefined;
  #schedules: SnapshotSchedule[] = [];

  schedule(retention = 3): SnapshotSchedule {
    const schedule = new SnapshotSchedule(
      { snapshot: () => this.#snapshot() },
      this.store,
      this.clock,
      NO_LOG,
      new Registry(),
      { directory: this.directory, intervalMs: HOUR_MS, retention },
    );
    this.#schedules.push(schedule);
    return schedule;
  }

  async #snapshot(): Promise<Snapshot> {
    this.copies++;
    await this.gate;
    this.open++;
    const bytes = new Uint8Array(3 * 512).fill(this.store.seq);
    return {
      sizeBytes: bytes.length,
      read: (offset) => Promise.resolve(bytes.subarray(offset, offset + 1000)),
      close: () => {
        this.open--;
        this.closed.resolve();
        return Promise.resolve();
      },
    };
  }

  names(): string[] {
    return [...Deno.readDirSync(this.directory)].map(({ name }) => name)
      .sort();
  }

  /** Time passes, and what it starts is done. */
  async pass(ms: number): Promise<void> {
    this.clock.advance(ms);
    for (const schedule of this.#schedules) await schedule.idle();
    assert.equal(this.open, 0);
  }

  /** One write, then an interval. */
  async hour(): Promise<void> {
    this.store.seq++;
    this.store.currentRevision++;
    await this.pass(HOUR_MS);
  }

  async [Symbol.asyncDispose]() {
    for (const schedule of this.#schedules) await schedule.stop();
    await Deno.remove(this.parent, { recursive: true });
  }
}

Deno.test("SnapshotSchedule makes a snapshot after each interval, named by time and revision", async () => {
  await using f = new Fixture();
  await f.schedule().start();
  assert.deepEqual(f.names(), []);
  await f.pass(HOUR_MS - 1);
  assert.equal(f.copies, 0);
  await f.pass(1);
  assert.deepEqual(f.names(), ["stele-20231114T231320Z-r10.db"]);
  await verifySnapshotFile(`${f.directory}/${f.names()[0]}`, {
    skipHashCheck: false,
  });
});

Deno.test("SnapshotSchedule makes none while nothing is written", async () => {
  await using f = new Fixture();
  await f.schedule().start();
  await f.hour();
  for (let i = 0; i < 5; i++) await f.pass(HOUR_MS);
  assert.equal(f.copies, 1);
  assert.equal(f.names().length, 1);
  await f.hour();
  assert.equal(f.copies, 2);
});

Deno.test("SnapshotSchedule keeps the newest, and leaves files of others alone", async () => {
  await using f = new Fixture();
  await f.schedule(2).start();
  await Deno.writeTextFile(`${f.directory}/mine.db`, "");
  for (let i = 0; i < 4; i++) await f.hour();
  assert.deepEqual(
    f.names().map((name) => name.replace(/.*-/, "")),
    ["mine.db", "r13.db", "r14.db"],
  );
});

Deno.test("SnapshotSchedule counts its interval from the newest file, across restarts", async () => {
  await using f = new Fixture();
  const first = f.schedule();
  await first.start();
  await f.hour();
  await first.stop();
  f.clock.advance(HOUR_MS - 10_000);
  await f.schedule().start();
  await f.pass(9_999);
  assert.equal(f.copies, 1);
  await f.pass(1);
  assert.equal(f.names().length, 2);
});

Deno.test("SnapshotSchedule is not put off by a clock that was set back", async () => {
  await using f = new Fixture();
  const first = f.schedule();
  await first.start();
  await f.hour();
  await first.stop();
  f.clock.jumpWall(-100 * HOUR_MS);
  await f.schedule().start();
  await f.pass(HOUR_MS);
  assert.equal(f.names().length, 2);
});

Deno.test("SnapshotSchedule counts a failure, goes on, and tries again after a minute", async () => {
  await using f = new Fixture();
  const registry = new Registry();
  const logged: unknown[] = [];
  const schedule = new SnapshotSchedule(
    {
      snapshot: () => {
        f.copies++;
        return f.copies === 1
          ? Promise.reject(new BackendError("Cannot copy: disk is full"))
          : Promise.resolve({
            sizeBytes: 0,
            read: () => Promise.resolve(new Uint8Array(0)),
            close: () => Promise.resolve(),
          });
      },
    },
    f.store,
    f.clock,
    {
      ...NO_LOG,
      info: () => {},
      error: (msg, fields) => logged.push([msg, fields?.error]),
    },
    registry,
    { directory: f.directory, intervalMs: HOUR_MS, retention: 1 },
  );
  await schedule.start();
  f.clock.advance(HOUR_MS);
  await schedule.idle();
  assert.equal(logged.length, 1);
  assert.match(String(logged[0]), /scheduled snapshot failed.*disk is full/);
  assert.match(
    registry.exposition(),
    /stele_scheduled_snapshot_failures_total 1\n/,
  );
  assert.deepEqual(f.names(), []);
  f.clock.advance(60_000);
  await schedule.idle();
  assert.equal(f.names().length, 1);
  assert.match(
    registry.exposition(),
    /stele_scheduled_snapshot_last_success_timestamp_seconds 1700003\d{3}\n/,
  );
  await schedule.stop();
});

Deno.test("SnapshotSchedule.stop() does not wait for a copy, and closes it when it comes", async () => {
  await using f = new Fixture();
  const schedule = f.schedule();
  await schedule.start();
  const gate = Promise.withResolvers<void>();
  f.gate = gate.promise;
  f.clock.advance(HOUR_MS);
  assert.equal(f.copies, 1);
  await schedule.stop();
  gate.resolve();
  await f.closed.promise;
  assert.deepEqual(f.names(), []);
  await f.pass(10 * HOUR_MS);
  assert.equal(f.copies, 1);
});

Deno.test("SnapshotSchedule.start() removes what a crash left half-written, and nothing else", async () => {
  await using f = new Fixture();
  await Deno.mkdir(f.directory);
  for (
    const name of ["stele-20231114T231320Z-r10.db.part", "other.part", "x.db"]
  ) await Deno.writeTextFile(`${f.directory}/${name}`, "");
  await f.schedule().start();
  assert.deepEqual(f.names(), ["other.part", "x.db"]);
});

Deno.test("SnapshotSchedule.start() rejects where no directory can be", async () => {
  await using f = new Fixture();
  await Deno.writeTextFile(f.directory, "a file");
  await assert.rejects(f.schedule().start());
});

Deno.test("SnapshotDir names snapshots so that list() reads them back", async () => {
  await using f = new Fixture();
  const dir = new SnapshotDir(f.directory);
  await dir.open();
  const timeMs = Date.parse("2026-01-31T23:59:59.999Z");
  const path = dir.pathOf(timeMs, 1042);
  assert.ok(path.endsWith("/stele-20260131T235959Z-r1042.db"));
  await Deno.writeTextFile(path, "");
  assert.deepEqual(await dir.list(), [
    { path, timeMs: Date.parse("2026-01-31T23:59:59Z"), revision: 1042 },
  ]);
});
