import { assert } from "../../base/assert.ts";
import type { Clock, Timer } from "../../base/clock.ts";

/** How often deadlines are looked at; a call may overrun by twice that. */
const TICK_MS = 25;
/** A power of two. One turn of the wheel is 12.8 s: most calls end within it and are looked at once at most. */
const SLOTS = 512;

/** Something that ends at a time. The fields below `deadlineMs` belong to `Deadlines`. */
export interface Expiring {
  /** `Clock.monotonicMs()`; does not change. */
  readonly deadlineMs: number;
  /** Its slot in the wheel, or -1. */
  deadlineSlot: number;
  previousDeadline: Expiring | undefined;
  nextDeadline: Expiring | undefined;
  expire(): void;
}

/**
 * Ends calls whose time is up: a hashed wheel, so that adding and removing a call costs a few nanoseconds, and one
 * timer for all of them, which runs only while there are any.
 *
 * Invariant: a call with a deadline in tick t is in the list of slot t mod SLOTS; all ticks up to `#lastTick` have
 * been looked at.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #slots: (Expiring | undefined)[] = new Array(SLOTS).fill(undefined);
  #size = 0;
  #lastTick = 0;
  #timer: Timer | undefined = undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#size;
  }

  /** A deadline of Infinity is none. */
  add(call: Expiring): void {
    if (call.deadlineMs === Infinity) return;
    assert(call.deadlineSlot < 0, "a call has one deadline");
    if (this.#timer === undefined) this.#start();
    const due = Math.ceil(call.deadlineMs / TICK_MS);
    const slot = Math.max(due, this.#lastTick + 1) & (SLOTS - 1);
    const first = this.#slots[slot];
    call.deadlineSlot = slot;
    call.nextDeadline = first;
    if (first !== undefined) first.previousDeadline = call;
    this.#slots[slot] = call;
    this.#size++;
  }

  /** Does nothing if it is not there. */
  remove(call: Expiring): void {
    const slot = call.deadlineSlot;
    if (slot < 0) return;
    const { previousDeadline, nextDeadline } = call;
    if (previousDeadline === undefined) this.#slots[slot] = nextDeadline;
    else previousDeadline.nextDeadline = nextDeadline;
    if (nextDeadline !== undefined) {
      nextDeadline.previousDeadline = previousDeadline;
    }
    call.deadlineSlot = -1;
    call.previousDeadline = undefined;
    call.nextDeadline = undefined;
    this.#size--;
  }

  /** Stops the timer if it has nothing to do, instead of at the next tick. */
  rest(): void {
    if (this.#size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #start(): void {
    this.#lastTick = Math.floor(this.#clock.monotonicMs() / TICK_MS);
    this.#timer = this.#clock.every(TICK_MS, () => this.#tick());
  }

  #tick(): void {
    const nowMs = this.#clock.monotonicMs();
    const tick = Math.floor(nowMs / TICK_MS);
    // After a long pause, one turn sees everything.
    const from = Math.max(this.#lastTick + 1, tick - SLOTS + 1);
    const due: Expiring[] = [];
    for (let t = from; t <= tick; t++) {
      let call = this.#slots[t & (SLOTS - 1)];
      for (; call !== undefined; call = call.nextDeadline) {
        if (call.deadlineMs <= nowMs) due.push(call);
      }
    }
    this.#lastTick = tick;
    for (const call of due) {
      // One that ended another is possible: a connection that closes.
      if (call.deadlineSlot < 0) continue;
      this.remove(call);
      call.expire();
    }
    this.rest();
  }
}
