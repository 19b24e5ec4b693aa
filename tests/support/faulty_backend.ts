import {
  type AppendOutcome,
  type Backend,
  BackendError,
  type Batch,
  type Head,
  type LoadSink,
  type RowId,
  type SizeInfo,
  type Snapshot,
} from "../../src/backend/backend.ts";

/** The calls that can go wrong. */
export type FaultyCall =
  | "append"
  | "batchesAfter"
  | "batchIdAt"
  | "defragment"
  | "eventsAfter"
  | "head"
  | "load"
  | "remove"
  | "size"
  | "snapshot"
  | "trimBatches"
  | "valuesOf";

/**
 * A backend between the code under test and a real one, which fails, waits, or loses answers when told to.
 *
 * `fail`: the call rejects and nothing was done. `loseAnswer`: it was done, and the call rejects all the same.
 * Each counts for one call and they are used up in order. `pause` holds calls back until `resume`.
 */
export class FaultyBackend implements Backend {
  readonly name: string;
  readonly #inner: Backend;
  readonly #faults = new Map<FaultyCall, Fault[]>();
  readonly #gates = new Map<FaultyCall, PromiseWithResolvers<void>>();
  readonly #calls = new Map<FaultyCall, number>();
  #isExclusive: boolean;
  readonly #watchers = new Set<(seq: number) => void>();

  constructor(inner: Backend, options: { isExclusive?: boolean } = {}) {
    this.name = `faulty ${inner.name}`;
    this.#inner = inner;
    this.#isExclusive = options.isExclusive ?? inner.isExclusive;
  }

  get isExclusive(): boolean {
    return this.#isExclusive;
  }

  /** How many of these calls there were, those that failed included. */
  calls(call: FaultyCall): number {
    return this.#calls.get(call) ?? 0;
  }

  /** The next such call rejects and does nothing. */
  failNext(call: FaultyCall, error: Error = brokenError()): void {
    this.#add(call, { error, isDone: false });
  }

  /** The next such call does what it should, and rejects. */
  loseAnswer(call: FaultyCall, error: Error = brokenError()): void {
    this.#add(call, { error, isDone: true });
  }

  /** Such calls wait, before anything is done, until `resume`. */
  pause(call: FaultyCall): void {
    if (!this.#gates.has(call)) {
      this.#gates.set(call, Promise.withResolvers<void>());
    }
  }

  resume(call: FaultyCall): void {
    this.#gates.get(call)?.resolve();
    this.#gates.delete(call);
  }

  /** Tells those who watch, as if somebody else had committed. */
  announceCommit(seq: number): void {
    for (const watcher of this.#watchers) watcher(seq);
  }

  open(): Promise<Head> {
    return this.#inner.open();
  }

  load(sink: LoadSink): Promise<Head> {
    return this.#call("load", () => this.#inner.load(sink));
  }

  append(batch: Batch): Promise<AppendOutcome> {
    return this.#call("append", () => this.#inner.append(batch));
  }

  head(): Promise<Head> {
    return this.#call("head", () => this.#inner.head());
  }

  batchIdAt(seq: number): Promise<Uint8Array | undefined> {
    return this.#call("batchIdAt", () => this.#inner.batchIdAt(seq));
  }

  batchesAfter(seq: number, limit: number): Promise<Batch[]> {
    return this.#call(
      "batchesAfter",
      () => this.#inner.batchesAfter(seq, limit),
    );
  }

  valuesOf(rows: readonly RowId[]): Promise<(Uint8Array | undefined)[]> {
    return this.#call("valuesOf", () => this.#inner.valuesOf(rows));
  }

  eventsAfter(rev: number, maxBytes: number): Promise<Uint8Array> {
    return this.#call(
      "eventsAfter",
      () => this.#inner.eventsAfter(rev, maxBytes),
    );
  }

  remove(rows: readonly RowId[]): Promise<void> {
    return this.#call("remove", () => this.#inner.remove(rows));
  }

  trimBatches(belowSeq: number): Promise<void> {
    return this.#call("trimBatches", () => this.#inner.trimBatches(belowSeq));
  }

  watchCommits(onCommit: (seq: number) => void): () => void {
    const stop = this.#inner.watchCommits(onCommit);
    this.#watchers.add(onCommit);
    return () => {
      this.#watchers.delete(onCommit);
      stop();
    };
  }

  snapshot(): Promise<Snapshot> {
    return this.#call("snapshot", () => this.#inner.snapshot());
  }

  size(): Promise<SizeInfo> {
    return this.#call("size", () => this.#inner.size());
  }

  defragment(): Promise<void> {
    return this.#call("defragment", () => this.#inner.defragment());
  }

  /** Lets go of what is paused. */
  async close(): Promise<void> {
    for (const call of [...this.#gates.keys()]) this.resume(call);
    await this.#inner.close();
  }

  async #call<T>(call: FaultyCall, run: () => Promise<T>): Promise<T> {
    this.#calls.set(call, this.calls(call) + 1);
    const fault = this.#faults.get(call)?.shift();
    await this.#gates.get(call)?.promise;
    if (fault?.isDone === false) throw fault.error;
    const answer = await run();
    if (fault !== undefined) throw fault.error;
    return answer;
  }

  #add(call: FaultyCall, fault: Fault): void {
    const faults = this.#faults.get(call);
    if (faults === undefined) this.#faults.set(call, [fault]);
    else faults.push(fault);
  }
}

interface Fault {
  readonly error: Error;
  readonly isDone: boolean;
}

function brokenError(): BackendError {
  return new BackendError("Cannot reach the database: connection lost");
}
