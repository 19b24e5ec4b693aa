import { StateKind } from "../backend/state_change.ts";
import type { Clock } from "../base/clock.ts";
import { IndexedHeap } from "../base/heap.ts";
import { type Logger, LogThrottle } from "../base/log.ts";
import { leaseStateKey } from "../mvcc/lease_book.ts";
import { type Countdown, isLive } from "./lease.ts";
import type { LeaseStore, LeaseTx } from "./lease_store.ts";

export interface LeaseExpiryLimits {
  /** Leases revoked in one go, so that a request never waits for more of them than this. */
  readonly maxSliceLeases: number;
  /** Keys deleted in one go; a lease with more goes alone, since its keys share one revision. */
  readonly maxSliceKeys: number;
}

/** How often a failure to revoke is told; it is tried again with every check. */
const FAILURE_LOG_PERIOD_MS = 10_000;

/**
 * Revokes leases that ran out, through the log like any other write: each lease is one write (and one
 * revision if it has keys), and a slice of them is queued at once, so that they share a batch. The next
 * slice follows when the last one is durable; the requests that came meanwhile are in front of it.
 *
 * Invariant: a countdown is in the heap unless its revoke is under way or done.
 */
export class LeaseExpiry {
  readonly #byDeadline = new IndexedHeap<Countdown>((a, b) =>
    a.deadlineMs < b.deadlineMs
  );
  readonly #throttle: LogThrottle;
  #running: Promise<void> | undefined = undefined;
  #isStopped = false;
  #expired = 0;

  constructor(
    readonly store: LeaseStore,
    readonly clock: Clock,
    log: Logger,
    readonly limits: LeaseExpiryLimits,
  ) {
    this.#throttle = new LogThrottle(log, clock, {
      periodMs: FAILURE_LOG_PERIOD_MS,
    });
  }

  /** Leases revoked because they ran out. */
  get expired(): number {
    return this.#expired;
  }

  add(countdown: Countdown): void {
    this.#byDeadline.push(countdown);
  }

  remove(countdown: Countdown): void {
    this.#byDeadline.remove(countdown);
  }

  /** Gives a lease that has not run out another deadline. */
  extend(countdown: Countdown, deadlineMs: number): void {
    countdown.deadlineMs = deadlineMs;
    if (this.#byDeadline.has(countdown)) this.#byDeadline.update(countdown);
  }

  /** Revokes everything that is due, in the background. One run at a time. */
  run(): void {
    const next = this.#byDeadline.peek();
    if (this.#running !== undefined || next === undefined) return;
    if (next.deadlineMs > this.clock.monotonicMs()) return;
    this.#running = this.#revokeDue().finally(() => this.#running = undefined);
  }

  /** Starts no further slice; resolves when the one under way is done. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  async #revokeDue(): Promise<void> {
    while (!this.#isStopped) {
      const slice = this.#takeDue();
      if (slice.length === 0 || !await this.#revoke(slice)) return;
    }
  }

  #takeDue(): Countdown[] {
    const now = this.clock.monotonicMs();
    const { maxSliceLeases, maxSliceKeys } = this.limits;
    const slice: Countdown[] = [];
    let keys = 0;
    while (slice.length < maxSliceLeases) {
      const next = this.#byDeadline.peek();
      if (next === undefined || next.deadlineMs > now) break;
      keys += next.lease.keys.size;
      if (keys > maxSliceKeys && slice.length > 0) break;
      this.#byDeadline.remove(next);
      slice.push(next);
    }
    return slice;
  }

  /** False if some could not be revoked. Those that are still there afterwards are due again. */
  async #revoke(slice: readonly Countdown[]): Promise<boolean> {
    const writes = slice.map((countdown) =>
      this.store.write((tx) =>
        isUntouched(tx, countdown) && revokeLease(tx, countdown.lease.id)
      )
    );
    const outcomes = await Promise.allSettled(writes);
    let failures = 0;
    let cause: unknown;
    for (let i = 0; i < outcomes.length; i++) {
      const outcome = outcomes[i]!;
      if (outcome.status === "rejected") {
        failures++;
        cause = outcome.reason;
      } else if (outcome.value.result) {
        this.#expired++;
      }
      if (isLive(slice[i]!)) this.#byDeadline.push(slice[i]!);
    }
    if (failures === 0) return true;
    this.#throttle.warn("cannot revoke expired leases", {
      leases: failures,
      error: cause,
    });
    return false;
  }
}

/**
 * Whether the write sees the lease that ran out as it was committed. If not, it may be gone and another
 * one granted by the same id; the next slice knows.
 */
function isUntouched(tx: LeaseTx, countdown: Countdown): boolean {
  return isLive(countdown) &&
    tx.pendingState(StateKind.Lease, leaseStateKey(countdown.lease.id)) ===
      null;
}

/** Ends a lease and deletes its keys, as one change; false if there is no such lease. */
export function revokeLease(tx: LeaseTx, id: bigint): boolean {
  if (!tx.hasLease(id)) return false;
  for (const key of tx.keysOfLease(id)) tx.deleteKey(key);
  tx.putState(StateKind.Lease, leaseStateKey(id), undefined);
  return true;
}
