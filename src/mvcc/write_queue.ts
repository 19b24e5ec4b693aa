import type { AppendOutcome } from "../backend/backend.ts";
import { assert } from "../base/assert.ts";
import { DomainError } from "../base/errors.ts";
import { MissingRecords } from "./records.ts";
import type { WriteBatch, WriteTx } from "./write_batch.ts";

/** One write that waits for its turn. */
export interface QueuedWrite {
  /** Evaluates the write; what it returns is the answer once the batch is durable. */
  evaluate(tx: WriteBatch): unknown;
  /** About how many bytes it keeps in memory while it waits. */
  readonly bytes: number;
  /** The server's own, of which few wait at a time: a full queue takes it all the same. */
  readonly isOwn: boolean;
  resolve(answer: Written<unknown>): void;
  reject(error: unknown): void;
}

/** The answer to a write. */
export interface Written<T> {
  readonly result: T;
  /** The store's revision after the write: its own if it changed a key. */
  readonly revision: number;
}

/** Where batches go; the store implements it. */
export interface BatchSink {
  /** A batch on top of all that is applied, and of `below`, which is being made durable. */
  newBatch(below: WriteBatch | undefined): WriteBatch;
  /**
   * Makes the batch durable; one at a time. `conflict`: others have appended first, and `isBehind` is true now.
   * Rejects if it is not durable, or if nobody can say.
   */
  append(batch: WriteBatch): Promise<AppendOutcome>;
  /** Whether others are known to have appended what is not applied here. */
  readonly isBehind: boolean;
  /** Applies what others have appended; nothing of ours is under way or open meanwhile. */
  catchUp(): Promise<void>;
  /** Before the next batch: undefined, or what it has to wait for, so that others can append as well. */
  readonly gap?: (() => Promise<void> | undefined) | undefined;
  /** Applies a durable batch, and tells the listeners. */
  apply(batch: WriteBatch): void;
  /** Takes back a batch that will not be durable, after the one on top of it. */
  abort(batch: WriteBatch): void;
  /** Reads records back for a write that needs them. */
  fetch(missing: MissingRecords, batch: WriteBatch): Promise<void>;
}

export interface WriteQueueLimits {
  /** More waiting writes than this are refused with "too many requests". etcd: 5,000 unapplied requests. */
  readonly maxQueued: number;
  /** Bytes that waiting writes may hold. */
  readonly maxQueuedBytes: number;
  /** Writes that one batch takes at most, so that none waits for a very long one. */
  readonly maxBatchWrites: number;
  readonly maxBatchBytes: number;
}

export const DEFAULT_WRITE_QUEUE_LIMITS: WriteQueueLimits = {
  maxQueued: 5000,
  maxQueuedBytes: 256 << 20,
  maxBatchWrites: 2000,
  maxBatchBytes: 8 << 20,
};

/**
 * Group commit: while one batch is being made durable, the writes that come are evaluated into the next one, on top
 * of what the first will have done, so that it can go the moment the first is durable.
 *
 *   write --> waiting --end of turn--> evaluated into the open batch --the one below is durable--> under way
 *         --durable--> applied, answered
 *
 * Evaluated early, a batch is on its way 20 µs after the one below. Measured with two cores, which the clients use
 * too: 6 % more puts from 100 clients than if it were evaluated then.
 *
 * Invariants: one batch is under way, and one open on top of it. Writes are evaluated in the order in which they
 * came, and answered after their batch is durable, whatever came of them. One that fails its checks fails alone.
 * If a batch does not become durable, its writes are rejected, and those of the open one evaluated again.
 *
 * Where others append too, a batch that comes too late is taken back, what they appended is applied, and the writes
 * of it are evaluated again, in the same order, in front of all others.
 */
export class WriteQueue {
  #waiting: QueuedWrite[] = [];
  /** How many of `#waiting` are evaluated already: they are in the open batch. */
  #next = 0;
  #waitingBytes = 0;
  #open: OpenBatch | undefined = undefined;
  #flying: OpenBatch | undefined = undefined;
  /** What the first write that is not evaluated needs. */
  #missing: MissingRecords | undefined = undefined;
  #isRunning = false;
  #isGathering = false;
  #lostInARow = 0;
  #closed: Error | undefined = undefined;
  #idle: (() => void)[] = [];

