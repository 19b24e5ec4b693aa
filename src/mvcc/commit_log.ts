import { BackendError } from "../backend/backend.ts";
import type { Clock } from "../base/clock.ts";
import { type Logger, LogThrottle } from "../base/log.ts";
import type { Counter } from "../base/metrics.ts";
import type { CommitObserver } from "./store.ts";

export interface CommitLogOptions {
  /** A commit that takes longer is slow; etcd's `--warning-apply-duration`. */
  readonly slowMs: number;
  /** Counts slow commits. */
  readonly slowCommits: Counter;
  /** While it is, deletes and what is small are committed: no sign that all is well again. */
  readonly isDiskFull: () => boolean;
}

/** How often a failure that lasts is logged, with the number of writes that failed in between. */
const FAILURE_PERIOD_MS = 10_000;

/** Slow commits come in rows; one is logged per second, with the number of the others. */
const SLOW_PERIOD_MS = 1000;

/**
 * Tells an operator of commits and reads that fail, with the cause and the cure, and of commits that are slow.
 *
 *   well --a commit fails: an error line--> failing --each 10 s: a line--> failing --a commit succeeds: one line--> well
 */
export class CommitLog implements CommitObserver {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #failures: LogThrottle;
  readonly #slow: LogThrottle;
  readonly #options: CommitLogOptions;
  #failingSinceMs: number | undefined;

  constructor(log: Logger, clock: Clock, options: CommitLogOptions) {
    this.#log = log;
    this.#clock = clock;
    this.#options = options;
    this.#failures = new LogThrottle(log, clock, {
      periodMs: FAILURE_PERIOD_MS,
    });
    this.#slow = new LogThrottle(log, clock, { periodMs: SLOW_PERIOD_MS });
  }

  committed(durationMs: number, rows: number, bytes: number): void {
    if (this.#failingSinceMs !== undefined && !this.#options.isDiskFull()) {
      const failedForMs = Math.round(
        this.#clock.monotonicMs() - this.#failingSinceMs,
      );
      this.#failingSinceMs = undefined;
      this.#log.warn("the database takes writes again", { failedForMs });
    }
    const { slowMs, slowCommits } = this.#options;
    if (durationMs <= slowMs) return;
    slowCommits.inc();
    this.#slow.warn("slow commit", {
      durationMs: Math.round(durationMs),
      expectedMs: slowMs,
      rows,
      bytes,
    });
  }

  failed(error: unknown): void {
    this.#failingSinceMs ??= this.#clock.monotonicMs();
    const kind = error instanceof BackendError ? error.kind : "failed";
    this.#logFailure(MESSAGES[kind], error);
  }

  readFailed(error: BackendError): void {
    this.#logFailure(READ_MESSAGE, error);
  }

  #logFailure(message: string, error: unknown): void {
    const cure = error instanceof BackendError ? error.cure : "";
    this.#failures.error(message, { error, cure: cure || "see the cause" });
  }
}

const READ_MESSAGE = "cannot read: the database failed";

/** One for each kind, so that the throttle keeps them apart. */
const MESSAGES: Readonly<Record<BackendError["kind"], string>> = {
  noSpace: "cannot write: the disk is full; reads and deletes go on",
  corrupt: "cannot go on: the database is damaged; nothing is written any more",
  locked: "cannot write: the database is locked",
  schema: "cannot write: the database has another schema",
  closed: "cannot write: the database is closed",
  failed: "cannot write: the database failed",
};
