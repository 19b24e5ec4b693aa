import type { Clock, Timer } from "../base/clock.ts";
import { assert } from "../base/assert.ts";
import type { Logger } from "../base/log.ts";
import { compactAt } from "./compaction.ts";
import type { CompactionTarget, Compactor } from "./compactor.ts";

/** As etcd's v3compactor/revision.go. */
const INTERVAL_MS = 300_000;

export interface RevisionCompactorOptions {
  /** How many revisions to keep. */
  readonly retention: number;
}

/** Keeps the last `retention` revisions: every 5 minutes it compacts at current - retention, if that moved. */
export class RevisionCompactor implements Compactor {
  readonly #retention: number;
  #timer: Timer | undefined = undefined;
  #lastRevision = 0;
  #isCompacting = false;

  constructor(
    readonly target: CompactionTarget,
    readonly clock: Clock,
    readonly log: Logger,
    { retention }: RevisionCompactorOptions,
  ) {
    assert(retention > 0, "a retention is positive");
    this.#retention = retention;
  }

  start(): void {
    assert(this.#timer === undefined, "a compactor is started once");
    this.#timer = this.clock.every(INTERVAL_MS, () => {
      const revision = this.target.currentRevision - this.#retention;
      if (
        revision <= 0 || revision === this.#lastRevision || this.#isCompacting
      ) return;
      void this.#compact(revision);
    });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  async #compact(revision: number): Promise<void> {
    this.#isCompacting = true;
    const isDone = await compactAt(revision, this.target, {
      clock: this.clock,
      log: this.log,
      mode: "revision",
    });
    this.#isCompacting = false;
    if (isDone) this.#lastRevision = revision;
  }
}
