import {
  type Backend,
  BackendError,
  type Batch,
  type Head,
} from "../backend/backend.ts";
import { StateKind } from "../backend/state_change.ts";
import { equalBytes, text } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { DomainError } from "../base/errors.ts";
import { COMPACT_REVISION_KEY } from "./compact_revision.ts";

/** The store, as its follower needs it. */
export interface FollowingStore {
  /** Of the last batch that is known to be durable here: applied, or about to be. */
  readonly durableSeq: number;
  /** Of the last batch that is applied. */
  readonly seq: number;
  /** The id of the batch at `durableSeq`; undefined if it is not known. */
  readonly durableId: Uint8Array | undefined;
  /** Has `catchUp` called as soon as no batch of our own is under way. */
  scheduleCatchUp(): void;
  /** `isWhole`: false if rows of it may have been removed already. */
  applyForeign(batch: Batch, isWhole: boolean): void;
  /** What the database says cannot be: for good. */
  corrupt(error: BackendError): void;
  /** Only a new start helps. */
  fatal(error: BackendError): void;
}

export interface LogFollowerOptions {
  /** A read waits no longer for what others have appended; etcd: 7 s. */
  readonly timeoutMs: number;
}

/** Batches that others have told of and that wait for their turn, and their bytes; beyond it the database has them. */
const MAX_OFFERED = 1024;
const MAX_OFFERED_BYTES = 64 << 20;
/** Whoever has been told of a batch within so long will be told of the next one. */
const FED_MS = 2000;
/** How long after hearing of a batch it is waited for. */
const PATIENCE_MS = 10;
/** Batches that are read in one go: some milliseconds of work to apply. */
const PAGE_BATCHES = 64;
/** After a failure it is tried again, whether or not anybody asks. */
const RETRY_MS = 500;

/**
 * Keeps up with a log that others append to as well.
 *
 * `heardOf` says that there is more; then the queue of writes calls `catchUp` between two batches of ours. What it
 * applies comes from the database, or from whoever appended it, by `offer`: then it is there without being read. A read
 * that has to see everything that was committed before it waits for `barrier`: one look at the log's end serves all
 * reads that wait at that moment.
 *
 * A log that ends earlier than it did, or holds another batch where ours was, was replaced: a backup was restored,
 * or the database lost its tail. Nothing is answered from there on, since what clients were told is not true any more.
 */
export class LogFollower {
  #knownSeq = 0;
  readonly #offered = new Map<number, Batch>();
  #offeredBytes = 0;
  #offeredAtMs = -Infinity;
  /** Until then what is offered is waited for, instead of being read; undefined: nothing is missing. */
  #patientUntilMs: number | undefined = undefined;
  /** A timer is set that ends the patience. */
  #isLookPending = false;
  #failure: unknown = undefined;
  #waiting: Waiter[] = [];
  #nextGroup: PromiseWithResolvers<void> | undefined = undefined;
  #isAsking = false;
  #isRetrying = false;
  #stopWatching: (() => void) | undefined = undefined;

  constructor(
    readonly backend: Backend,
    readonly store: FollowingStore,
    readonly clock: Clock,
    readonly options: LogFollowerOptions,
  ) {}

  /** Whether others have appended what is not here. */
  get isBehind(): boolean {
    return this.#knownSeq > this.store.durableSeq;
  }

  /** Why the log could not be read the last time; undefined while all is well. */
  get failure(): unknown {
    return this.#failure;
  }

  /** With the state loaded. */
  start(): void {
    this.#stopWatching = this.backend.watchCommits((seq) => this.heardOf(seq));
  }

  stop(): void {
    this.#stopWatching?.();
    this.#rejectAll(new DomainError("stopped"));
  }

