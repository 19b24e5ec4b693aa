import type { Clock, Timer } from "./clock.ts";
import type { Histogram } from "./metrics.ts";

/** How often the lag is measured: five wake-ups a second cost 0.05 % of a core, and a stall of 200 ms is always seen. */
export const LAG_SAMPLE_MS = 200;

/** Late by so much, everybody has waited for something that should have been done in slices. */
export const LAG_WARN_MS = 500;

/**
 * How late the event loop runs what is due: each sample is a timer, and how much later than asked for it fires is
 * about what every request waited then. A process that was stopped or a machine that slept looks the same.
 */
export class EventLoopLag {
  readonly #clock: Clock;
  readonly #histogram: Histogram;
  readonly #onStall: (lagMs: number) => void;
  #timer: Timer | undefined;
  #isStopped = false;

  /** `onStall` is called with each lag of more than `LAG_WARN_MS`. */
  constructor(
    clock: Clock,
    histogram: Histogram,
    onStall: (lagMs: number) => void,
  ) {
    this.#clock = clock;
    this.#histogram = histogram;
    this.#onStall = onStall;
  }

  start(): void {
    if (this.#isStopped) return;
    const dueMs = this.#clock.monotonicMs() + LAG_SAMPLE_MS;
    this.#timer = this.#clock.after(LAG_SAMPLE_MS, () => {
      const lagMs = Math.max(0, this.#clock.monotonicMs() - dueMs);
      this.#histogram.observe(lagMs / 1000);
      if (lagMs > LAG_WARN_MS) this.#onStall(lagMs);
      this.start();
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }
}
