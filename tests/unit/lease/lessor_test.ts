import assert from "node:assert/strict";
import { StateKind } from "../../../src/backend/state_change.ts";
import { text, utf8 } from "../../../src/base/bytes.ts";
import { DomainError, type ErrorKind } from "../../../src/base/errors.ts";
import { decodeLeaseRecord } from "../../../src/lease/lease_record.ts";
import { MAX_TTL_SECONDS } from "../../../src/lease/lessor.ts";
import { leaseStateKey } from "../../../src/mvcc/lease_book.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { Disk, LeaseProcess, turn } from "./lease_process.ts";

const MINUTE_MS = 60_000;

function isKind(kind: ErrorKind) {
  return (error: unknown) =>
    error instanceof DomainError && error.kind === kind;
}

async function newProcess(): Promise<
  { clock: FakeClock; process: LeaseProcess }
> {
  const clock = new FakeClock();
  return { clock, process: await LeaseProcess.started(new Disk(), clock) };
}

Deno.test("Lessor.grant() raises short TTLs to the minimum and keeps longer ones", async () => {
  const { process: { lessor } } = await newProcess();
  for (
    const [asked, granted] of [[-1, 2], [0, 2], [1, 2], [2, 2], [3, 3]] as const
  ) {
    assert.equal((await lessor.grant(0n, asked)).ttlSeconds, granted);
  }
});

Deno.test("Lessor.grant() takes the longest TTL and refuses one second more", async () => {
  const { process: { lessor } } = await newProcess();
  await lessor.grant(1n, MAX_TTL_SECONDS);
  assert.deepEqual(lessor.timeToLive(1n), {
    remainingSeconds: MAX_TTL_SECONDS,
    grantedSeconds: MAX_TTL_SECONDS,
  });
  await assert.rejects(
    lessor.grant(2n, MAX_TTL_SECONDS + 1),
    isKind("leaseTtlTooLarge"),
  );
  await assert.rejects(
    lessor.grant(2n, Number.MAX_SAFE_INTEGER),
    isKind("leaseTtlTooLarge"),
  );
});

Deno.test("Lessor.grant() chooses a free positive id for 0, and takes negative ones", async () => {
  const random = [0n, 1n << 63n, 7n, (1n << 63n) | 7n, 8n];
  const process = await LeaseProcess.started(new Disk(), new FakeClock(), {
    randomId: () => random.shift()!,
  });
  assert.equal((await process.lessor.grant(0n, 5)).id, 7n);
  assert.equal((await process.lessor.grant(0n, 5)).id, 8n);
  assert.equal((await process.lessor.grant(-3n, 5)).id, -3n);
  assert.ok(process.lessor.has(-3n));
});

Deno.test("Lessor.grant() refuses an id that exists, or that comes to exist in the same batch", async () => {
  const { process: { lessor, disk } } = await newProcess();
  const [first, second] = await Promise.allSettled([
    lessor.grant(1n, 5),
    lessor.grant(1n, 9),
  ]);
  assert.equal(first.status, "fulfilled");
  assert.ok(
    second.status === "rejected" && isKind("leaseExists")(second.reason),
  );
  await assert.rejects(lessor.grant(1n, 5), isKind("leaseExists"));
  assert.equal(decodeLeaseRecord(disk.records.get(1n)!).ttlSeconds, 5);
});

Deno.test("Lessor.revoke() deletes the keys at one revision", async () => {
  const { process } = await newProcess();
  await process.lessor.grant(1n, 5);
  process.put("b", 1n);
  process.put("a", 1n);
  assert.deepEqual(process.lessor.keysOf(1n).map(text), ["a", "b"]);
  const before = process.currentRevision;
  assert.equal(await process.lessor.revoke(1n), before + 1);
  assert.equal(process.disk.keys.size, 0);
  assert.equal(process.lessor.has(1n), false);
  assert.deepEqual(process.lessor.keysOf(1n), []);
  await assert.rejects(process.lessor.revoke(1n), isKind("leaseNotFound"));
});

Deno.test("Lessor.revoke() of a lease without keys takes no revision", async () => {
  const { process } = await newProcess();
  await process.lessor.grant(1n, 5);
  assert.equal(await process.lessor.revoke(1n), 1);
});

