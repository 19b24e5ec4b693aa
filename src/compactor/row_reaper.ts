import type { RowId } from "../backend/backend.ts";
import type { Clock, Timer } from "../base/clock.ts";
import { DomainError } from "../base/errors.ts";
import { type Logger, LogThrottle } from "../base/log.ts";

/** Where rows that compaction made unreachable come from, and who removes them. */
export interface Garbage {
  /** About `max` rows that nobody can reach any more; empty when there are none. Each is given once. */
  next(max: number): RowId[];
  /** Removes rows durably; removing what is gone is fine. */
  remove(rows: readonly RowId[]): Promise<void>;
  /** Whether a write waits for the database. */
  busy(): boolean;
  /** Whether rows have to stay for now. Default: they have not. */
  isHeldBack?(): boolean;
  /** There was nothing left. */
  emptied?(): void;
}

export interface RowReaperOptions {
  /** Rows of the first slice. */
  readonly sliceRows: number;
  /** Rows of one slice at most. etcd's --compaction-batch-limit. */
  readonly maxSliceRows: number;
  /** How long a slice should hold the database up at most: about one write's time. */
  readonly targetSliceMs: number;
  /** Pause between slices. etcd's --compaction-sleep-interval. */
  readonly pauseMs: number;
}

export const DEFAULT_ROW_REAPER_OPTIONS: RowReaperOptions = {
  sliceRows: 500,
  maxSliceRows: 1000,
  targetSliceMs: 4,
  pauseMs: 10,
};

/** A slice is not made smaller than this: its transaction would cost more than its rows. */
const MIN_SLICE_ROWS = 16;

/** How fast slices grow again: by this factor, and only while they take less than half the target. */
const GROWTH = 1.25;

/** The longest pause, after slices that stay slow however small they are. */
const MAX_PAUSE_MS = 1_000;

/** While rows have to stay: when to look again. */
const HELD_BACK_MS = 200;

/** While a write waits: when to look again, and how long to give way to writes at most. */
const YIELD_MS = 2;
const MAX_YIELD_MS = 50;

/** A pass that takes longer gives way no more: rows come faster than they go. */
const PATIENCE_MS = 60_000;

/** Pause after a failure, and how often failures are told. */
const RETRY_MS = 1_000;
const FAILURE_LOG_PERIOD_MS = 10_000;

/**
 * Removes rows that compaction has made unreachable, in small slices between writes.
 *
 *   idle --wake--> removing --slice done--> pausing --timer--> removing … --nothing left--> idle
 *
 * A slice that takes longer than the target makes the next one smaller and the pause longer; one for
 * which a write would have to wait is put off, for a bounded time. A slice that fails is tried again: its
 * rows are kept. A crash loses nothing either: whoever loads the store finds these rows again.
 *
 * Invariant: at most one slice is under way, and `done` resolves only after the last one was durable.
 */
export class RowReaper {
  readonly #options: RowReaperOptions;
  readonly #throttle: LogThrottle;
  #pass: PromiseWithResolvers<void> | undefined = undefined;
  #passBeganMs = 0;
  #passRows = 0;
  #timer: Timer | undefined = undefined;
  #removing: Promise<void> | undefined = undefined;
  #isStopped = false;
  /** Rows whose removal failed. */
  #failed: RowId[] = [];
  #sliceRows: number;
  #removedRows = 0;
  #lastSliceMs = 0;
  #lastPassMs = 0;

