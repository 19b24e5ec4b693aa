import { BackendError } from "../backend/backend.ts";
import { SnapshotSchedule } from "../backup/snapshot_schedule.ts";
import type { Clock, Timer } from "../base/clock.ts";
import { type Logger, LogThrottle } from "../base/log.ts";
import type { Registry } from "../base/metrics.ts";
import { BatchTrimmer } from "../compactor/batch_trimmer.ts";
import type { Compactor } from "../compactor/compactor.ts";
import { PeriodicCompactor } from "../compactor/periodic_compactor.ts";
import { RevisionCompactor } from "../compactor/revision_compactor.ts";
import { type Garbage, RowReaper } from "../compactor/row_reaper.ts";
import type { Config } from "../config/config.ts";
import type { SpaceQuota } from "../mvcc/space_quota.ts";
import type { Store } from "../mvcc/store.ts";
import type { Replication } from "./replication.ts";

/** A database that fails does so each time. */
const FAILURE_LOG_MS = 10_000;
/** How often the database's size is looked at, and values are tidied up, if anything was written. */
const HOUSEKEEPING_MS = 1000;
/** Bytes of values that one round of tidying moves at most: about 2 ms. */
const CLEAN_SLICE_BYTES = 2 << 20;
/**
 * What a slice of compacted rows may take: the SQLite worker serves appends every 500 rows, so that a write waits
 * for half of it at most. Measured with 100,000 rows and one writer: 4 ms 22k rows/s, p99 4 ms; 12 ms 48k rows/s,
 * p99 8 ms.
 */
const REAPER_SLICE_MS = 8;
/** Batches that are kept once there are twice as many: they settle lost answers and nothing else. */
const KEPT_BATCHES = 10_000;
/** Where several servers follow the log: who stood still for longer has to start again. */
const KEPT_BATCHES_MS = 3_600_000;

export interface UpkeepParts {
  readonly config: Config;
  readonly store: Store;
  readonly quota: SpaceQuota;
  /** Undefined: the database is this server's alone. */
  readonly replication: Replication | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What a server does unasked: compaction and its rows, snapshots on schedule, the size of the database, old batches. */
export class Upkeep {
  readonly reaper: RowReaper;
  readonly #parts: UpkeepParts;
  readonly #compactor: Compactor | undefined;
  readonly #trimmer: BatchTrimmer;
  readonly #throttle: LogThrottle;
  #schedule: SnapshotSchedule | undefined = undefined;
  #timer: Timer | undefined = undefined;
  #seenSeq: number;
  #isRunning = false;

  constructor(parts: UpkeepParts) {
    const { store, clock, log, replication } = parts;
    this.#parts = parts;
    this.#seenSeq = store.seq;
    this.reaper = newReaper(parts);
    this.#compactor = newCompactor(parts);
    this.#trimmer = new BatchTrimmer(
      (seq) => store.backend.trimBatches(seq),
      clock,
      {
        keptBatches: KEPT_BATCHES,
        keptMs: replication === undefined ? 0 : KEPT_BATCHES_MS,
      },
    );
    this.#throttle = new LogThrottle(log, clock, { periodMs: FAILURE_LOG_MS });
    store.addListener({
      committed: () => {},
      compacted: () => this.reaper.wake(),
    });
  }

  async start(registry: Registry): Promise<void> {
    const { config, store, clock, log } = this.#parts;
    this.reaper.wake();
    this.#compactor?.start();
    this.#timer = clock.every(HOUSEKEEPING_MS, () => void this.#tidyUp());
    if (config.snapshotIntervalMs === 0) return;
    this.#schedule = new SnapshotSchedule(
      store.backend,
      store,
      clock,
      log,
      registry,
      {
        directory: config.snapshotDir,
        intervalMs: config.snapshotIntervalMs,
        retention: config.snapshotRetention,
      },
    );
    await this.#schedule.start();
  }

  /** Begins nothing more; resolves when what is under way is done. */
  async stop(): Promise<void> {
    await this.#schedule?.stop();
    this.#timer?.cancel();
    this.#compactor?.stop();
    await this.reaper.stop();
  }

  /** Nothing is done, and nothing written, while nothing changes and all is well. */
  async #tidyUp(): Promise<void> {
    const { store, quota, replication } = this.#parts;
    const isFailing = quota.isDiskFull || store.failure !== undefined;
    const isIdle = store.seq === this.#seenSeq && !isFailing;
    if (this.#isRunning || isIdle) return;
    this.#isRunning = true;
    this.#seenSeq = store.seq;
    try {
      if (isFailing && !store.isCorrupt) {
        await quota.look();
        // Whoever waits for the end of it would wait for a write of somebody else. What fails is logged there.
        if (!quota.isDiskFull) await store.probe().catch(() => {});
      }
      store.cleanValues(CLEAN_SLICE_BYTES);
      await quota.look();
      if (replication?.isOnDuty ?? true) await this.#trimmer.run(store.seq);
    } catch (error) {
      if (error instanceof BackendError && error.kind === "corrupt") {
        store.corrupt(error);
      } else this.#throttle.warn("housekeeping failed", { error });
    } finally {
      this.#isRunning = false;
    }
  }
}

function newReaper(
  { config, store, replication, clock, log }: UpkeepParts,
): RowReaper {
  const garbage = replication?.garbage ?? {
    next: (max: number) => store.nextGarbage(max),
    remove: (rows) => store.backend.remove(rows),
    busy: () => store.queue.length > 0,
  } satisfies Garbage;
  return new RowReaper(garbage, clock, log, {
    maxSliceRows: config.compactionBatchLimit,
    targetSliceMs: REAPER_SLICE_MS,
    pauseMs: config.compactionSleepIntervalMs,
  });
}

/** Undefined: only clients compact. */
function newCompactor(
  { config, store, clock, log }: UpkeepParts,
): Compactor | undefined {
  const { autoCompaction } = config;
  switch (autoCompaction.mode) {
    case "off":
      return undefined;
    case "periodic":
      return new PeriodicCompactor(store, clock, log, autoCompaction);
    case "revision":
      return new RevisionCompactor(store, clock, log, autoCompaction);
  }
}
