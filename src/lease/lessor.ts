import { StateKind, type StateTable } from "../backend/state_change.ts";
import { assert } from "../base/assert.ts";
import type { Clock, Timer } from "../base/clock.ts";
import { DomainError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { type LeaseBook, leaseStateKey } from "../mvcc/lease_book.ts";
import { Countdown, type Lease } from "./lease.ts";
import { LeaseCheckpointer } from "./lease_checkpointer.ts";
import { LeaseExpiry, revokeLease } from "./lease_expiry.ts";
import { encodeLeaseRecord, remainingAtStartMs } from "./lease_record.ts";
import type { LeaseStore, LeaseTx } from "./lease_store.ts";
import { LeaseTable } from "./lease_table.ts";
import { RenewalMarks } from "./renewal_marks.ts";

/** The longest TTL that etcd grants (server/lease/lessor.go). */
export const MAX_TTL_SECONDS = 9_000_000_000;

export interface LessorOptions {
  /** Shorter TTLs are raised to this: ceil(1.5 × election timeout), 2 by default. */
  readonly minTtlSeconds: number;
  /** How often to look for leases that ran out; a key outlives its lease by no more. etcd: 500 ms. */
  readonly checkIntervalMs: number;
  /** What a lease has left at least after a start, if its TTL allows: time for its client to come back. */
  readonly restartGraceMs: number;
  /** How often to look for leases that are marked as renewing and are not. etcd checkpoints every 5 min. */
  readonly checkpointIntervalMs: number;
  /** Leases and keys that expiry takes in one go; see `LeaseExpiryLimits`. */
  readonly maxSliceLeases: number;
  readonly maxSliceKeys: number;
  /** 64 random bits. */
  readonly randomId: () => bigint;
}

export const DEFAULT_LESSOR_OPTIONS: LessorOptions = {
  minTtlSeconds: 2,
  checkIntervalMs: 500,
  restartGraceMs: 15_000,
  checkpointIntervalMs: 300_000,
  maxSliceLeases: 256,
  maxSliceKeys: 1000,
  randomId: () => crypto.getRandomValues(new BigUint64Array(1))[0]!,
};

/** A lease that goes unrenewed for this long, or half its TTL if that is less, is not being renewed. */
const MAX_LAPSE_MS = 3_600_000;

/** A failed checkpoint is tried again after this, not after the whole interval. */
const CHECKPOINT_RETRY_MS = 5_000;

/** On a graceful stop, recorded deadlines that are off by less stay as they are. */
const DEADLINE_TOLERANCE_MS = 1_000;

/** What a lease has left, for LeaseTimeToLive. */
export interface TimeToLive {
  /** Whole seconds; 0 once it ran out. */
  readonly remainingSeconds: number;
  readonly grantedSeconds: number;
}

/** Totals since the start, for metrics. */
export interface LessorCounts {
  readonly granted: number;
  /** Asked for by clients, and those that ran out. */
  readonly revoked: number;
  readonly renewed: number;
  readonly expired: number;
}

/**
 * Whether this server may still end leases when a write is evaluated; where several servers share a log, another one
 * may have taken over since the write was asked for.
 */
export type LeaseFence = (tx: LeaseTx) => boolean;

/** What exists between `start()` and `stop()`. */
interface Running {
  readonly expiry: LeaseExpiry;
  readonly checkpointer: LeaseCheckpointer;
  readonly marks: RenewalMarks;
}

/**
 * Grants, renews and ends leases.
 *
 * Two parts are kept apart. The `LeaseTable` is a function of the log. The countdowns are memory of the one
 * server that expires leases, from `start()` to `stop()` or `resign()`: monotonic deadlines, on which jumps of the wall
 * clock have no effect. A lease ends only through the log, in one change with its keys; once its countdown
 * has run out it is never renewed again, and whoever tries waits until it is gone.
 *
 * What survives a restart. A record holds TTL, wall-clock deadline and the mark `isRenewing`. A renewal
 * is no write: it moves the countdown. But before the first renewal is answered the mark is made durable,
 * and it stays while renewals go on. So, at a start,
 *
 *   marked:      the client was renewing; when last, nobody knows. It gets its whole TTL: never too little.
 *   not marked:  the recorded deadline is exact. It gets what is left, at most its TTL, and at least a
 *                grace (15 s, or its TTL if that is less) in which a client can come back.
 *
 * The mark must go when renewals end, or each restart would grant the whole TTL again. A checkpoint writes
 * the deadline that memory knows and clears the mark: at a start for all marked leases that are not renewed
 * at once, every 5 minutes for those that went unrenewed for half their TTL (or an hour), and at a graceful
 * stop for all. A client that renews every TTL/3, as etcd's does, never meets one, and an idle server
 * writes nothing. A renewal that meets one on its way writes its mark behind it.
 *
 *   14:00  grant, TTL 1 h           record (15:00)
 *   14:20  keepalive                record (15:20, marked), then answered; ends 15:20
 *   14:40  keepalive                no write; ends 15:40; then the client dies
 *   14:50  crash; 14:55 start       marked: ends 15:55, at most a TTL from now, and not before 15:40;
 *                                   checkpoint: record (15:55)
 *   14:56  crash; 15:30 start       not marked: 25 min left, ends 15:55, and so on for ten restarts
 *   15:50  graceful stop            record (15:55) is right already; no write
 *   16:10  start                    overdue: the grace, ends 16:10:15
 */
export class Lessor implements LeaseBook, StateTable {
  readonly #table: LeaseTable;
  readonly #options: LessorOptions;
  #store: LeaseStore | undefined = undefined;
  #running: Running | undefined = undefined;
  #timer: Timer | undefined = undefined;
  #isStopped = false;
  #startedMs = 0;
  #nextCheckpointMs = 0;
  #granted = 0;
  #revoked = 0;
  #renewed = 0;

  constructor(
    readonly clock: Clock,
    readonly log: Logger,
    options: Partial<LessorOptions> = {},
  ) {
    this.#options = { ...DEFAULT_LESSOR_OPTIONS, ...options };
    this.#table = new LeaseTable({
      leaseAdded: (lease) => this.#count(lease, lease.ttlMs),
      leaseRemoved: (lease) => this.#forget(lease),
    });
  }

  /** Whom to write to. Once, before `start`; the store is built with this book. */
  attachStore(store: LeaseStore): void {
    assert(this.#store === undefined, "one store for each lessor");
    this.#store = store;
  }

  /**
   * Takes over expiry, with the table loaded. Resolves when the deadlines that this start has given are
   * durable; waiting for that before serving is what bounds the effect of crash loops. `mayEnd` is asked whenever a
   * write of expiry, or a mark of a renewal, is evaluated: it fails with "noLeader" if the answer is no.
   */
  async start(mayEnd: LeaseFence = () => true): Promise<void> {
    const { clock, log } = this;
    assert(this.#running === undefined, "a lessor that runs is not started");
    const store = fenced(this.#attached(), mayEnd);
    this.#running = {
      expiry: new LeaseExpiry(store, clock, log, this.#options),
      checkpointer: new LeaseCheckpointer(store, clock, log),
      marks: new RenewalMarks(store, this.#table, clock),
    };
    this.#startedMs = clock.monotonicMs();
    const now = {
      wallMs: clock.wallMs(),
      graceMs: this.#options.restartGraceMs,
    };
    for (const lease of this.#table.values()) {
      this.#count(lease, remainingAtStartMs(lease.record, now));
    }
    await this.checkpoint();
  }

  /** Lets expiry go, and writes exact deadlines, so that a start that follows goes on where this one ends. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#running === undefined) return;
    const { expiry, checkpointer } = this.#running;
    this.#running = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
    await expiry.stop();
    await checkpointer.write(this.#table.values(), (c) => this.#isInexact(c));
    this.#dropCountdowns(new DomainError("stopped"));
  }

  /** Lets expiry go at once, and writes nothing: another server has taken over. */
  async resign(): Promise<void> {
    if (this.#running === undefined) return;
    const { expiry } = this.#running;
    this.#running = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#dropCountdowns(new DomainError("noLeader"));
    await expiry.stop();
  }

  /** Whether this is the server that expires leases. */
  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /** Clears the mark of leases that are not being renewed any more; no write if there are none. */
  async checkpoint(): Promise<void> {
    const { clock } = this;
    this.#nextCheckpointMs = clock.monotonicMs() +
      this.#options.checkpointIntervalMs;
    const isDone = await this.#running?.checkpointer.write(
      this.#table.values(),
      (c) => this.#isLapsed(c),
    );
    if (isDone === false) {
      this.#nextCheckpointMs = clock.monotonicMs() + CHECKPOINT_RETRY_MS;
    }
  }

  /** Grants a lease; id 0 lets the server choose a positive one. */
  async grant(
    id: bigint,
    ttlSeconds: number,
  ): Promise<{ id: bigint; ttlSeconds: number; revision: number }> {
    const store = this.#attached();
    if (ttlSeconds > MAX_TTL_SECONDS) throw new DomainError("leaseTtlTooLarge");
    const granted = Math.max(ttlSeconds, this.#options.minTtlSeconds);
    const { result, revision } = await store.write((tx) => {
      const chosen = id === 0n ? this.#freeId(tx) : id;
      if (tx.hasLease(chosen)) throw new DomainError("leaseExists");
      const deadlineWallMs = this.clock.wallMs() + granted * 1000;
      const record = { ttlSeconds: granted, deadlineWallMs, isRenewing: false };
      tx.putState(
        StateKind.Lease,
        leaseStateKey(chosen),
        encodeLeaseRecord(record),
      );
      return chosen;
    });
    this.#granted++;
    return { id: result, ttlSeconds: granted, revision };
  }

  /** Ends a lease and deletes its keys; returns the revision after that. `guard` stops it by throwing. */
  async revoke(
    id: bigint,
    guard: (tx: LeaseTx) => void = () => {},
  ): Promise<number> {
    const { revision } = await this.#attached().write((tx) => {
      guard(tx);
      if (!revokeLease(tx, id)) throw new DomainError("leaseNotFound");
    });
    this.#revoked++;
    return revision;
  }

  /**
   * Renews a lease: the seconds that it has from now on, 0 if there is none. A promise if the renewal has
   * to be made durable, or if the lease ran out and is yet to be revoked.
   */
  keepAlive(id: bigint): number | Promise<number> {
    const { expiry, marks } = this.#parts();
    const lease = this.#table.get(id);
    if (lease === undefined) return 0;
    const countdown = countdownOf(lease);
    const now = this.clock.monotonicMs();
    if (countdown.deadlineMs <= now) {
      countdown.gone ??= Promise.withResolvers();
      return countdown.gone.promise.then(() => 0);
    }
    countdown.renewedMs = now;
    expiry.extend(countdown, now + lease.ttlMs);
    this.#renewed++;
    if (lease.record.isRenewing && !countdown.isCheckpointing) {
      return lease.record.ttlSeconds;
    }
    return marks.set(id);
  }

  /** What a lease has left; undefined if there is none. */
  timeToLive(id: bigint): TimeToLive | undefined {
    this.#parts();
    const lease = this.#table.get(id);
    if (lease === undefined) return undefined;
    const leftMs = countdownOf(lease).deadlineMs - this.clock.monotonicMs();
    return {
      remainingSeconds: Math.max(0, Math.floor(leftMs / 1000)),
      grantedSeconds: lease.record.ttlSeconds,
    };
  }

  /** The ids of all leases, soonest to end first. */
  list(): bigint[] {
    this.#parts();
    return Array.from(this.#table.values(), countdownOf)
      .sort((a, b) => a.deadlineMs - b.deadlineMs)
      .map(({ lease }) => lease.id);
  }

  get counts(): LessorCounts {
    const expired = this.#running?.expiry.expired ?? 0;
    return {
      granted: this.#granted,
      revoked: this.#revoked + expired,
      renewed: this.#renewed,
      expired,
    };
  }

  get size(): number {
    return this.#table.size;
  }

  apply(key: Uint8Array, value: Uint8Array | undefined): void {
    this.#table.apply(key, value);
  }

  has(id: bigint): boolean {
    return this.#table.has(id);
  }

  attach(id: bigint, key: Uint8Array): void {
    this.#table.attach(id, key);
  }

  detach(id: bigint, key: Uint8Array): void {
    this.#table.detach(id, key);
  }

  keysOf(id: bigint): readonly Uint8Array[] {
    return this.#table.keysOf(id);
  }

  #parts(): Running {
    if (this.#running !== undefined) return this.#running;
    throw new DomainError(this.#isStopped ? "stopped" : "noLeader");
  }

  #attached(): LeaseStore {
    if (this.#isStopped) throw new DomainError("stopped");
    assert(this.#store !== undefined, "a lessor works on a store");
    return this.#store;
  }

  #dropCountdowns(reason: DomainError): void {
    for (const lease of this.#table.values()) {
      const { countdown } = lease;
      lease.countdown = undefined;
      countdown?.gone?.reject(reason);
    }
  }

  #freeId(tx: LeaseTx): bigint {
    for (;;) {
      const id = BigInt.asUintN(63, this.#options.randomId());
      if (id !== 0n && !tx.hasLease(id)) return id;
    }
  }

  /** Starts the countdown of a lease, on the server that expires leases. */
  #count(lease: Lease, remainingMs: number): void {
    if (this.#running === undefined) return;
    const now = this.clock.monotonicMs();
    lease.countdown = new Countdown(lease, now, now + remainingMs);
    this.#running.expiry.add(lease.countdown);
    this.#timer ??= this.clock.every(
      this.#options.checkIntervalMs,
      () => this.#check(),
    );
  }

  #forget(lease: Lease): void {
    const { countdown } = lease;
    if (countdown === undefined) return;
    lease.countdown = undefined;
    this.#running?.expiry.remove(countdown);
    countdown.gone?.resolve();
    if (this.#table.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #check(): void {
    this.#running?.expiry.run();
    if (this.clock.monotonicMs() >= this.#nextCheckpointMs) {
      void this.checkpoint();
    }
  }

  /** Marked as renewing, but not renewed since the start, or for long. */
  #isLapsed(countdown: Countdown): boolean {
    const { lease, renewedMs } = countdown;
    if (!lease.record.isRenewing) return false;
    if (renewedMs <= this.#startedMs) return true;
    const limitMs = Math.min(lease.ttlMs / 2, MAX_LAPSE_MS);
    return this.clock.monotonicMs() - renewedMs >= limitMs;
  }

  /** The record says something else than memory knows. */
  #isInexact({ lease, deadlineMs }: Countdown): boolean {
    if (lease.record.isRenewing) return true;
    const recordedLeftMs = lease.record.deadlineWallMs - this.clock.wallMs();
    const leftMs = deadlineMs - this.clock.monotonicMs();
    return Math.abs(recordedLeftMs - leftMs) >= DEADLINE_TOLERANCE_MS;
  }
}

function countdownOf(lease: Lease): Countdown {
  assert(
    lease.countdown !== undefined,
    "a lease counts down while the lessor runs",
  );
  return lease.countdown;
}

function fenced(store: LeaseStore, mayEnd: LeaseFence): LeaseStore {
  return {
    get currentRevision() {
      return store.currentRevision;
    },
    write: (evaluate, options) =>
      store.write((tx) => {
        if (!mayEnd(tx)) throw new DomainError("noLeader");
        return evaluate(tx);
      }, options),
  };
}
