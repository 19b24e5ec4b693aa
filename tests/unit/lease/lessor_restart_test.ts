import assert from "node:assert/strict";
import { decodeLeaseRecord } from "../../../src/lease/lease_record.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { Random, seeds } from "../../support/random.ts";
import { Disk, LeaseProcess, turn } from "./lease_process.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const GRACE_MS = 15_000;
const CHECK_MS = 500;

/** A process killed at once, its successor started after `downMs`. */
async function crashAndStart(
  process: LeaseProcess,
  downMs: number,
): Promise<LeaseProcess> {
  process.crash();
  process.clock.advance(downMs);
  return await LeaseProcess.started(process.disk, process.clock);
}

async function stopAndStart(
  process: LeaseProcess,
  downMs: number,
): Promise<LeaseProcess> {
  await process.lessor.stop();
  process.crash();
  process.clock.advance(downMs);
  return await LeaseProcess.started(process.disk, process.clock);
}

function remaining(process: LeaseProcess, id: bigint): number | undefined {
  return process.lessor.timeToLive(id)?.remainingSeconds;
}

Deno.test("Lessor after a crash gives a renewed lease its whole TTL, once", async () => {
  const clock = new FakeClock();
  let process = await LeaseProcess.started(new Disk(), clock);
  await process.lessor.grant(1n, 3600);
  clock.advance(20 * MINUTE_MS);
  await process.lessor.keepAlive(1n);
  clock.advance(20 * MINUTE_MS);
  assert.equal(process.lessor.keepAlive(1n), 3600);
  clock.advance(10 * MINUTE_MS);
  process = await crashAndStart(process, 5 * MINUTE_MS);
  assert.equal(remaining(process, 1n), 3600);
  for (let i = 1; i <= 10; i++) {
    process = await crashAndStart(process, 5 * MINUTE_MS);
    assert.equal(remaining(process, 1n), 3600 - i * 300);
  }
});

Deno.test("Lessor after a crash gives a lease that was never renewed what is left, and the grace", async () => {
  const clock = new FakeClock();
  let process = await LeaseProcess.started(new Disk(), clock);
  await process.lessor.grant(1n, 60);
  process = await crashAndStart(process, 20 * SECOND_MS);
  assert.equal(remaining(process, 1n), 40);
  process = await crashAndStart(process, 30 * SECOND_MS);
  assert.equal(remaining(process, 1n), 15);
  process = await crashAndStart(process, HOUR_MS);
  assert.equal(remaining(process, 1n), 15);
  clock.advance(GRACE_MS + CHECK_MS);
  await turn();
  assert.equal(process.lessor.has(1n), false);
});

Deno.test("Lessor.stop() keeps the remaining time to the second", async () => {
  const clock = new FakeClock();
  let process = await LeaseProcess.started(new Disk(), clock);
  await process.lessor.grant(1n, 3600);
  clock.advance(10 * MINUTE_MS);
  await process.lessor.keepAlive(1n);
  clock.advance(10 * MINUTE_MS);
  process = await stopAndStart(process, 0);
  assert.equal(remaining(process, 1n), 3000);
  process = await stopAndStart(process, 10 * MINUTE_MS);
  assert.equal(remaining(process, 1n), 2400);
});

Deno.test("Lessor.stop() writes nothing if the records are exact", async () => {
  const clock = new FakeClock();
  const process = await LeaseProcess.started(new Disk(), clock);
  await process.lessor.grant(1n, 3600);
  clock.advance(10 * MINUTE_MS);
  const before = process.committed.length;
  await process.lessor.stop();
  assert.equal(process.committed.length, before);
});

Deno.test("Lessor.stop() writes what a jump of the wall clock made wrong", async () => {
  for (const jump of [-HOUR_MS, HOUR_MS]) {
    const clock = new FakeClock();
    let process = await LeaseProcess.started(new Disk(), clock);
    await process.lessor.grant(1n, 7200);
    clock.advance(10 * MINUTE_MS);
    clock.jumpWall(jump);
    process = await stopAndStart(process, 0);
    assert.equal(remaining(process, 1n), 6600);
  }
});

