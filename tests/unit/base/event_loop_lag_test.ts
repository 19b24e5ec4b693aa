import assert from "node:assert/strict";
import {
  EventLoopLag,
  LAG_SAMPLE_MS,
  LAG_WARN_MS,
} from "../../../src/base/event_loop_lag.ts";
import type { Clock } from "../../../src/base/clock.ts";
import { Histogram } from "../../../src/base/metrics.ts";

/** A clock with one timer, which fires when the test says so. */
class LateClock {
  nowMs = 0;
  fire: (() => void) | undefined;
  readonly clock: Pick<Clock, "monotonicMs" | "after"> = {
    monotonicMs: () => this.nowMs,
    after: (delayMs, fire) => {
      assert.equal(delayMs, LAG_SAMPLE_MS);
      this.fire = fire;
      return { cancel: () => this.fire = undefined };
    },
  };

  fireLate(lagMs: number): void {
    this.nowMs += LAG_SAMPLE_MS + lagMs;
    this.fire!();
  }
}

function meter() {
  const late = new LateClock();
  const histogram = new Histogram([0.001, 0.5]);
  const stalls: number[] = [];
  const lag = new EventLoopLag(
    late.clock as Clock,
    histogram,
    (lagMs) => stalls.push(lagMs),
  );
  lag.start();
  return { late, histogram, stalls, lag };
}

Deno.test("EventLoopLag observes by how much each timer is late", () => {
  const { late, histogram } = meter();
  late.fireLate(0);
  late.fireLate(100);
  late.fireLate(1000);
  assert.deepEqual([...histogram.counts], [1, 1, 1]);
  assert.equal(histogram.sum, 1.1);
});

Deno.test("EventLoopLag tells of a stall above its bound, not of one at it", () => {
  const { late, stalls } = meter();
  late.fireLate(LAG_WARN_MS);
  assert.deepEqual(stalls, []);
  late.fireLate(LAG_WARN_MS + 1);
  assert.deepEqual(stalls, [LAG_WARN_MS + 1]);
});

Deno.test("EventLoopLag.stop() leaves no timer", () => {
  const { late, lag } = meter();
  late.fireLate(0);
  lag.stop();
  assert.equal(late.fire, undefined);
});
