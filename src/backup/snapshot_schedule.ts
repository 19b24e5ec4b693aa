import type { Backend, Snapshot } from "../backend/backend.ts";
import type { Clock, Timer } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { Gauge, Registry } from "../base/metrics.ts";
import { SnapshotDir } from "./snapshot_dir.ts";
import { writeSnapshotFile } from "./snapshot_file.ts";

/** Bytes asked of the backend at once: the worker reads them in less than a millisecond. */
const READ_BYTES = 1 << 20;

/** A failed snapshot is tried again after this, or after the interval if that is less. */
const RETRY_MS = 60_000;

/** The longest that a timer can wait. */
const MAX_WAIT_MS = 2 ** 31 - 1;

export interface SnapshotScheduleOptions {
  readonly directory: string;
  readonly intervalMs: number;
  /** How many are kept; at least 1. */
  readonly retention: number;
}

/** What is looked at to know whether there is anything new. */
export interface ScheduledStore {
  readonly currentRevision: number;
  /** Grows with each batch. */
  readonly seq: number;
}

/**
 * Writes a snapshot of the store into a directory at every interval, if anything was written since the last
 * one, and removes the oldest. The interval goes on across restarts: it is counted from the newest file.
 *
 * A failure is logged, counted and tried again; it never stops the server.
 * Invariant: at most one snapshot is being made.
 */
export class SnapshotSchedule {
  readonly #backend: Pick<Backend, "snapshot">;
  readonly #store: ScheduledStore;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #options: SnapshotScheduleOptions;
  readonly #directory: SnapshotDir;
  readonly #metrics: SnapshotMetrics;
  readonly #abort = new AbortController();
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  /** Of the last snapshot; undefined until this server has made one. */
  #lastSeq: number | undefined;

  constructor(
    backend: Pick<Backend, "snapshot">,
    store: ScheduledStore,
    clock: Clock,
    log: Logger,
    registry: Registry,
    options: SnapshotScheduleOptions,
  ) {
    this.#backend = backend;
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
    this.#options = options;
    this.#directory = new SnapshotDir(options.directory);
    this.#metrics = new SnapshotMetrics(registry);
  }

  /** Rejects if the directory cannot be made or read: better told at the start than when a backup is wanted. */
  async start(): Promise<void> {
    await this.#directory.open();
    const newest = (await this.#directory.list()).at(-1);
    const { intervalMs } = this.#options;
    if (newest === undefined) return this.#wait(intervalMs);
    this.#metrics.lastSuccess.set(newest.timeMs / 1000);
    const sinceMs = this.#clock.wallMs() - newest.timeMs;
    // A clock that was set back must not put the next one off for ever.
    this.#wait(Math.min(Math.max(intervalMs - sinceMs, 0), intervalMs));
  }

  /** Resolves when the snapshot that is being made, if any, is given up and gone. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    this.#abort.abort();
    await this.idle();
  }

  /** Resolves when no snapshot is being made, and the next one is on the clock. */
  async idle(): Promise<void> {
    await this.#running;
  }

  /** Intervals may be longer than a timer can wait. */
  #wait(delayMs: number): void {
    if (this.#abort.signal.aborted) return;
    const nowMs = Math.min(delayMs, MAX_WAIT_MS);
    this.#timer = this.#clock.after(nowMs, () => {
      if (nowMs < delayMs) return this.#wait(delayMs - nowMs);
      this.#running = this.#run();
    });
  }

  async #run(): Promise<void> {
    let nextMs = this.#options.intervalMs;
    try {
      if (this.#store.seq !== this.#lastSeq) await this.#make();
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      this.#metrics.failures.inc();
      this.#log.error("scheduled snapshot failed", {
        directory: this.#options.directory,
        error,
      });
      nextMs = Math.min(nextMs, RETRY_MS);
    } finally {
      this.#running = undefined;
    }
    this.#wait(nextMs);
  }

  async #make(): Promise<void> {
    const beganMs = this.#clock.monotonicMs();
    const timeMs = this.#clock.wallMs();
    // Both as of before the copy: what comes meanwhile may be in it, and is copied once more.
    const { seq, currentRevision: revision } = this.#store;
    const path = this.#directory.pathOf(timeMs, revision);
    const sizeBytes = await this.#write(path);
    this.#lastSeq = seq;
    const tookMs = this.#clock.monotonicMs() - beganMs;
    this.#metrics.lastSuccess.set(timeMs / 1000);
    this.#metrics.duration.set(tookMs / 1000);
    this.#metrics.size.set(sizeBytes);
    this.#log.info("made a scheduled snapshot", {
      path,
      revision,
      sizeBytes,
      tookMs,
    });
    await this.#directory.keepNewest(this.#options.retention);
  }

  /** The backend's copy; a stop does not wait for it, since closing the backend drops it. */
  async #copy(): Promise<Snapshot> {
    const { signal } = this.#abort;
    const stopped = Promise.withResolvers<never>();
    const stop = () => stopped.reject(signal.reason);
    signal.addEventListener("abort", stop);
    const copied = this.#backend.snapshot();
    try {
      return await Promise.race([copied, stopped.promise]);
    } catch (error) {
      // Comes too late for us, or never; either way nobody else will close it.
      if (signal.aborted) copied.then((late) => late.close()).catch(() => {});
      throw error;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  async #write(path: string): Promise<number> {
    const snapshot = await this.#copy();
    try {
      return await writeSnapshotFile(path, chunksOf(snapshot), {
        addChecksum: true,
        signal: this.#abort.signal,
      });
    } finally {
      await snapshot.close();
    }
  }
}

async function* chunksOf(snapshot: Snapshot): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < snapshot.sizeBytes;) {
    const bytes = await snapshot.read(offset, READ_BYTES);
    yield bytes;
    offset += bytes.length;
  }
}

/** What a monitor alerts on: the time of the last success. */
class SnapshotMetrics {
  readonly lastSuccess: Gauge;
  readonly duration: Gauge;
  readonly size: Gauge;
  readonly failures: { inc(): void };

  constructor(registry: Registry) {
    this.lastSuccess = registry.gauge(
      "stele_scheduled_snapshot_last_success_timestamp_seconds",
      "When the newest scheduled snapshot was made, in Unix time; 0 if there is none.",
    );
    this.duration = registry.gauge(
      "stele_scheduled_snapshot_duration_seconds",
      "How long the last scheduled snapshot took.",
    );
    this.size = registry.gauge(
      "stele_scheduled_snapshot_size_bytes",
      "Size of the last scheduled snapshot.",
    );
    this.failures = registry.counter(
      "stele_scheduled_snapshot_failures_total",
      "Scheduled snapshots that failed.",
    );
  }
}
