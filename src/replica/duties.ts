import type { Clock } from "../base/clock.ts";
import { type Logger, LogThrottle } from "../base/log.ts";

/** Something that one of the replicas does for all of them. */
export interface Duty {
  /** For logs. */
  readonly name: string;
  /** Takes over; tried again a little later if it rejects. */
  begin(): Promise<void> | void;
  /** Lets go at once, since another replica may do it already. */
  end(): Promise<void> | void;
}

/** After a duty could not begin. */
const RETRY_MS = 500;
const LOG_MS = 10_000;

/**
 * What the sequencer does beside ordering writes. Begins all duties in order when this replica takes over, and ends
 * them in reverse order when it does not have the role any more; one change after the other, however fast they come.
 *
 *   idle --role--> beginning --all begun--> on duty --role lost--> ending --> idle
 *                     \--one fails--> ending what has begun, and again after a while
 */
export class Duties {
  readonly #duties: readonly Duty[];
  readonly #clock: Clock;
  readonly #throttle: LogThrottle;
  #isWanted = false;
  /** How many of the duties have begun. */
  #begun = 0;
  #changing: Promise<void> | undefined = undefined;

  constructor(duties: readonly Duty[], clock: Clock, log: Logger) {
    this.#duties = duties;
    this.#clock = clock;
    this.#throttle = new LogThrottle(log, clock, { periodMs: LOG_MS });
  }

  /** Whether this replica does them all. */
  get isOn(): boolean {
    return this.#begun === this.#duties.length && this.#isWanted;
  }

  /** Whether this replica is to do them from now on. */
  set(isWanted: boolean): void {
    this.#isWanted = isWanted;
    this.#changing ??= this.#change().finally(() => {
      this.#changing = undefined;
      // It may have been asked for another change when it was done with the last.
      if (this.#begun !== this.#target) this.set(this.#isWanted);
    });
  }

  get #target(): number {
    return this.#isWanted ? this.#duties.length : 0;
  }

  /** Resolves when nothing is begun any more. */
  async stop(): Promise<void> {
    this.set(false);
    await this.#changing;
  }

  async #change(): Promise<void> {
    while (this.#begun !== this.#target) {
      if (this.#isWanted) await this.#beginNext();
      else await this.#endLast();
    }
  }

  async #beginNext(): Promise<void> {
    const duty = this.#duties[this.#begun]!;
    try {
      await duty.begin();
      this.#begun++;
    } catch (error) {
      this.#throttle.warn("cannot take over yet", { duty: duty.name, error });
      await new Promise<void>((resolve) =>
        void this.#clock.after(RETRY_MS, resolve)
      );
    }
  }

  async #endLast(): Promise<void> {
    const duty = this.#duties[--this.#begun]!;
    try {
      await duty.end();
    } catch (error) {
      this.#throttle.warn("cannot let go cleanly", { duty: duty.name, error });
    }
  }
}
