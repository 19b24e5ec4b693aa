import assert from "node:assert/strict";
import {
  BREAKER_OPTIONS,
  CircuitBreaker,
  DatabaseAway,
} from "../../../../../src/backend/driver/remote/circuit_breaker.ts";
import { NoAnswer } from "../../../../../src/backend/driver/remote/retry.ts";
import { FakeClock } from "../../../../support/fake_clock.ts";

const { failures, graceMs, probeMs } = BREAKER_OPTIONS;

class Fixture {
  readonly clock = new FakeClock();
  readonly told: string[] = [];
  probes = 0;
  isBack = false;
  readonly breaker = new CircuitBreaker(
    this.clock,
    () => {
      this.probes++;
      return this.isBack
        ? Promise.resolve()
        : Promise.reject(new Error("still down"));
    },
    {
      away: (reason) => this.told.push(`away: ${reason}`),
      back: (awayMs) => this.told.push(`back after ${awayMs}`),
    },
  );

  fail(times: number): void {
    for (let i = 0; i < times; i++) this.breaker.failed(new Error("refused"));
  }

  /** Enough failures over long enough. */
  open(): void {
    this.fail(failures - 1);
    this.clock.advance(graceMs);
    this.fail(1);
  }
}

Deno.test("CircuitBreaker opens after enough failures over long enough, and not before", () => {
  const f = new Fixture();
  f.fail(failures + 10);
  f.clock.advance(graceMs - 1);
  f.fail(1);
  assert.equal(f.breaker.isOpen, false);
  f.breaker.check();
  f.clock.advance(1);
  f.fail(1);
  assert.equal(f.breaker.isOpen, true);
  assert.throws(() => f.breaker.check(), DatabaseAway);
  assert.throws(() => f.breaker.check(), /Cannot reach the database: refused/);
  assert.deepEqual(f.told, ["away: refused"]);
});

Deno.test("CircuitBreaker does not open for few failures, however long apart", () => {
  const f = new Fixture();
  f.fail(1);
  f.clock.advance(100 * graceMs);
  f.fail(failures - 2);
  assert.equal(f.breaker.isOpen, false);
});

Deno.test("CircuitBreaker begins anew with each success", () => {
  const f = new Fixture();
  f.fail(failures);
  f.clock.advance(graceMs);
  f.breaker.succeeded();
  f.fail(failures);
  assert.equal(f.breaker.isOpen, false);
});

Deno.test("CircuitBreaker asks once a second, and closes when there is an answer", async () => {
  const f = new Fixture();
  f.open();
  for (let second = 1; second <= 5; second++) {
    f.clock.advance(probeMs - 1);
    assert.equal(f.probes, second - 1);
    f.clock.advance(1);
    assert.equal(f.probes, second);
    await settled();
    assert.throws(() => f.breaker.check(), /still down/);
  }
  f.isBack = true;
  f.clock.advance(probeMs);
  await settled();
  assert.equal(f.breaker.isOpen, false);
  f.breaker.check();
  assert.deepEqual(f.told, [
    "away: refused",
    `back after ${graceMs + 6 * probeMs}`,
  ]);
  f.clock.advance(10 * probeMs);
  assert.equal(f.probes, 6);
});

Deno.test("CircuitBreaker.stop() ends the probes", () => {
  const f = new Fixture();
  f.open();
  f.breaker.stop();
  f.clock.advance(10 * probeMs);
  assert.equal(f.probes, 0);
});

/** What promises that are settled already wake. */
function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

Deno.test("CircuitBreaker says once that the database cannot be reached", () => {
  const f = new Fixture();
  f.fail(failures);
  f.clock.advance(graceMs);
  f.breaker.failed(new NoAnswer(300));
  assert.throws(() => f.breaker.check(), {
    message: "Cannot reach the database: no answer within 300 ms",
  });
});
