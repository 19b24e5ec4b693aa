import type { Clock, Timer } from "../../src/base/clock.ts";

interface Pending {
  at: number;
  period: number | undefined;
  fire: () => void;
}

/** A clock that stands still until a test moves it with `advance`. */
export class FakeClock implements Clock {
  #now = 0;
  #wallOffset = 1_700_000_000_000;
  #pending = new Set<Pending>();

  wallMs(): number {
    return this.#wallOffset + this.#now;
  }

  monotonicMs(): number {
    return this.#now;
  }

  after(delayMs: number, fire: () => void): Timer {
    return this.#add({ at: this.#now + delayMs, period: undefined, fire });
  }

  every(periodMs: number, fire: () => void): Timer {
    return this.#add({ at: this.#now + periodMs, period: periodMs, fire });
  }

  /** Moves time on by `ms` and fires every timer that is due on the way, in order of time. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      let next: Pending | undefined;
      for (const p of this.#pending) {
        if (p.at <= end && (next === undefined || p.at < next.at)) next = p;
      }
      if (next === undefined) break;
      this.#now = Math.max(this.#now, next.at);
      if (next.period === undefined) this.#pending.delete(next);
      else next.at += next.period;
      next.fire();
    }
    this.#now = end;
  }

  /** Makes the wall clock jump without any time passing. */
  jumpWall(ms: number): void {
    this.#wallOffset += ms;
  }

  #add(p: Pending): Timer {
    this.#pending.add(p);
    return { cancel: () => void this.#pending.delete(p) };
  }
}
