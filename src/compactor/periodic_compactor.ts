import type { Clock, Timer } from "../base/clock.ts";
import { assert } from "../base/assert.ts";
import type { Logger } from "../base/log.ts";
import { compactAt } from "./compaction.ts";
import type { CompactionTarget, Compactor } from "./compactor.ts";

const HOUR_MS = 3_600_000;

/** Samples per interval between compactions. */
const SAMPLES = 10;

export interface PeriodicCompactorOptions {
  /** How much history to keep. */
  readonly retentionMs: number;
}

/**
 * Keeps the history of a period: compacts at the revision of `retentionMs` ago, as etcd's
 * v3compactor/periodic.go does.
 *
 * With the interval I = min(retention, 1 h) the revision is sampled every I/10. The first compaction comes
 * one retention after the start, further ones every I; one that fails is tried again with the next sample.
 *
 *   retention 24 h: samples every 6 min, 241 of them kept; first compaction after 24 h, then every hour
 *   retention 10 min: samples every minute, 11 kept; a compaction every 10 min
 *
 * Nothing is written while the oldest sample stays the same.
 */
export class PeriodicCompactor implements Compactor {
  readonly #retentionMs: number;
  readonly #intervalMs: number;
  readonly #maxSamples: number;
  /** Revisions, oldest first; when it is full the first is from one retention ago. */
  #samples: number[] = [];
  #timer: Timer | undefined = undefined;
  #nextMs = 0;
  #lastRevision = 0;
  #isCompacting = false;

  constructor(
    readonly target: CompactionTarget,
    readonly clock: Clock,
    readonly log: Logger,
    { retentionMs }: PeriodicCompactorOptions,
  ) {
    assert(retentionMs > 0, "a retention period is positive");
    this.#retentionMs = retentionMs;
    this.#intervalMs = Math.min(retentionMs, HOUR_MS);
    this.#maxSamples = Math.floor((retentionMs * SAMPLES) / this.#intervalMs) +
      1;
  }

  start(): void {
    assert(this.#timer === undefined, "a compactor is started once");
    this.#samples = [this.target.currentRevision];
    this.#nextMs = this.clock.monotonicMs() + this.#retentionMs;
    this.#timer = this.clock.every(
      this.#intervalMs / SAMPLES,
      () => this.#sample(),
    );
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #sample(): void {
    this.#samples.push(this.target.currentRevision);
    if (this.#samples.length > this.#maxSamples) this.#samples.shift();
    const revision = this.#samples[0]!;
    // Timers and the clock disagree by fractions: half a sample is the tolerance.
    const isDue =
      this.clock.monotonicMs() >= this.#nextMs - this.#intervalMs / SAMPLES / 2;
    if (!isDue || revision === this.#lastRevision || this.#isCompacting) return;
    void this.#compact(revision);
  }

  async #compact(revision: number): Promise<void> {
    this.#isCompacting = true;
    const beganMs = this.clock.monotonicMs();
    const isDone = await compactAt(revision, this.target, {
      clock: this.clock,
      log: this.log,
      mode: "periodic",
    });
    this.#isCompacting = false;
    if (!isDone) return;
    this.#lastRevision = revision;
    this.#nextMs = beganMs + this.#intervalMs;
  }
}