Deno.test("Lessor.detach() keeps a key that moved to another lease from its first lease's end", async () => {
  const { process } = await newProcess();
  await process.lessor.grant(1n, 5);
  await process.lessor.grant(2n, 5);
  process.put("a", 1n);
  process.put("a", 2n);
  await process.lessor.revoke(1n);
  assert.deepEqual([...process.disk.keys], [["a", 2n]]);
  assert.deepEqual(process.lessor.keysOf(2n), [utf8("a")]);
});

Deno.test("Lessor.keepAlive() writes once, then renews in memory", async () => {
  const { clock, process } = await newProcess();
  const { lessor } = process;
  await lessor.grant(1n, 10);
  clock.advance(3000);
  const first = lessor.keepAlive(1n);
  assert.ok(first instanceof Promise, "the first renewal is made durable");
  assert.equal(await first, 10);
  assert.equal(process.writes, 2);
  for (let i = 0; i < 1000; i++) {
    clock.advance(3000);
    assert.equal(lessor.keepAlive(1n), 10);
    await turn();
  }
  assert.equal(process.writes, 2);
  assert.equal(lessor.timeToLive(1n)?.remainingSeconds, 10);
});

Deno.test("Lessor.keepAlive() answers the first renewals of many leases with one batch", async () => {
  const { process } = await newProcess();
  const ids = Array.from({ length: 100 }, (_, i) => BigInt(i + 1));
  await Promise.all(ids.map((id) => process.lessor.grant(id, 10)));
  const before = process.committed.length;
  await Promise.all(ids.map((id) => process.lessor.keepAlive(id)));
  assert.equal(process.committed.length, before + 1);
});

Deno.test("Lessor.keepAlive() of an unknown lease is 0", async () => {
  const { process: { lessor } } = await newProcess();
  assert.equal(lessor.keepAlive(1n), 0);
});

Deno.test("Lessor.keepAlive() of a lease that is revoked before its mark lands is 0", async () => {
  const { process: { lessor } } = await newProcess();
  await lessor.grant(1n, 10);
  const revoked = lessor.revoke(1n);
  assert.equal(await lessor.keepAlive(1n), 0);
  await revoked;
});

Deno.test("Lessor.keepAlive() rejects if the mark does not become durable", async () => {
  const { process } = await newProcess();
  await process.lessor.grant(1n, 10);
  process.failure = new DomainError("unhealthy");
  await assert.rejects(
    async () => await process.lessor.keepAlive(1n),
    isKind("unhealthy"),
  );
  process.failure = undefined;
  assert.equal(await process.lessor.keepAlive(1n), 10);
});

Deno.test("Lessor.keepAlive() waits for an expired lease to be gone and never renews it", async () => {
  const { clock, process } = await newProcess();
  const { lessor } = process;
  await lessor.grant(1n, 10);
  await lessor.keepAlive(1n);
  process.isHeld = true;
  clock.advance(10_000);
  let answer: number | undefined;
  const waiting = Promise.resolve(lessor.keepAlive(1n)).then((ttl) =>
    answer = ttl
  );
  const second = lessor.keepAlive(1n);
  await turn();
  assert.equal(answer, undefined);
  assert.ok(lessor.has(1n));
  assert.equal(lessor.timeToLive(1n)?.remainingSeconds, 0);
  process.release();
  assert.equal(await waiting, 0);
  assert.equal(await second, 0);
  assert.equal(lessor.has(1n), false);
});

Deno.test("Lessor lets a lease live until its last millisecond, and no longer than a check more", async () => {
  const { clock, process } = await newProcess();
  const { lessor } = process;
  await lessor.grant(1n, 10);
  process.put("a", 1n);
  clock.advance(9_999);
  await turn();
  assert.deepEqual([...process.disk.keys], [["a", 1n]]);
  clock.advance(501);
  await turn();
  assert.equal(process.disk.keys.size, 0);
  assert.equal(lessor.has(1n), false);
  assert.deepEqual(lessor.counts, {
    granted: 1,
    revoked: 1,
    renewed: 0,
    expired: 1,
  });
});

Deno.test("Lessor.timeToLive() is in whole seconds left", async () => {
  const { clock, process: { lessor } } = await newProcess();
  await lessor.grant(1n, 10);
  clock.advance(1);
  assert.deepEqual(lessor.timeToLive(1n), {
    remainingSeconds: 9,
    grantedSeconds: 10,
  });
  clock.advance(8_999);
  assert.equal(lessor.timeToLive(1n)?.remainingSeconds, 1);
  clock.advance(1);
  assert.equal(lessor.timeToLive(1n)?.remainingSeconds, 0);
  assert.equal(lessor.timeToLive(2n), undefined);
});

