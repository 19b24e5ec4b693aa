import type { Clock, Timer } from "../../../base/clock.ts";
import { BackendError } from "../../backend.ts";

export interface BreakerOptions {
  /** So many failures in a row, with no success between them … */
  readonly failures: number;
  /** … over at least so long, and the database counts as away. */
  readonly graceMs: number;
  /** How often it is looked whether it is back. */
  readonly probeMs: number;
}

/**
 * Three seconds are what a restart or a failover of a well-kept server takes: calls bear with that. A client's own
 * time-out is not much longer, so that it is told why rather than left waiting.
 */
export const BREAKER_OPTIONS: BreakerOptions = {
  failures: 5,
  graceMs: 3000,
  probeMs: 1000,
};

/** Who is told when the database goes away, and when it is back. */
export interface BreakerListener {
  away(reason: string): void;
  back(awayMs: number): void;
}

/**
 * Spares a database that is away, and those who wait for it: calls fail at once, and one probe a second asks.
 *
 *   closed --enough failures in a row--> open --a probe succeeds--> closed
 */
export class CircuitBreaker {
  readonly #clock: Clock;
  readonly #probe: () => Promise<unknown>;
  readonly #listener: BreakerListener;
  readonly #options: BreakerOptions;
  #failures = 0;
  #firstFailureMs = 0;
  /** Undefined: closed. */
  #reason: string | undefined;
  #timer: Timer | undefined;
  #isStopped = false;

  /** `probe` asks the database something small, and rejects if it does not answer in time. */
  constructor(
    clock: Clock,
    probe: () => Promise<unknown>,
    listener: BreakerListener,
    options: BreakerOptions = BREAKER_OPTIONS,
  ) {
    this.#clock = clock;
    this.#probe = probe;
    this.#listener = listener;
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#reason !== undefined;
  }

  /** Throws `DatabaseAway` while it is open. */
  check(): void {
    if (this.#reason !== undefined) throw new DatabaseAway(this.#reason);
  }

  succeeded(): void {
    this.#failures = 0;
  }

  /** An attempt failed in a way that another one might not have. */
  failed(error: unknown): void {
    const now = this.#clock.monotonicMs();
    if (this.#failures === 0) this.#firstFailureMs = now;
    this.#failures++;
    const isEnough = this.#failures >= this.#options.failures &&
      now - this.#firstFailureMs >= this.#options.graceMs;
    if (this.isOpen || !isEnough || this.#isStopped) return;
    const reason = reasonOf(error);
    this.#reason = reason;
    this.#listener.away(reason);
    this.#probeLater();
  }

  /** No more probes. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #probeLater(): void {
    this.#timer = this.#clock.after(
      this.#options.probeMs,
      () => void this.#look(),
    );
  }

  async #look(): Promise<void> {
    try {
      await this.#probe();
    } catch (error) {
      if (this.#isStopped) return;
      this.#reason = reasonOf(error);
      return this.#probeLater();
    }
    if (this.#isStopped) return;
    this.#failures = 0;
    this.#reason = undefined;
    this.#listener.back(this.#clock.monotonicMs() - this.#firstFailureMs);
  }
}

const AWAY = "Cannot reach the database: ";

/** What is behind `AWAY`; an error may say that itself. */
function reasonOf(error: unknown): string {
  const reason = error instanceof Error ? error.message : String(error);
  return reason.startsWith(AWAY) ? reason.slice(AWAY.length) : reason;
}

/** The database has not answered for a while, and was not asked again. */
export class DatabaseAway extends BackendError {
  constructor(reason: string) {
    super(AWAY + reason, {
      cure:
        "The server looks once a second whether the database is back, and goes on by itself.",
    });
  }
}