  /** There is a batch at `seq`. */
  heardOf(seq: number): void {
    if (seq > this.#knownSeq) this.#knownSeq = seq;
    if (!this.isBehind) return;
    const isFed = this.clock.monotonicMs() - this.#offeredAtMs < FED_MS;
    if (!isFed) return this.store.scheduleCatchUp();
    if (this.#patientUntilMs === undefined) this.#bePatient();
  }

  /** A batch of another replica that is durable. */
  offer(batch: Batch): void {
    const { durableSeq } = this.store;
    this.#offeredAtMs = this.clock.monotonicMs();
    if (batch.seq <= durableSeq) return;
    const isFull = this.#offered.size >= MAX_OFFERED ||
      this.#offeredBytes >= MAX_OFFERED_BYTES;
    if (isFull) this.#dropOffered();
    this.#offered.set(batch.seq, batch);
    this.#offeredBytes += batch.rows.length;
    if (batch.seq > this.#knownSeq) this.#knownSeq = batch.seq;
    if (batch.seq === durableSeq + 1) this.store.scheduleCatchUp();
    else if (this.#patientUntilMs === undefined) this.#bePatient();
  }

  /** Somebody else's batch is where ours was to be: it is read at once. */
  lost(seq: number): void {
    if (seq > this.#knownSeq) this.#knownSeq = seq;
    this.#patientUntilMs = this.clock.monotonicMs();
    this.store.scheduleCatchUp();
  }

  /** Resolves when everything is applied that was committed before the call. */
  barrier(): Promise<void> {
    const group = this.#nextGroup ??= Promise.withResolvers();
    if (!this.#isAsking) void this.#ask();
    return group.promise;
  }

  /** Resolves when the batch at `seq` is applied; rejects with "timeout" if that takes too long. */
  reached(seq: number): Promise<void> {
    if (this.store.seq >= seq) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const waiter = { seq, resolve, reject };
      const timer = this.clock.after(
        this.options.timeoutMs,
        () => this.#giveUp(waiter),
      );
      waiter.resolve = () => {
        timer.cancel();
        resolve();
      };
      waiter.reject = (error) => {
        timer.cancel();
        reject(error);
      };
      this.#waiting.push(waiter);
      this.heardOf(seq);
    });
  }

  /** A batch is applied, ours or another's. */
  applied(): void {
    if (this.#waiting.length === 0) return;
    const { seq } = this.store;
    const still: Waiter[] = [];
    for (const waiter of this.#waiting) {
      if (waiter.seq <= seq) waiter.resolve();
      else still.push(waiter);
    }
    this.#waiting = still;
  }

  /** Whether the log still ends with our last batch; if not, we are behind. */
  async isAtEnd(): Promise<boolean> {
    const { seq } = await this.#head();
    if (seq > this.#knownSeq) this.#knownSeq = seq;
    return !this.isBehind;
  }

  /** Applies everything that is known of; called with no batch of our own under way. */
  async catchUp(): Promise<void> {
    try {
      while (this.isBehind) {
        if (this.#applyOffered()) continue;
        if (this.#isPatient) return;
        await this.#applyPage();
      }
      this.#patientUntilMs = undefined;
      this.#dropOffered();
      this.#failure = undefined;
    } catch (error) {
      const known = this.#fail(error);
      this.#rejectAll(known);
      this.#retryLater();
      throw known;
    }
  }

  /** True if the next batch had been offered. */
  #applyOffered(): boolean {
    const batch = this.#offered.get(this.store.durableSeq + 1);
    if (batch === undefined) return false;
    this.store.applyForeign(batch, true);
    this.#forget(batch.seq);
    if (this.#patientUntilMs !== undefined) this.#bePatient();
    return true;
  }

  get #isPatient(): boolean {
    return this.#patientUntilMs !== undefined &&
      this.clock.monotonicMs() < this.#patientUntilMs;
  }

  #bePatient(): void {
    this.#patientUntilMs = this.clock.monotonicMs() + PATIENCE_MS;
    if (!this.#isLookPending) this.#lookAfter(PATIENCE_MS);
  }

  /** Reads what has not been offered in time. */
  #lookAfter(delayMs: number): void {
    this.#isLookPending = true;
    this.clock.after(delayMs, () => {
      this.#isLookPending = false;
      if (this.#patientUntilMs === undefined) return;
      const leftMs = this.#patientUntilMs - this.clock.monotonicMs();
      if (leftMs > 0) this.#lookAfter(leftMs);
      else this.store.scheduleCatchUp();
    });
  }

  #forget(seq: number): void {
    const batch = this.#offered.get(seq);
    if (batch === undefined) return;
    this.#offered.delete(seq);
    this.#offeredBytes -= batch.rows.length;
  }

  #dropOffered(): void {
    this.#offered.clear();
    this.#offeredBytes = 0;
  }

  async #applyPage(): Promise<void> {
    const { store, backend } = this;
    const batches = await backend.batchesAfter(store.durableSeq, PAGE_BATCHES);
    if (batches.length === 0) {
      await this.#head();
      this.#knownSeq = store.durableSeq;
      return;
    }
    // Read behind the rows: what was compacted by then may have been removed from among them.
    const compacted = await compactRevisionOf(backend);
    for (const batch of batches) {
      if (batch.seq !== store.durableSeq + 1) {
        const error = tooFarBehind(store, batch);
        store.fatal(error);
        throw error;
      }
      store.applyForeign(batch, batch.firstRev > compacted);
      this.#forget(batch.seq);
    }
    this.heardOf(batches.at(-1)!.seq);
  }

  async #ask(): Promise<void> {
    this.#isAsking = true;
    while (this.#nextGroup !== undefined) {
      const group = this.#nextGroup;
      this.#nextGroup = undefined;
      try {
        const { seq } = await this.#head();
        this.reached(seq).then(group.resolve, group.reject);
      } catch (error) {
        group.reject(this.#fail(error));
      }
    }
    this.#isAsking = false;
  }

  /** The end of the log, which must not lie before what is here. */
  async #head(): Promise<Head> {
    const { durableSeq, durableId } = this.store;
    const head = await this.backend.head();
    const isReplaced = head.seq < durableSeq ||
      (head.seq === durableSeq && head.id !== undefined &&
        durableId !== undefined && !equalBytes(head.id, durableId));
    if (isReplaced) {
      const error = wentBack(durableSeq, head.seq);
      this.store.corrupt(error);
      throw error;
    }
    this.#failure = undefined;
    return head;
  }

  #fail(error: unknown): DomainError {
    this.#failure = error;
    if (error instanceof DomainError) return error;
    const isCorrupt = error instanceof BackendError && error.kind === "corrupt";
    return new DomainError(isCorrupt ? "corrupt" : "unhealthy", {
      cause: error,
    });
  }

  #retryLater(): void {
    if (this.#isRetrying) return;
    this.#isRetrying = true;
    this.clock.after(RETRY_MS, () => {
      this.#isRetrying = false;
      if (this.isBehind) this.store.scheduleCatchUp();
    });
  }

  #giveUp(waiter: Waiter): void {
    this.#waiting = this.#waiting.filter((other) => other !== waiter);
    waiter.reject(new DomainError("timeout"));
  }

  #rejectAll(error: DomainError): void {
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
  }
}

