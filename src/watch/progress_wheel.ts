import type { Clock, Timer } from "../base/clock.ts";
import type { Watcher } from "./watcher.ts";

/** The interval is cut into this many turns, each for its share of the watchers, so that their notices come spread out. */
const SLOTS = 16;

/** The share of the interval by which it may be longer; as etcd has it. */
const JITTER = 0.1;

/**
 * Visits each watcher that asked for progress once per interval, from one timer for all of them.
 *
 * The timer runs only while there are watchers. A new one is first visited after part of an interval.
 */
export class ProgressWheel {
  readonly #slots: Watcher[][] = Array.from({ length: SLOTS }, () => []);
  #size = 0;
  #cursor = 0;
  #timer: Timer | undefined = undefined;

  constructor(
    readonly clock: Clock,
    readonly random: () => number,
    readonly intervalMs: number,
    readonly visit: (watcher: Watcher) => void,
  ) {}

  add(watcher: Watcher): void {
    const at = Math.floor(this.random() * SLOTS);
    const slot = this.#slots[at]!;
    watcher.wheelSlot = at;
    watcher.wheelIndex = slot.length;
    slot.push(watcher);
    this.#size++;
    if (this.#timer === undefined) this.#arm();
  }

  /** Does nothing if the watcher is not in. */
  remove(watcher: Watcher): void {
    if (watcher.wheelSlot < 0) return;
    const slot = this.#slots[watcher.wheelSlot]!;
    const last = slot.pop()!;
    if (last !== watcher) {
      slot[watcher.wheelIndex] = last;
      last.wheelIndex = watcher.wheelIndex;
    }
    watcher.wheelSlot = -1;
    watcher.wheelIndex = -1;
    if (--this.#size === 0) this.close();
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(): void {
    const delayMs = this.intervalMs / SLOTS * (1 + this.random() * JITTER);
    this.#timer = this.clock.after(delayMs, () => this.#turn());
  }

  #turn(): void {
    this.#arm();
    this.#cursor = (this.#cursor + 1) % SLOTS;
    // A copy: whoever is visited may turn out to be gone, and leaves the slot.
    for (const watcher of this.#slots[this.#cursor]!.slice()) {
      if (watcher.wheelSlot >= 0) this.visit(watcher);
    }
  }
}
