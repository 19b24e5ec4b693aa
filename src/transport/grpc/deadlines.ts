import type { Clock, Timer } from "../../base/clock.ts";

/** How often deadlines are looked at: what one call may overrun by. */
const TICK_MS = 25;

/** Something that ends at a time. */
export interface Expiring {
  /** `Clock.monotonicMs()`. */
  readonly deadlineMs: number;
  expire(): void;
}

/**
 * Ends calls whose time is up: one timer for all of them, set while there are any. Calls that are answered at
 * once never come here.
 */
export class Deadlines {
  readonly #waiting = new Set<Expiring>();
  #timer: Timer | undefined = undefined;

  constructor(readonly clock: Clock) {}

  add(call: Expiring): void {
    if (call.deadlineMs === Infinity) return;
    this.#waiting.add(call);
    this.#timer ??= this.clock.every(TICK_MS, () => this.#tick());
  }

  remove(call: Expiring): void {
    this.#waiting.delete(call);
  }

  #tick(): void {
    const now = this.clock.monotonicMs();
    for (const call of this.#waiting) {
      if (call.deadlineMs > now) continue;
      this.#waiting.delete(call);
      call.expire();
    }
    if (this.#waiting.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