  constructor(
    readonly garbage: Garbage,
    readonly clock: Clock,
    readonly log: Logger,
    options: Partial<RowReaperOptions> = {},
  ) {
    this.#options = { ...DEFAULT_ROW_REAPER_OPTIONS, ...options };
    this.#sliceRows = Math.min(
      this.#options.sliceRows,
      this.#options.maxSliceRows,
    );
    this.#throttle = new LogThrottle(log, clock, {
      periodMs: FAILURE_LOG_PERIOD_MS,
    });
  }

  /** Rows removed since the start. */
  get removedRows(): number {
    return this.#removedRows;
  }

  /** Rows that the next slice takes. */
  get sliceRows(): number {
    return this.#sliceRows;
  }

  /** How long the last slice and the last whole pass took. */
  get lastSliceMs(): number {
    return this.#lastSliceMs;
  }

  get lastPassMs(): number {
    return this.#lastPassMs;
  }

  get isRunning(): boolean {
    return this.#pass !== undefined;
  }

  /**
   * Resolves once all rows that are unreachable now are gone and that is durable; rejects with "stopped"
   * if that is not to be.
   */
  get done(): Promise<void> {
    this.wake();
    return this.#pass?.promise ?? Promise.reject(new DomainError("stopped"));
  }

  /** There may be something to remove: after a compaction, and once after the start. */
  wake(): void {
    if (this.#isStopped || this.#pass !== undefined) return;
    this.#pass = Promise.withResolvers();
    this.#pass.promise.catch(() => {}); // often nobody waits for it
    this.#passBeganMs = this.clock.monotonicMs();
    this.#passRows = 0;
    // Not at once: the write that compacts is yet to be answered.
    this.#schedule(0);
  }

  /** Begins no further slice; resolves when the one under way is done. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#removing;
    const pass = this.#pass;
    this.#pass = undefined;
    pass?.reject(new DomainError("stopped"));
  }

  #schedule(delayMs: number): void {
    if (this.#isStopped) return;
    this.#timer = this.clock.after(delayMs, () => this.#step(0));
  }

  #step(yieldedMs: number): void {
    if (this.garbage.isHeldBack?.()) return this.#schedule(HELD_BACK_MS);
    const now = this.clock.monotonicMs();
    const isPatient = now - this.#passBeganMs < PATIENCE_MS;
    if (isPatient && yieldedMs < MAX_YIELD_MS && this.garbage.busy()) {
      this.#timer = this.clock.after(
        YIELD_MS,
        () => this.#step(yieldedMs + YIELD_MS),
      );
      return;
    }
    this.#removing = this.#removeSlice(now);
  }

  /** Rejects only if what it was given is wrong, which is fatal. */
  async #removeSlice(beganMs: number): Promise<void> {
    const wanted = this.#sliceRows;
    const rows = this.#failed.length > 0
      ? this.#failed
      : this.garbage.next(wanted);
    if (rows.length === 0) return this.#endPass();
    try {
      await this.garbage.remove(rows);
    } catch (error) {
      this.#failed = rows;
      this.#throttle.warn("cannot remove compacted rows", {
        rows: rows.length,
        error,
      });
      this.#schedule(RETRY_MS);
      return;
    }
    this.#failed = [];
    this.#removedRows += rows.length;
    this.#passRows += rows.length;
    this.#lastSliceMs = this.clock.monotonicMs() - beganMs;
    this.#adapt(rows.length);
    this.#schedule(this.#pauseMs());
  }

  #adapt(rows: number): void {
    const { targetSliceMs, maxSliceRows } = this.#options;
    const tookMs = this.#lastSliceMs;
    if (tookMs > targetSliceMs) {
      const fitting = Math.floor((rows * targetSliceMs) / tookMs);
      this.#sliceRows = Math.max(
        MIN_SLICE_ROWS,
        Math.floor(this.#sliceRows / 2),
        fitting,
      );
      this.#sliceRows = Math.min(this.#sliceRows, maxSliceRows);
    } else if (tookMs < targetSliceMs / 2 && rows >= this.#sliceRows) {
      this.#sliceRows = Math.min(
        maxSliceRows,
        Math.ceil(this.#sliceRows * GROWTH),
      );
    }
  }

  /** After a slow slice the database gets four times as long to itself. */
  #pauseMs(): number {
    const { targetSliceMs, pauseMs } = this.#options;
    const tookMs = this.#lastSliceMs;
    if (tookMs <= targetSliceMs) return pauseMs;
    return Math.max(pauseMs, Math.min(MAX_PAUSE_MS, 4 * tookMs));
  }

  #endPass(): void {
    const pass = this.#pass;
    if (pass === undefined) return;
    this.#pass = undefined;
    this.garbage.emptied?.();
    this.#lastPassMs = this.clock.monotonicMs() - this.#passBeganMs;
    if (this.#passRows > 0) {
      const tookMs = Math.round(this.#lastPassMs);
      this.log.info("removed compacted rows", { rows: this.#passRows, tookMs });
    }
    pass.resolve();
  }
}
