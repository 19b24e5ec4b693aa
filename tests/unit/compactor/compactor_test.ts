import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { DomainError } from "../../../src/base/errors.ts";
import type { CompactionTarget } from "../../../src/compactor/compactor.ts";
import { PeriodicCompactor } from "../../../src/compactor/periodic_compactor.ts";
import { RevisionCompactor } from "../../../src/compactor/revision_compactor.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { CapturingLogger } from "../../support/log.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** A store that counts what it is asked. */
class Target implements CompactionTarget {
  currentRevision = 1;
  compactRevision = -1;
  readonly asked: number[] = [];
  failure: Error | undefined = undefined;

  compact(revision: number): Promise<void> {
    this.asked.push(revision);
    if (this.failure !== undefined) return Promise.reject(this.failure);
    this.compactRevision = revision;
    return Promise.resolve();
  }
}

function setUp() {
  const clock = new FakeClock();
  const target = new Target();
  const log = new CapturingLogger();
  /** Time passes, minute by minute, with `perMinute` revisions each. */
  const pass = async (minutes: number, perMinute: number) => {
    for (let i = 0; i < minutes; i++) {
      clock.advance(MINUTE_MS);
      await new Promise<void>((resolve) => setImmediate(resolve));
      target.currentRevision += perMinute;
    }
  };
  return { clock, target, log, pass };
}

Deno.test("PeriodicCompactor compacts hourly at the revision of one retention ago", async () => {
  const { clock, target, log, pass } = setUp();
  target.currentRevision = 100;
  const compactor = new PeriodicCompactor(target, clock, log, {
    retentionMs: 3 * HOUR_MS,
  });
  compactor.start();
  await pass(179, 1);
  assert.deepEqual(target.asked, [], "nothing before one retention has passed");
  target.currentRevision += 1000;
  await pass(60, 1);
  assert.deepEqual(target.asked, [100]);
  await pass(120, 1);
  assert.deepEqual(target.asked, [100, 159, 219]);
  compactor.stop();
  await pass(120, 1);
  assert.equal(target.asked.length, 3);
});

Deno.test("PeriodicCompactor compacts a short retention once per retention", async () => {
  const { clock, target, log, pass } = setUp();
  target.currentRevision = 100;
  new PeriodicCompactor(target, clock, log, { retentionMs: 10 * MINUTE_MS })
    .start();
  await pass(9, 1);
  assert.deepEqual(target.asked, []);
  await pass(1, 1);
  assert.deepEqual(target.asked, [100]);
  await pass(20, 1);
  assert.deepEqual(target.asked, [100, 109, 119]);
  assert.deepEqual(
    log.messages("info"),
    Array(3).fill("compacted automatically"),
  );
});

Deno.test("PeriodicCompactor does nothing while the revision stays", async () => {
  const { clock, target, log, pass } = setUp();
  target.currentRevision = 100;
  target.compactRevision = 100;
  new PeriodicCompactor(target, clock, log, { retentionMs: 10 * MINUTE_MS })
    .start();
  await pass(100, 0);
  assert.deepEqual(target.asked, []);
  target.currentRevision = 101;
  await pass(100, 0);
  assert.deepEqual(target.asked, [101]);
  assert.deepEqual(log.messages("info"), ["compacted automatically"]);
});

Deno.test("PeriodicCompactor does nothing on an empty store", async () => {
  const { clock, target, log, pass } = setUp();
  new PeriodicCompactor(target, clock, log, { retentionMs: 10 * MINUTE_MS })
    .start();
  await pass(100, 0);
  assert.deepEqual(target.asked, []);
});

Deno.test("PeriodicCompactor tries a failed compaction again with the next sample", async () => {
  const { clock, target, log, pass } = setUp();
  target.currentRevision = 100;
  target.failure = new DomainError("unhealthy");
  new PeriodicCompactor(target, clock, log, { retentionMs: 10 * MINUTE_MS })
    .start();
  await pass(11, 1);
  assert.deepEqual(target.asked, [100, 100]);
  target.failure = undefined;
  await pass(1, 1);
  assert.deepEqual(target.asked, [100, 100, 101]);
  assert.equal(log.messages("warn").length, 2);
});

Deno.test("PeriodicCompactor takes it well if a client has compacted already", async () => {
  const { clock, target, log, pass } = setUp();
  target.currentRevision = 100;
  target.failure = new DomainError("compacted");
  new PeriodicCompactor(target, clock, log, { retentionMs: 10 * MINUTE_MS })
    .start();
  await pass(15, 0);
  assert.deepEqual(target.asked, [100]);
  assert.deepEqual(log.entries, []);
});

Deno.test("RevisionCompactor keeps the last revisions, every five minutes", async () => {
  const { clock, target, log, pass } = setUp();
  const compactor = new RevisionCompactor(target, clock, log, {
    retention: 10,
  });
  compactor.start();
  target.currentRevision = 11;
  await pass(5, 0);
  assert.deepEqual(target.asked, [], "1 is an empty store's");
  target.currentRevision = 12;
  await pass(4, 0);
  assert.deepEqual(target.asked, []);
  await pass(1, 0);
  assert.deepEqual(target.asked, [2]);
  await pass(60, 0);
  assert.deepEqual(target.asked, [2]);
  target.currentRevision = 112;
  await pass(5, 0);
  assert.deepEqual(target.asked, [2, 102]);
  compactor.stop();
  target.currentRevision = 200;
  await pass(5, 0);
  assert.equal(target.asked.length, 2);
  assert.deepEqual(log.messages("info").length, 2);
});

Deno.test("RevisionCompactor tries again after a failure, and not after 'compacted'", async () => {
  const { clock, target, log, pass } = setUp();
  new RevisionCompactor(target, clock, log, { retention: 10 }).start();
  target.currentRevision = 100;
  target.failure = new DomainError("unhealthy");
  await pass(10, 0);
  assert.deepEqual(target.asked, [90, 90]);
  target.failure = new DomainError("compacted");
  await pass(10, 0);
  assert.deepEqual(target.asked, [90, 90, 90]);
});
