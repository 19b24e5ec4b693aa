import assert from "node:assert/strict";
import {
  Deadlines,
  type Expiring,
} from "../../../../src/transport/grpc/deadlines.ts";
import { FakeClock } from "../../../support/fake_clock.ts";
import { Random, seeds } from "../../../support/random.ts";

class Waiting implements Expiring {
  deadlineSlot = -1;
  previousDeadline: Expiring | undefined = undefined;
  nextDeadline: Expiring | undefined = undefined;
  expiredMs: number | undefined = undefined;

  constructor(
    readonly clock: FakeClock,
    readonly deadlineMs: number,
    readonly onExpire: () => void = () => {},
  ) {}

  expire(): void {
    assert.equal(this.expiredMs, undefined, "expired twice");
    this.expiredMs = this.clock.monotonicMs();
    this.onExpire();
  }
}

const TICK_MS = 25;
/** What a deadline may be late by: it waits for the end of its tick, and that one for the timer. */
const LATE_MS = 2 * TICK_MS;

Deno.test("Deadlines ends a call at its deadline or up to two ticks later, never before", () => {
  const clock = new FakeClock();
  const deadlines = new Deadlines(clock);
  const calls = [0.5, 24, 25, 26, 1000, 12_799, 12_800, 12_801, 60_000, 86e6]
    .map((ms) => new Waiting(clock, ms));
  for (const call of calls) deadlines.add(call);
  for (let i = 0; i < 60_100 / 5; i++) clock.advance(5);
  for (const call of calls.slice(0, -1)) {
    const lateMs = call.expiredMs! - call.deadlineMs;
    assert(lateMs >= 0 && lateMs < LATE_MS, `${call.deadlineMs}: ${lateMs}`);
  }
  assert.equal(calls.at(-1)!.expiredMs, undefined);
  assert.equal(deadlines.size, 1);
});

Deno.test("Deadlines.remove() takes a call out, wherever it is, and may be called again", () => {
  const clock = new FakeClock();
  const deadlines = new Deadlines(clock);
  const calls = [1, 2, 3, 4].map(() => new Waiting(clock, 100));
  for (const call of calls) deadlines.add(call);
  deadlines.remove(calls[0]!);
  deadlines.remove(calls[0]!);
  deadlines.remove(calls[3]!);
  deadlines.remove(calls[1]!);
  assert.equal(deadlines.size, 1);
  clock.advance(200);
  assert.deepEqual(calls.map((call) => call.expiredMs !== undefined), [
    false,
    false,
    true,
    false,
  ]);
});

Deno.test("Deadlines has no timer while it is empty", () => {
  const clock = new FakeClock();
  let timers = 0;
  const every = clock.every.bind(clock);
  clock.every = (ms, fire) => {
    timers++;
    return every(ms, fire);
  };
  const deadlines = new Deadlines(clock);
  deadlines.add(new Waiting(clock, Infinity));
  assert.equal(timers, 0);
  for (let i = 0; i < 100; i++) {
    const call = new Waiting(clock, 1000);
    deadlines.add(call);
    deadlines.remove(call);
  }
  assert.equal(timers, 1, "calls that end at once share the timer");
  clock.advance(TICK_MS);
  deadlines.add(new Waiting(clock, 1000));
  assert.equal(timers, 2, "it had stopped");
});

Deno.test("Deadlines.add() takes a deadline that is over already", () => {
  const clock = new FakeClock();
  clock.advance(100_010);
  const deadlines = new Deadlines(clock);
  const call = new Waiting(clock, 99_000);
  deadlines.add(call);
  clock.advance(TICK_MS);
  assert.notEqual(call.expiredMs, undefined);
});

Deno.test("Deadlines lets a call that expires end others that are due, and add new ones", () => {
  const clock = new FakeClock();
  const deadlines = new Deadlines(clock);
  const later = new Waiting(clock, 500);
  const others = [new Waiting(clock, 10), new Waiting(clock, 10)];
  const first = new Waiting(clock, 10, () => {
    for (const other of others) deadlines.remove(other);
    deadlines.add(later);
  });
  for (const call of [...others, first]) deadlines.add(call);
  clock.advance(100);
  assert.notEqual(first.expiredMs, undefined);
  for (const other of others) assert.equal(other.expiredMs, undefined);
  clock.advance(500);
  assert.notEqual(later.expiredMs, undefined);
});

for (const seed of seeds(3)) {
  Deno.test(`Deadlines against a naive list (seed ${seed})`, () => {
    const random = new Random(seed);
    const clock = new FakeClock();
    const deadlines = new Deadlines(clock);
    const waiting = new Set<Waiting>();
    for (let step = 0; step < 2000; step++) {
      const call = new Waiting(
        clock,
        clock.monotonicMs() + random.int(30_000) / 2,
        () => waiting.delete(call),
      );
      waiting.add(call);
      deadlines.add(call);
      if (random.oneIn(3)) {
        const [some] = waiting;
        waiting.delete(some!);
        deadlines.remove(some!);
      }
      clock.advance(random.int(40));
      const now = clock.monotonicMs();
      for (const call of waiting) {
        assert(call.deadlineMs > now - LATE_MS, "late");
      }
      assert.equal(deadlines.size, waiting.size);
    }
  });
}