Deno.test("Lessor.list() gives the soonest to end first", async () => {
  const { clock, process: { lessor } } = await newProcess();
  await lessor.grant(1n, 100);
  await lessor.grant(2n, 50);
  await lessor.grant(3n, 70);
  assert.deepEqual(lessor.list(), [2n, 3n, 1n]);
  clock.advance(40_000);
  await lessor.keepAlive(2n);
  assert.deepEqual(lessor.list(), [3n, 2n, 1n]);
});

Deno.test("Lessor keeps no timer while there are no leases", async () => {
  const { clock, process: { lessor } } = await newProcess();
  let timers = 0;
  const every = clock.every.bind(clock);
  clock.every = (periodMs, fire) => {
    const timer = every(periodMs, fire);
    timers++;
    return { cancel: () => (timers--, timer.cancel()) };
  };
  assert.equal(timers, 0);
  await lessor.grant(1n, 10);
  await lessor.grant(2n, 10);
  assert.equal(timers, 1);
  await lessor.revoke(1n);
  assert.equal(timers, 1);
  await lessor.revoke(2n);
  assert.equal(timers, 0);
  await lessor.grant(3n, 10);
  assert.equal(timers, 1);
});

Deno.test("Lessor tries again what it could not revoke", async () => {
  const { clock, process } = await newProcess();
  await process.lessor.grant(1n, 2);
  process.failure = new DomainError("unhealthy");
  clock.advance(5000);
  await turn();
  assert.ok(process.lessor.has(1n));
  process.failure = undefined;
  clock.advance(500);
  await turn();
  assert.equal(process.lessor.has(1n), false);
});

Deno.test("Lessor.stop() answers who waits, and refuses more", async () => {
  const { clock, process } = await newProcess();
  const { lessor } = process;
  await lessor.grant(1n, 2);
  process.failure = new DomainError("unhealthy");
  clock.advance(2000);
  const waiting = assert.rejects(
    async () => await lessor.keepAlive(1n),
    isKind("stopped"),
  );
  await lessor.stop();
  await waiting;
  assert.throws(() => lessor.keepAlive(1n), isKind("stopped"));
  assert.throws(() => lessor.list(), isKind("stopped"));
  await assert.rejects(lessor.grant(2n, 5), isKind("stopped"));
  await assert.rejects(lessor.revoke(1n), isKind("stopped"));
});

Deno.test("Lessor: the wall clock's jumps change nothing while the server runs", async () => {
  for (const jump of [-1e10, 1e10]) {
    const { clock, process: { lessor } } = await newProcess();
    await lessor.grant(1n, 10);
    clock.jumpWall(jump);
    clock.advance(9_000);
    await turn();
    assert.equal(lessor.timeToLive(1n)?.remainingSeconds, 1);
    clock.advance(1_500);
    await turn();
    assert.equal(lessor.has(1n), false);
  }
});

Deno.test("Lessor.checkpoint() clears the mark of a lease unrenewed for half its TTL, not of others", async () => {
  const { clock, process } = await newProcess();
  const { lessor, disk } = process;
  await lessor.grant(1n, 1200);
  await lessor.grant(2n, 1200);
  clock.advance(1);
  await lessor.keepAlive(1n);
  await lessor.keepAlive(2n);
  const isMarked = (id: bigint) =>
    decodeLeaseRecord(disk.records.get(id)!).isRenewing;
  for (let i = 0; i < 9; i++) {
    clock.advance(MINUTE_MS);
    lessor.keepAlive(2n);
    await turn();
  }
  assert.ok(isMarked(1n), "nine minutes are less than half of twenty");
  clock.advance(6 * MINUTE_MS);
  await turn();
  assert.equal(isMarked(1n), false);
  assert.ok(isMarked(2n));
  const { deadlineWallMs } = decodeLeaseRecord(disk.records.get(1n)!);
  assert.equal(deadlineWallMs - clock.wallMs(), 5 * MINUTE_MS);
  assert.ok(lessor.keepAlive(1n) instanceof Promise, "the mark is set again");
  await turn();
  assert.ok(isMarked(1n));
});