Deno.test("Lessor.start() bounds what a jump of the wall clock between two starts does", async () => {
  for (
    const [jump, left] of [[-10 * HOUR_MS, 3600], [10 * HOUR_MS, 15]] as const
  ) {
    const clock = new FakeClock();
    let process = await LeaseProcess.started(new Disk(), clock);
    await process.lessor.grant(1n, 3600);
    clock.jumpWall(jump);
    process = await crashAndStart(process, 0);
    assert.equal(remaining(process, 1n), left);
  }
});

Deno.test("Lessor.start() writes nothing if no lease is marked", async () => {
  const clock = new FakeClock();
  let process = await LeaseProcess.started(new Disk(), clock);
  await process.lessor.grant(1n, 3600);
  process = await crashAndStart(process, MINUTE_MS);
  clock.advance(30 * MINUTE_MS);
  await turn();
  assert.equal(process.committed.length, 0);
});

Deno.test("Lessor.start() tries again what it could not write", async () => {
  const clock = new FakeClock();
  const first = await LeaseProcess.started(new Disk(), clock);
  await first.lessor.grant(1n, 3600);
  await first.lessor.keepAlive(1n);
  first.crash();
  const process = new LeaseProcess(first.disk, clock);
  process.failure = new Error("the database is gone");
  await process.lessor.start();
  assert.ok(decodeLeaseRecord(process.disk.records.get(1n)!).isRenewing);
  process.failure = undefined;
  clock.advance(5 * SECOND_MS);
  await turn();
  assert.equal(
    decodeLeaseRecord(process.disk.records.get(1n)!).isRenewing,
    false,
  );
});

Deno.test("Lessor.start() leaves the mark of a lease that is renewed at once", async () => {
  const clock = new FakeClock();
  const first = await LeaseProcess.started(new Disk(), clock);
  const count = 600;
  const ids = Array.from({ length: count }, (_, i) => BigInt(i + 1));
  await Promise.all(ids.map((id) => first.lessor.grant(id, 60)));
  await Promise.all(ids.map((id) => first.lessor.keepAlive(id)));
  first.crash();
  const process = new LeaseProcess(first.disk, clock);
  process.isHeld = true;
  const started = process.lessor.start();
  await turn();
  clock.advance(10);
  // Of the last lease nothing is on its way yet, of the first the checkpoint is.
  assert.equal(process.lessor.keepAlive(600n), 60);
  const renewed = process.lessor.keepAlive(1n);
  assert.ok(renewed instanceof Promise);
  process.release();
  await started;
  assert.equal(await renewed, 60);
  const isMarked = (id: bigint) =>
    decodeLeaseRecord(process.disk.records.get(id)!).isRenewing;
  assert.deepEqual(ids.filter(isMarked), [1n, 600n]);
});

/** What must hold of one lease, whatever happens. */
interface Promised {
  readonly ttlMs: number;
  /** When it ends at the earliest: its last answered renewal plus its TTL. */
  earliestMs: number;
  /** When it ends at the latest. */
  latestMs: number;
  /** Renewed since the deadline was last written down. */
  isMarked: boolean;
  readonly key: string;
}

Deno.test("Lessor keeps its promises over random renewals, crashes and restarts", async () => {
  for (const seed of seeds(100)) {
    await playRandomly(new Random(seed), 120).catch((error) => {
      throw new Error(`seed ${seed}`, { cause: error });
    });
  }
});

