import type { Clock, Timer } from "../../../base/clock.ts";
import type { Head } from "../../backend.ts";

/** What a watch needs of the database. */
export interface WatchedLog {
  head(): Promise<Head>;
  /** See `Dialect.listen`. */
  listen(heard: (seq: number) => void, lost: () => void): Promise<boolean>;
}

/**
 * Tells of batches that others have committed.
 *
 * The truth comes from polling. Where notifications come through as well (a pooler may swallow them, an engine
 * may have none), they are what makes it quick, and polling slows down; where they do not, polling is quick while
 * anything happens. Nothing is told twice, and nothing that this process wrote itself.
 *
 *   deaf --a notification comes--> hearing --a poll finds what nobody told of, or the session is lost--> deaf
 */
export class CommitWatch {
  readonly #log: WatchedLog;
  readonly #clock: Clock;
  readonly #told: (seq: number) => void;
  #knownSeq = 0;
  #isListening = false;
  #isHearing = false;
  #isRunning = false;
  #isPolling = false;
  #activeUntilMs = 0;
  #poll: Timer | undefined;
  #relisten: Timer | undefined;

  constructor(log: WatchedLog, clock: Clock, told: (seq: number) => void) {
    this.#log = log;
    this.#clock = clock;
    this.#told = told;
  }

  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    void this.#listen();
    void this.#look();
  }

  stop(): void {
    this.#isRunning = false;
    this.#poll?.cancel();
    this.#relisten?.cancel();
  }

  /** A batch of our own is on its way: a notification of it may come before its answer. */
  writing(seq: number): void {
    this.#knownSeq = Math.max(this.#knownSeq, seq);
    this.#active();
  }

  /** It was not committed: whoever is at its seq is somebody else. */
  gaveUp(seq: number): void {
    this.#knownSeq = Math.min(this.#knownSeq, seq - 1);
  }

  async #listen(): Promise<void> {
    if (this.#isListening || !this.#isRunning) return;
    this.#isListening = true;
    try {
      const canListen = await this.#log.listen(
        (seq) => this.#heard(seq),
        () => this.#deafened(),
      );
      // What was committed before it listened.
      if (canListen) void this.#look();
    } catch {
      // Without it there is polling.
      this.#deafened();
    }
  }

  #deafened(): void {
    this.#isHearing = this.#isListening = false;
    if (!this.#isRunning) return;
    this.#relisten?.cancel();
    this.#relisten = this.#clock.after(
      RELISTEN_MS,
      () => void this.#listen(),
    );
  }

  #heard(seq: number): void {
    this.#isHearing = true;
    this.#learned(seq);
  }

  async #look(): Promise<void> {
    if (this.#isPolling || !this.#isRunning) return;
    this.#isPolling = true;
    this.#poll?.cancel();
    try {
      const { seq } = await this.#log.head();
      // Either it is on its way and will be heard in a moment, or it never comes.
      if (this.#learned(seq)) this.#isHearing = false;
    } catch {
      // The call that needs the database says what is wrong with it; the next look may do better.
    }
    this.#isPolling = false;
    if (!this.#isRunning) return;
    this.#poll = this.#clock.after(this.#periodMs(), () => void this.#look());
  }

  #periodMs(): number {
    if (this.#isHearing) return HEARING_POLL_MS;
    const isActive = this.#clock.monotonicMs() < this.#activeUntilMs;
    return isActive ? ACTIVE_POLL_MS : IDLE_POLL_MS;
  }

  #learned(seq: number): boolean {
    if (!this.#isRunning || seq <= this.#knownSeq) return false;
    this.#knownSeq = seq;
    this.#active();
    this.#told(seq);
    return true;
  }

  /** The look that is waited for comes sooner if this is the beginning. */
  #active(): void {
    const now = this.#clock.monotonicMs();
    const wasIdle = now >= this.#activeUntilMs;
    this.#activeUntilMs = now + ACTIVE_MS;
    if (!wasIdle || this.#isHearing || this.#isPolling || !this.#isRunning) {
      return;
    }
    this.#poll?.cancel();
    this.#poll = this.#clock.after(ACTIVE_POLL_MS, () => void this.#look());
  }
}

/** A write through another server is seen after half of this on average; each look is a read of one row. */
const ACTIVE_POLL_MS = 50;
/**
 * Two statements a second are what an idle server may cost, and it announces itself every 700 ms. The first write after
 * a pause is told by the sequencer; only where that does not get through is it seen so late.
 */
const IDLE_POLL_MS = 1800;
/** For the case that notifications stop without a word. */
const HEARING_POLL_MS = 2000;
/** For so long after a commit another one is expected. */
const ACTIVE_MS = 5000;
const RELISTEN_MS = 1000;
