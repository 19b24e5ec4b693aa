import { deepEqual, equal, match, notEqual } from "node:assert/strict";
import { SimpleTokens } from "../../../src/auth/simple_tokens.ts";
import { MAX_TOKENS } from "../../../src/auth/token_table.ts";
import type { Clock, Timer } from "../../../src/base/clock.ts";
import { FakeClock } from "../../support/fake_clock.ts";

function open(
  { clock = new FakeClock(), ttlSeconds = 300, seq = 0 }: {
    clock?: Clock;
    ttlSeconds?: number;
    seq?: number;
  } = {},
): SimpleTokens {
  return new SimpleTokens({
    ttlSeconds,
    clock,
    random: (into) => crypto.getRandomValues(into),
    seq: () => ++seq,
  });
}

/** Counts the timers that run. */
class CountingClock extends FakeClock {
  running = 0;

  override every(periodMs: number, fire: () => void): Timer {
    const timer = super.every(periodMs, fire);
    this.running++;
    return {
      cancel: () => {
        this.running--;
        timer.cancel();
      },
    };
  }
}

Deno.test("SimpleTokens.assign() makes 16 letters, a dot and the number", async () => {
  const tokens = open({ seq: 41 });
  const first = await tokens.assign("alice");
  const second = await tokens.assign("alice");
  match(first, /^[a-zA-Z]{16}\.42$/);
  match(second, /^[a-zA-Z]{16}\.43$/);
  notEqual(first.slice(0, 16), second.slice(0, 16));
  tokens.close();
});

Deno.test("SimpleTokens.assign() takes each letter with the same chance", async () => {
  // 208 is the first byte that would come round to "a" a fifth time.
  const given = [[208, 255, ...Array(14).fill(207)], Array(16).fill(0)];
  const tokens = new SimpleTokens({
    ttlSeconds: 300,
    clock: new FakeClock(),
    random: (into) => into.set(given.shift()!),
    seq: () => 1,
  });
  equal(await tokens.assign("alice"), "ZZZZZZZZZZZZZZaa.1");
  tokens.close();
});

Deno.test("SimpleTokens.verify() names the owner, at the current auth revision", async () => {
  const tokens = open();
  const token = await tokens.assign("alice");
  deepEqual(tokens.verify(token), { user: "alice", revision: undefined });
  for (const wrong of ["", "x", token + "0", token.toUpperCase() + "x"]) {
    equal(tokens.verify(wrong), undefined);
  }
  tokens.close();
});

Deno.test("SimpleTokens.verify() keeps a token alive that is used", async () => {
  const clock = new FakeClock();
  const tokens = open({ clock, ttlSeconds: 10 });
  const token = await tokens.assign("alice");
  clock.advance(10_000);
  equal(tokens.verify(token)?.user, "alice");
  clock.advance(10_000);
  equal(tokens.verify(token)?.user, "alice");
  clock.advance(11_000); // time has a grain of a second here
  equal(tokens.verify(token)?.user, "alice");
  clock.advance(12_000);
  equal(tokens.verify(token), undefined);
  equal(tokens.verify(token), undefined);
});

Deno.test("SimpleTokens sweeps out what expired, by a timer that runs only while there are tokens", async () => {
  const clock = new CountingClock();
  const tokens = open({ clock, ttlSeconds: 60 });
  equal(clock.running, 0);
  await tokens.assign("alice");
  clock.advance(30_000);
  const used = await tokens.assign("bob");
  equal(clock.running, 1);
  clock.advance(40_000);
  equal(tokens.size, 1);
  equal(tokens.verify(used)?.user, "bob");
  clock.advance(70_000);
  equal(tokens.size, 0);
  equal(clock.running, 0);
  await tokens.assign("carol");
  equal(clock.running, 1);
  tokens.close();
  equal(clock.running, 0);
});

Deno.test("SimpleTokens.forgetUser() ends that user's tokens and no others", async () => {
  const tokens = open();
  const [a, b, c] = [
    await tokens.assign("alice"),
    await tokens.assign("bob"),
    await tokens.assign("alice"),
  ];
  tokens.forgetUser("alice");
  equal(tokens.verify(a!), undefined);
  equal(tokens.verify(c!), undefined);
  equal(tokens.verify(b!)?.user, "bob");
  tokens.forgetAll();
  equal(tokens.verify(b!), undefined);
});

Deno.test("SimpleTokens keeps MAX_TOKENS, and lets the least recently used go", async () => {
  const clock = new FakeClock();
  const tokens = open({ clock });
  const first = await tokens.assign("alice");
  const second = await tokens.assign("bob");
  for (let i = 2; i < MAX_TOKENS; i++) await tokens.assign("carol");
  equal(tokens.size, MAX_TOKENS);
  clock.advance(1000);
  equal(tokens.verify(first)?.user, "alice");
  await tokens.assign("dave");
  equal(tokens.size, MAX_TOKENS);
  equal(tokens.verify(first)?.user, "alice");
  equal(tokens.verify(second), undefined);
  tokens.close();
});
