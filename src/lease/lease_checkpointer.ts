import { StateKind } from "../backend/state_change.ts";
import type { Clock } from "../base/clock.ts";
import { type Logger, LogThrottle } from "../base/log.ts";
import { leaseStateKey } from "../mvcc/lease_book.ts";
import { type Countdown, isLive, type Lease } from "./lease.ts";
import { encodeLeaseRecord } from "./lease_record.ts";
import type { LeaseStore, LeaseTx } from "./lease_store.ts";

/** Records that one write carries: a write is evaluated without a pause. */
const SLICE_LEASES = 256;

/** How often a failure is told. */
const FAILURE_LOG_PERIOD_MS = 10_000;

/**
 * Writes the deadlines that memory knows into the log, and clears `isRenewing` with that.
 *
 * While such a write is on its way the countdown says `isCheckpointing`: a renewal that comes then must
 * set the flag again with a write of its own, which lands behind this one.
 */
export class LeaseCheckpointer {
  readonly #throttle: LogThrottle;
  #last: Promise<boolean> = Promise.resolve(true);

  constructor(readonly store: LeaseStore, readonly clock: Clock, log: Logger) {
    this.#throttle = new LogThrottle(log, clock, {
      periodMs: FAILURE_LOG_PERIOD_MS,
    });
  }

  /**
   * Writes the deadline of each lease that `isWanted` picks, after what is under way already. It is asked
   * again just before the write. False if something could not be written.
   */
  write(
    leases: Iterable<Lease>,
    isWanted: (countdown: Countdown) => boolean,
  ): Promise<boolean> {
    const wanted: Countdown[] = [];
    for (const { countdown } of leases) {
      if (countdown !== undefined && isWanted(countdown)) {
        wanted.push(countdown);
      }
    }
    if (wanted.length === 0) return this.#last.then(() => true);
    this.#last = this.#last.then(() => this.#writeAll(wanted, isWanted));
    return this.#last;
  }

  async #writeAll(
    wanted: readonly Countdown[],
    isWanted: (countdown: Countdown) => boolean,
  ): Promise<boolean> {
    for (let at = 0; at < wanted.length; at += SLICE_LEASES) {
      const slice = wanted.slice(at, at + SLICE_LEASES)
        .filter((countdown) => isLive(countdown) && isWanted(countdown));
      if (slice.length > 0 && !await this.#writeSlice(slice)) return false;
    }
    return true;
  }

  async #writeSlice(slice: readonly Countdown[]): Promise<boolean> {
    for (const countdown of slice) countdown.isCheckpointing = true;
    try {
      await this.store.write((tx) => {
        for (const countdown of slice) this.#writeOne(tx, countdown);
      });
      return true;
    } catch (error) {
      this.#throttle.warn("cannot checkpoint leases", {
        leases: slice.length,
        error,
      });
      return false;
    } finally {
      for (const countdown of slice) countdown.isCheckpointing = false;
    }
  }

  /** Leaves a lease that the batch has touched already: it may be another one by the same id. */
  #writeOne(tx: LeaseTx, countdown: Countdown): void {
    const { lease, deadlineMs } = countdown;
    const key = leaseStateKey(lease.id);
    if (!isLive(countdown) || tx.pendingState(StateKind.Lease, key) !== null) {
      return;
    }
    const deadlineWallMs = this.clock.wallMs() + deadlineMs -
      this.clock.monotonicMs();
    const { ttlSeconds } = lease.record;
    tx.putState(
      StateKind.Lease,
      key,
      encodeLeaseRecord({ ttlSeconds, deadlineWallMs, isRenewing: false }),
    );
  }
}