  constructor(readonly sink: BatchSink, readonly limits: WriteQueueLimits) {}

  /** Writes that wait for a batch. */
  get length(): number {
    return this.#waiting.length - this.#next +
      (this.#open?.outcomes.length ?? 0);
  }

  /** Bytes of requests that wait for a batch. */
  get bytes(): number {
    return this.#waitingBytes;
  }

  /** How many batches in a row came too late. */
  get lostInARow(): number {
    return this.#lostInARow;
  }

  get isBusy(): boolean {
    return this.#isRunning || this.length > 0;
  }

  write<T>(evaluate: (tx: WriteTx) => T, bytes = 0): Promise<Written<T>> {
    return new Promise((resolve, reject) => {
      this.submit({
        evaluate,
        bytes,
        isOwn: false,
        resolve: resolve as (answer: Written<unknown>) => void,
        reject,
      });
    });
  }

  submit(write: QueuedWrite): void {
    if (this.#closed !== undefined) return write.reject(this.#closed);
    const isFull = this.length >= this.limits.maxQueued ||
      this.#waitingBytes > this.limits.maxQueuedBytes;
    if (isFull && !write.isOwn) {
      return write.reject(new DomainError("tooManyRequests"));
    }
    this.#waiting.push(write);
    this.#waitingBytes += write.bytes;
    if (!this.#isRunning) {
      this.#isRunning = true;
      queueMicrotask(() => void this.#run());
    } else if (!this.#isGathering && this.#flying !== undefined) {
      this.#isGathering = true;
      queueMicrotask(() => {
        this.#isGathering = false;
        if (this.#flying !== undefined) this.#gather();
      });
    }
  }

  /** Has what others appended applied, as soon as nothing is under way. */
  follow(): void {
    if (this.#isRunning || this.#closed !== undefined) return;
    this.#isRunning = true;
    queueMicrotask(() => void this.#run());
  }

  /** Resolves once nothing waits and nothing is under way. */
  drained(): Promise<void> {
    if (!this.isBusy) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Refuses new writes, and those that wait, with `error`. */
  close(error: Error): void {
    this.#closed = error;
    const open = this.#open;
    if (open !== undefined) {
      this.#open = undefined;
      this.sink.abort(open.batch);
      for (const { write } of open.outcomes) write.reject(error);
    }
    for (const write of this.#waiting.splice(this.#next)) write.reject(error);
    this.#waitingBytes = 0;
    this.#missing = undefined;
  }

  async #run(): Promise<void> {
    let durable: OpenBatch | undefined = undefined;
    try {
      for (;;) {
        const gap = this.sink.gap?.();
        if (gap !== undefined || this.sink.isBehind) {
          this.#settle(durable);
          durable = this.#flying = undefined;
          await gap;
          await this.#catchUp();
        }
        this.#gather();
        const next: OpenBatch | undefined = this.#open;
        if (next === undefined || next.outcomes.length === 0) {
          this.#settle(durable);
          durable = this.#flying = undefined;
          if (next === undefined) break;
          await this.#fetch(next);
          continue;
        }
        this.#open = this.#missing = undefined;
        this.#flying = next;
        this.#waitingBytes -= next.bytes;
        const appending = this.sink.append(next.batch);
        appending.catch(() => {}); // awaited below, unless applying fails
        // The last batch is applied and answered while this one is being synced.
        this.#settle(durable);
        durable = undefined;
        try {
          if (await appending === "committed") {
            durable = next;
            this.#lostInARow = 0;
          } else this.#takeBack(next);
        } catch (error) {
          this.#fail(next, error);
        }
      }
    } catch (error) {
      this.#break(error, durable);
    }
    this.#isRunning = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** Evaluates what waits into the open batch, up to its limits, or to a write that needs records which memory let go. */
  #gather(): void {
    const waiting = this.#waiting;
    if (this.#next === waiting.length || this.#missing !== undefined) return;
    const open = this.#open ??= new OpenBatch(
      this.sink.newBatch(this.#flying?.batch),
    );
    const { batch, outcomes } = open;
    const { maxBatchWrites, maxBatchBytes } = this.limits;
    while (
      this.#next < waiting.length && outcomes.length < maxBatchWrites &&
      open.bytes < maxBatchBytes
    ) {
      const write = waiting[this.#next]!;
      batch.begin();
      let outcome: Outcome;
      try {
        const result = write.evaluate(batch);
        batch.end();
        const { revision } = batch;
        outcome = { write, answer: { result, revision }, error: undefined };
      } catch (error) {
        batch.rollback();
        if (error instanceof MissingRecords) {
          this.#missing = error;
          break;
        }
        outcome = { write, answer: undefined, error };
      }
      this.#next++;
      open.bytes += write.bytes;
      outcomes.push(outcome);
    }
    // Those evaluated are in the batch; the rest moves up now and then.
    if (this.#next === waiting.length) this.#waiting = [];
    else if (this.#next < COMPACT_ABOVE) return;
    else this.#waiting = waiting.slice(this.#next);
    this.#next = 0;
  }

  /** Gets what the first waiting write needs. With nothing under way: its batch is empty. */
  async #fetch(open: OpenBatch): Promise<void> {
    const missing = this.#missing;
    assert(missing !== undefined, "an open batch is empty for want of records");
    try {
      await this.sink.fetch(missing, open.batch);
    } catch (error) {
      const write = this.#waiting[this.#next];
      if (write !== undefined) {
        this.#next++;
        open.bytes += write.bytes;
        open.outcomes.push({ write, answer: undefined, error });
      }
    }
    this.#missing = undefined;
  }

  /** Applies a durable batch and answers its writes. */
  #settle(durable: OpenBatch | undefined): void {
    if (durable === undefined) return;
    this.sink.apply(durable.batch);
    for (const upper of [this.#flying, this.#open]) {
      if (upper?.batch.below === durable.batch) upper.batch.below = undefined;
    }
    for (const { write, answer, error } of durable.outcomes) {
      if (answer !== undefined) write.resolve(answer);
      else write.reject(error);
    }
  }

  #fail(flying: OpenBatch, error: unknown): void {
    this.#flying = undefined;
    this.#reopen();
    this.sink.abort(flying.batch);
    for (const { write } of flying.outcomes) write.reject(error);
  }

  /** The batch came too late: its writes are evaluated again. */
  #takeBack(flying: OpenBatch): void {
    this.#lostInARow++;
    this.#flying = undefined;
    this.#reopen();
    this.sink.abort(flying.batch);
    this.#putBack(flying);
    this.#waitingBytes += flying.bytes;
  }

  /** Has the writes of the open batch evaluated again. */
  #reopen(): void {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    this.#missing = undefined;
    this.sink.abort(open.batch);
    this.#putBack(open);
  }

  #putBack({ outcomes }: OpenBatch): void {
    const again = outcomes.map(({ write }) => write);
    this.#waiting = [...again, ...this.#waiting.slice(this.#next)];
    this.#next = 0;
  }

  /** If it fails, what waits for it fails: nobody knows when the database answers again. */
  async #catchUp(): Promise<void> {
    this.#reopen();
    try {
      await this.sink.catchUp();
    } catch (error) {
      for (const write of this.#waiting.splice(this.#next)) write.reject(error);
      this.#waitingBytes = 0;
    }
  }

  /** A durable batch could not be applied: nobody knows what memory is worth now, so nothing more is answered. */
  #break(error: unknown, durable: OpenBatch | undefined): void {
    this.#closed ??= new DomainError("stopped", { cause: error });
    for (const batch of [durable, this.#flying]) {
      for (const { write } of batch?.outcomes ?? []) write.reject(this.#closed);
    }
    this.#flying = undefined;
    this.close(this.#closed);
  }
}

/** Writes that are evaluated and gone from the front of the queue only when there are so many. */
const COMPACT_ABOVE = 1024;

/** A batch that takes writes. */
class OpenBatch {
  readonly outcomes: Outcome[] = [];
  /** Of its writes, while they waited. */
  bytes = 0;

  constructor(readonly batch: WriteBatch) {}
}

/** What became of a write; told once its batch is durable. */
interface Outcome {
  readonly write: QueuedWrite;
  /** Undefined if it failed. */
  readonly answer: Written<unknown> | undefined;
  readonly error: unknown;
}
