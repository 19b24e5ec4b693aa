import assert from "node:assert/strict";
import type { Fault } from "../../../../../src/backend/driver/remote/dialect.ts";
import {
  NoAnswer,
  Retry,
} from "../../../../../src/backend/driver/remote/retry.ts";
import { FakeClock } from "../../../../support/fake_clock.ts";

const OPTIONS = { attemptTimeoutMs: 100, deadlineMs: 1000, random: () => 1 };

class Fixture {
  readonly clock = new FakeClock();
  readonly retry = new Retry(this.clock, OPTIONS);
  attempts = 0;
  losses = 0;

  run(attempt: (count: number) => Promise<string>): Promise<string> {
    const run = this.retry.run(() => attempt(++this.attempts), {
      of: (error) => (error as { fault: Fault }).fault,
      lost: () => this.losses++,
    });
    run.catch(() => {}); // until it is awaited
    return run;
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 5) {
      this.clock.advance(5);
      await new Promise((resolve) => setTimeout(resolve));
    }
  }
}

function failure(fault: Fault): Error {
  return Object.assign(new Error(fault), { fault });
}

Deno.test("Retry tries again what may pass, the first time at once", async () => {
  const f = new Fixture();
  const run = f.run((count) =>
    count < 2 ? Promise.reject(failure("transient")) : Promise.resolve("done")
  );
  assert.equal(await run, "done");
  assert.equal(f.attempts, 2);
});

for (const fault of ["fatal", "duplicate", "noSpace"] as const) {
  Deno.test(`Retry does not try again what is ${fault}`, async () => {
    const f = new Fixture();
    const run = f.run(() => Promise.reject(failure(fault)));
    await assert.rejects(run, { message: fault });
    assert.equal(f.attempts, 1);
  });
}

Deno.test("Retry waits longer each time, and gives up with the last error", async () => {
  const f = new Fixture();
  const run = f.run((count) =>
    Promise.reject(Object.assign(failure("transient"), { count }))
  );
  await f.pass(3000);
  // At 0, 0, 10, 30, 70, 150, 310, 630 and, beyond the deadline, 1270 ms.
  await assert.rejects(run, { count: 9 });
});

Deno.test("Retry gives up an attempt that does not answer, and its connections", async () => {
  const f = new Fixture();
  const run = f.run((count) =>
    count === 1 ? new Promise(() => {}) : Promise.resolve("done")
  );
  await f.pass(100);
  assert.equal(await run, "done");
  assert.equal(f.losses, 1);
});

Deno.test("Retry rejects with NoAnswer when nothing ever answers", async () => {
  const f = new Fixture();
  const run = f.run(() => new Promise(() => {}));
  await f.pass(3000);
  await assert.rejects(run, NoAnswer);
});

Deno.test("Retry.close() ends waits, and nothing is tried again", async () => {
  const f = new Fixture();
  const run = f.run(() => Promise.reject(failure("transient")));
  await f.pass(50);
  const before = f.attempts;
  f.retry.close();
  await assert.rejects(run, { message: "transient" });
  assert.equal(f.attempts, before + 1);
});
