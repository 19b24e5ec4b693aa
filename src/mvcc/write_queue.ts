import { MissingRecords } from "./records.ts";
import { DomainError } from "../base/errors.ts";
import type { WriteBatch, WriteTx } from "./write_batch.ts";

/** One write that waits for its turn. */
export interface QueuedWrite {
  /** Evaluates the write; what it returns is the answer once the batch is durable. */
  evaluate(tx: WriteBatch): unknown;
  /** About how many bytes it keeps in memory while it waits. */
  readonly bytes: number;
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
  newBatch(): WriteBatch;
  /** Makes the batch durable, applies it and tells the listeners. Rejects if it is not durable, leaving no trace. */
  commit(batch: WriteBatch): Promise<void>;
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
 * Group commit: writes gather while a batch is being made durable, and then go together as the next one.
 *
 *   idle --write--> scheduled --end of turn--> committing --durable--> idle | committing (the next batch)
 *
 * The callers of a batch are answered while the next one is being synced: measured with h2load 10×10, that is
 * what keeps both threads busy.
 *
 * Invariants: at most one batch is under way. Writes are evaluated in the order in which they came, each
 * once, and answered after their batch is durable. One that fails its checks fails alone.
 */
export class WriteQueue {
  #waiting: QueuedWrite[] = [];
  #waitingBytes = 0;
  #isRunning = false;
  #closed: Error | undefined = undefined;
  #idle: (() => void)[] = [];

  constructor(readonly sink: BatchSink, readonly limits: WriteQueueLimits) {}

  /** Writes that wait for a batch. */
  get length(): number {
    return this.#waiting.length;
  }

  get isBusy(): boolean {
    return this.#isRunning || this.#waiting.length > 0;
  }

  write<T>(evaluate: (tx: WriteTx) => T, bytes = 0): Promise<Written<T>> {
    return new Promise((resolve, reject) => {
      this.submit({
        evaluate,
        bytes,
        resolve: resolve as (answer: Written<unknown>) => void,
        reject,
      });
    });
  }

  submit(write: QueuedWrite): void {
    if (this.#closed !== undefined) return write.reject(this.#closed);
    if (
      this.#waiting.length >= this.limits.maxQueued ||
      this.#waitingBytes > this.limits.maxQueuedBytes
    ) {
      return write.reject(new DomainError("tooManyRequests"));
    }
    this.#waiting.push(write);
    this.#waitingBytes += write.bytes;
    if (this.#isRunning) return;
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
    for (const write of this.#waiting.splice(0)) write.reject(error);
    this.#waitingBytes = 0;
  }

  async #run(): Promise<void> {
    let durable: Outcome[] = [];
    while (this.#waiting.length > 0) {
      const writes = this.#take();
      for (let at = 0; at < writes.length;) {
        const outcomes: Outcome[] = [];
        const batch = this.sink.newBatch();
        let missing = this.#evaluate(writes, at, batch, outcomes);
        while (missing !== undefined && outcomes.length === 0) {
          answer(durable);
          durable = [];
          try {
            await this.sink.fetch(missing, batch);
            missing = this.#evaluate(writes, at, batch, outcomes);
          } catch (error) {
            outcomes.push({ write: writes[at]!, answer: undefined, error });
          }
        }
        at += outcomes.length;
        const committing = this.sink.commit(batch);
        // The last batch is answered while this one is being synced.
        answer(durable);
        try {
          await committing;
          durable = outcomes;
        } catch (error) {
          durable = [];
          for (const { write } of outcomes) write.reject(error);
        }
      }
    }
    this.#isRunning = false;
    answer(durable);
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  /**
   * Evaluates writes from `start` on, one outcome each, up to the first that needs records which memory
   * let go: what is before it goes first.
   */
  #evaluate(
    writes: readonly QueuedWrite[],
    start: number,
    batch: WriteBatch,
    outcomes: Outcome[],
  ): MissingRecords | undefined {
    for (let at = start; at < writes.length; at++) {
      const write = writes[at]!;
      batch.begin();
      try {
        const result = write.evaluate(batch);
        batch.end();
        const { revision } = batch;
        outcomes.push({
          write,
          answer: { result, revision },
          error: undefined,
        });
      } catch (error) {
        batch.rollback();
        if (error instanceof MissingRecords) return error;
        outcomes.push({ write, answer: undefined, error });
      }
    }
    return undefined;
  }

  #take(): QueuedWrite[] {
    const { maxBatchWrites, maxBatchBytes } = this.limits;
    const waiting = this.#waiting;
    let count = 0;
    let bytes = 0;
    while (
      count < waiting.length && count < maxBatchWrites && bytes < maxBatchBytes
    ) {
      bytes += waiting[count++]!.bytes;
    }
    if (count === waiting.length) {
      this.#waiting = [];
      this.#waitingBytes = 0;
      return waiting;
    }
    this.#waitingBytes -= bytes;
    return waiting.splice(0, count);
  }
}

/** What became of a write; told once its batch is durable. */
interface Outcome {
  readonly write: QueuedWrite;
  /** Undefined if it failed. */
  readonly answer: Written<unknown> | undefined;
  readonly error: unknown;
}

function answer(outcomes: readonly Outcome[]): void {
  for (let i = 0; i < outcomes.length; i++) {
    const { write, answer, error } = outcomes[i]!;
    if (answer !== undefined) write.resolve(answer);
    else write.reject(error);
  }
}