Deno.test("Lessor.checkpoint() of a very long lease does not wait for half its TTL", async () => {
  const { clock, process } = await newProcess();
  await process.lessor.grant(1n, 1_000_000);
  clock.advance(1);
  await process.lessor.keepAlive(1n);
  clock.advance(65 * MINUTE_MS);
  await turn();
  assert.equal(
    decodeLeaseRecord(process.disk.records.get(1n)!).isRenewing,
    false,
  );
});

Deno.test("Lessor.keepAlive() behind a checkpoint on its way sets the mark again", async () => {
  const { clock, process } = await newProcess();
  const { lessor, disk } = process;
  await lessor.grant(1n, 600);
  clock.advance(1);
  await lessor.keepAlive(1n);
  clock.advance(300_500);
  process.isHeld = true;
  void lessor.checkpoint();
  await turn();
  const renewal = lessor.keepAlive(1n);
  assert.ok(renewal instanceof Promise, "a renewal in memory would be lost");
  process.release();
  assert.equal(await renewal, 600);
  assert.ok(decodeLeaseRecord(disk.records.get(1n)!).isRenewing);
});

Deno.test("Lessor writes nothing while leases are idle or renewed", async () => {
  const { clock, process } = await newProcess();
  const { lessor } = process;
  await lessor.grant(1n, 3600);
  await lessor.grant(2n, 86_400);
  clock.advance(1);
  await lessor.keepAlive(1n);
  const before = process.committed.length;
  for (let hour = 0; hour < 20; hour++) {
    for (let i = 0; i < 3; i++) {
      clock.advance(20 * MINUTE_MS);
      assert.equal(lessor.keepAlive(1n), 3600);
      await turn();
    }
  }
  assert.equal(process.committed.length, before);
});

Deno.test("Lessor.keepAlive() keeps one write of marks in the queue, whatever the number of leases", async () => {
  const { process } = await newProcess();
  const ids = Array.from({ length: 1000 }, (_, i) => BigInt(i + 1));
  await Promise.all(ids.map((id) => process.lessor.grant(id, 10)));
  process.committed.length = 0;
  const answers = ids.flatMap((
    id,
  ) => [process.lessor.keepAlive(id), process.lessor.keepAlive(id)]);
  assert.deepEqual(new Set(await Promise.all(answers)), new Set([10]));
  assert.deepEqual(
    process.committed.map(({ writes, states }) => [writes, states]),
    [
      [1, 256],
      [1, 256],
      [1, 256],
      [1, 232],
    ],
  );
});

Deno.test("Lessor leaves a lease alone that was granted by the id of one that ran out", async () => {
  const { clock, process } = await newProcess();
  const { lessor } = process;
  await lessor.grant(1n, 10);
  process.put("a", 1n);
  process.isHeld = true;
  const revoked = lessor.revoke(1n);
  const granted = lessor.grant(1n, 20);
  clock.advance(10_000); // the expiry of the first one queues behind
  process.release();
  await Promise.all([revoked, granted]);
  await turn();
  assert.deepEqual(lessor.timeToLive(1n), {
    remainingSeconds: 20,
    grantedSeconds: 20,
  });
  assert.equal(lessor.counts.expired, 0);
});

Deno.test("Lessor.checkpoint() leaves a lease alone that was granted by the id of another", async () => {
  const { clock, process } = await newProcess();
  const { lessor, disk } = process;
  await lessor.grant(1n, 600);
  clock.advance(1);
  await lessor.keepAlive(1n);
  clock.advance(400_000);
  await lessor.keepAlive(1n);
  clock.advance(350_000);
  process.isHeld = true;
  const revoked = lessor.revoke(1n);
  const granted = lessor.grant(1n, 20);
  const checkpoint = lessor.checkpoint();
  await turn();
  process.release();
  await Promise.all([revoked, granted, checkpoint]);
  assert.equal(decodeLeaseRecord(disk.records.get(1n)!).ttlSeconds, 20);
});

Deno.test("Lessor revokes with the next slice what the batch had touched", async () => {
  const { clock, process } = await newProcess();
  const { lessor } = process;
  await lessor.grant(1n, 10);
  await lessor.keepAlive(1n);
  await lessor.checkpoint();
  process.isHeld = true;
  clock.advance(9_000);
  void process.write((tx) =>
    tx.putState(
      StateKind.Lease,
      leaseStateKey(1n),
      process.disk.records.get(1n)!,
    )
  );
  clock.advance(1_500);
  process.release();
  await turn();
  assert.equal(lessor.has(1n), false);
});