/** Somebody who waits until a batch is applied. */
interface Waiter {
  readonly seq: number;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/** The revision below which rows may be gone from the database, whether or not that is applied here. */
export async function compactRevisionOf(backend: Backend): Promise<number> {
  const meta = await backend.stateOf?.(StateKind.Meta) ?? [];
  const compacted = meta.find(({ key }) =>
    equalBytes(key, COMPACT_REVISION_KEY)
  );
  return compacted?.value === undefined ? -1 : Number(text(compacted.value));
}

function tooFarBehind(
  { durableSeq }: FollowingStore,
  { seq }: Batch,
): BackendError {
  return new BackendError(
    `Cannot follow the log: batch ${
      durableSeq + 1
    } is gone, the next one is ${seq}`,
    {
      kind: "corrupt",
      cure:
        "this replica stood still for too long: start it again, and it loads the state",
    },
  );
}

function wentBack(here: number, there: number): BackendError {
  const state = there === here
    ? `holds another batch ${here} than the one that was read or written`
    : `ends at batch ${there}, and batch ${here} was there before`;
  return new BackendError(
    `Cannot go on: the database went back in time: its log ${state}`,
    {
      kind: "corrupt",
      cure:
        "it lost its tail, or a backup was restored: restart all replicas, and clients that hold revisions",
    },
  );
}
