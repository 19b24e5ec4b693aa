import type { Clock } from "../../../base/clock.ts";
import { BackendError } from "../../backend.ts";
import type { Fault } from "./dialect.ts";

export interface RetryOptions {
  /** An attempt that takes longer counts as failed, and its connection as lost. */
  readonly attemptTimeoutMs: number;
  /** No attempt begins later than this after the first. */
  readonly deadlineMs: number;
}

/**
 * How often a database's faults are met with another attempt: at once, then after waits that double, each cut
 * short at random so that servers which failed together do not come back together.
 */
export class Retry {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #options: RetryOptions;
  #isClosed = false;
  readonly #waiting = new Set<() => void>();

  constructor(
    clock: Clock,
    options: RetryOptions & { readonly random?: () => number },
  ) {
    this.#clock = clock;
    this.#random = options.random ?? Math.random;
    this.#options = options;
  }

  /**
   * Attempts until one succeeds, or fails for good, or time is up; rejects with the last error as it came.
   * `lost` is called when an attempt did not answer in time.
   */
  async run<T>(
    attempt: () => Promise<T>,
    faults: {
      readonly of: (error: unknown) => Fault;
      readonly lost: (error: NoAnswer) => void;
    },
  ): Promise<T> {
    const began = this.#clock.monotonicMs();
    for (let failures = 0;; failures++) {
      try {
        return await this.#inTime(attempt, faults.lost);
      } catch (error) {
        const isTransient = error instanceof NoAnswer ||
          faults.of(error) === "transient";
        const elapsedMs = this.#clock.monotonicMs() - began;
        if (
          !isTransient || this.#isClosed ||
          elapsedMs >= this.#options.deadlineMs
        ) throw error;
      }
      if (failures > 0) await this.#wait(failures);
    }
  }

  /** Ends every wait; what fails from now on is not tried again. */
  close(): void {
    this.#isClosed = true;
    for (const wake of this.#waiting) wake();
  }

  #inTime<T>(
    attempt: () => Promise<T>,
    lost: (error: NoAnswer) => void,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const timer = this.#clock.after(this.#options.attemptTimeoutMs, () => {
        const error = new NoAnswer(this.#options.attemptTimeoutMs);
        reject(error);
        lost(error);
      });
      attempt().then(resolve, reject).finally(() => timer.cancel());
    });
  }

  async #wait(failures: number): Promise<void> {
    const longest = Math.min(FIRST_WAIT_MS * 2 ** (failures - 1), MAX_WAIT_MS);
    const delayMs = longest * (0.5 + this.#random() / 2);
    await new Promise<void>((resolve) => {
      const wake = () => {
        this.#waiting.delete(wake);
        timer.cancel();
        resolve();
      };
      const timer = this.#clock.after(delayMs, wake);
      this.#waiting.add(wake);
    });
  }
}

/** The database was asked and did not answer. */
export class NoAnswer extends BackendError {
  constructor(timeoutMs: number) {
    super(`Cannot reach the database: no answer within ${timeoutMs} ms`);
  }
}

const FIRST_WAIT_MS = 10;
const MAX_WAIT_MS = 2000;