async function playRandomly(random: Random, steps: number): Promise<void> {
  const clock = new FakeClock();
  let process = await LeaseProcess.started(new Disk(), clock);
  const leases = new Map<bigint, Promised>();
  let nextId = 1n;

  const now = () => clock.monotonicMs();
  const check = () => {
    for (const [id, lease] of leases) {
      const left = process.lessor.timeToLive(id);
      if (left === undefined) {
        assert.ok(now() >= lease.earliestMs, `${id} ended too early`);
        assert.equal(
          process.disk.keys.has(lease.key),
          false,
          "its key went with it",
        );
        leases.delete(id);
        continue;
      }
      assert.equal(process.disk.keys.get(lease.key), id);
      assert.ok(now() <= lease.latestMs + CHECK_MS, `${id} should have ended`);
      const leftMs = left.remainingSeconds * 1000;
      assert.ok(leftMs <= lease.ttlMs, "never more than the TTL");
      assert.ok(
        leftMs > lease.earliestMs - now() - 1000,
        `${id} was shortened`,
      );
      assert.ok(
        leftMs <= Math.max(0, lease.latestMs - now()),
        `${id} was prolonged`,
      );
    }
    assert.equal(
      process.disk.keys.size,
      leases.size,
      "no key without its lease",
    );
    assert.equal(process.lessor.size, leases.size);
  };
  const grant = async () => {
    const id = nextId++;
    const ttlSeconds = random.pick([2, 5, 10, 30, 60, 600, 3600, 20_000]);
    await process.lessor.grant(id, ttlSeconds);
    const key = `key${id}`;
    process.put(key, id);
    const endMs = now() + ttlSeconds * 1000;
    leases.set(id, {
      ttlMs: ttlSeconds * 1000,
      earliestMs: endMs,
      latestMs: endMs,
      isMarked: false,
      key,
    });
  };
  const renew = async (isAnswered: boolean) => {
    const id = random.pick([...leases.keys()]);
    const lease = leases.get(id);
    if (lease === undefined || lease.latestMs <= now()) return;
    const left = process.lessor.timeToLive(id)!;
    if (left.remainingSeconds === 0) return; // it may be over, and then the answer waits
    lease.latestMs = now() + lease.ttlMs;
    lease.isMarked = true;
    const answer = process.lessor.keepAlive(id);
    if (!isAnswered) return; // the process is about to die
    assert.equal(await answer, lease.ttlMs / 1000);
    lease.earliestMs = now() + lease.ttlMs;
  };
  const begin = async () => {
    process = new LeaseProcess(process.disk, clock);
    // A start that dies before it has written the deadlines down gives the same again.
    while (random.oneIn(5)) {
      process.isHeld = true;
      void process.lessor.start();
      process.crash();
      clock.advance(random.int(5 * MINUTE_MS));
      process = new LeaseProcess(process.disk, clock);
    }
    await process.lessor.start();
    for (const lease of leases.values()) {
      const leastMs = now() + Math.min(GRACE_MS, lease.ttlMs);
      lease.latestMs = lease.isMarked
        ? Math.max(lease.latestMs, now() + lease.ttlMs)
        : Math.max(lease.latestMs, leastMs);
      lease.earliestMs = Math.max(lease.earliestMs, leastMs);
      lease.isMarked = false;
    }
  };

  for (let step = 0; step < steps; step++) {
    const choice = random.int(20);
    if (choice < 4 || leases.size === 0) await grant();
    else if (choice < 11) await renew(true);
    else if (choice < 17) {
      const span = random.pick([
        SECOND_MS,
        10 * SECOND_MS,
        MINUTE_MS,
        30 * MINUTE_MS,
      ]);
      for (let piece = 0; piece < 3; piece++) {
        clock.advance(random.int(span / 3));
        await turn();
      }
      clock.advance(CHECK_MS);
      await turn();
    } else if (choice < 19) {
      process.isHeld = random.oneIn(2);
      if (process.isHeld) await renew(false);
      process.crash();
      clock.advance(
        random.int(random.pick([SECOND_MS, 20 * SECOND_MS, 20 * MINUTE_MS])),
      );
      await begin();
    } else {
      await process.lessor.stop();
      process.crash();
      for (const lease of leases.values()) lease.isMarked = false;
      clock.advance(
        random.int(random.pick([SECOND_MS, 20 * SECOND_MS, 20 * MINUTE_MS])),
      );
      await begin();
    }
    check();
  }
}
