/** A timer that was set; `cancel` is idempotent. */
export interface Timer {
  cancel(): void;
}

/** Where time comes from, so that tests can own it. */
export interface Clock {
  /** Wall clock, milliseconds since the Unix epoch; may jump. */
  wallMs(): number;
  /** Milliseconds that only ever grow; the zero point is arbitrary. Fractions of a millisecond allowed. */
  monotonicMs(): number;
  /** Calls `fire` once after `delayMs`. Does not keep the process alive. */
  after(delayMs: number, fire: () => void): Timer;
  /** Calls `fire` every `periodMs` until cancelled. Does not keep the process alive. */
  every(periodMs: number, fire: () => void): Timer;
}

/** The machine's clock. */
export class SystemClock implements Clock {
  wallMs(): number {
    return Date.now();
  }

  monotonicMs(): number {
    return performance.now();
  }

  after(delayMs: number, fire: () => void): Timer {
    const id = setTimeout(fire, delayMs);
    Deno.unrefTimer(id);
    return { cancel: () => clearTimeout(id) };
  }

  every(periodMs: number, fire: () => void): Timer {
    const id = setInterval(fire, periodMs);
    Deno.unrefTimer(id);
    return { cancel: () => clearInterval(id) };
  }
}
