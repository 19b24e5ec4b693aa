import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { StateKind } from "../../../src/backend/state_change.ts";
import { text, utf8 } from "../../../src/base/bytes.ts";
import { NO_LOG } from "../../../src/base/log.ts";
import type { LeaseStore, LeaseTx } from "../../../src/lease/lease_store.ts";
import { Lessor, type LessorOptions } from "../../../src/lease/lessor.ts";
import {
  leaseOfStateKey,
  leaseStateKey,
} from "../../../src/mvcc/lease_book.ts";
import type { Clock, Timer } from "../../../src/base/clock.ts";
import type { FakeClock } from "../../support/fake_clock.ts";

/** What a crash leaves: the state table and the keys, as committed. */
export class Disk {
  readonly records = new Map<bigint, Uint8Array>();
  /** Key → lease id. */
  readonly keys = new Map<string, bigint>();
  revision = 1;
}

/** One committed batch, for assertions. */
export interface Committed {
  readonly writes: number;
  readonly states: number;
  readonly deletes: number;
}

interface Waiting {
  evaluate(tx: LeaseTx): unknown;
  resolve(answer: { result: unknown; revision: number }): void;
  reject(error: unknown): void;
}

/** Turns of the event loop that a chain of writes takes at most in these tests. */
const TURNS = 4;

/** Runs everything that is ready to run. */
export async function turn(turns = TURNS): Promise<void> {
  for (let i = 0; i < turns; i++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** Effects of one write, or of the batch so far. */
class Pending implements LeaseTx {
  readonly states = new Map<bigint, Uint8Array | undefined>();
  readonly deletes = new Set<string>();

  constructor(readonly process: LeaseProcess, readonly before?: Pending) {}

  get disk(): Disk {
    return this.process.disk;
  }

  deleteKey(key: Uint8Array): boolean {
    const name = text(key);
    if (!this.disk.keys.has(name) || this.#isDeleted(name)) return false;
    this.deletes.add(name);
    return true;
  }

  putState(
    kind: StateKind,
    key: Uint8Array,
    value: Uint8Array | undefined,
  ): void {
    assert.equal(kind, StateKind.Lease);
    this.states.set(leaseOfStateKey(key), value);
  }

  pendingState(
    _kind: StateKind,
    key: Uint8Array,
  ): Uint8Array | undefined | null {
    const id = leaseOfStateKey(key);
    if (this.states.has(id)) return this.states.get(id);
    return this.before?.pendingState(_kind, key) ??
      (this.before?.states.has(id) ? undefined : null);
  }

  hasLease(id: bigint): boolean {
    const pending = this.pendingState(StateKind.Lease, leaseStateKey(id));
    return pending === null ? this.disk.records.has(id) : pending !== undefined;
  }

  keysOfLease(id: bigint): Uint8Array[] {
    return this.process.lessor.keysOf(id).filter((key) =>
      !this.#isDeleted(text(key))
    );
  }

  #isDeleted(name: string): boolean {
    return this.deletes.has(name) || (this.before?.deletes.has(name) ?? false);
  }
}

/** A process' view of the clock: its timers die with it. */
class ProcessClock implements Clock {
  readonly #timers: Timer[] = [];

  constructor(readonly clock: Clock) {}

  wallMs(): number {
    return this.clock.wallMs();
  }

  monotonicMs(): number {
    return this.clock.monotonicMs();
  }

  after(delayMs: number, fire: () => void): Timer {
    return this.#keep(this.clock.after(delayMs, fire));
  }

  every(periodMs: number, fire: () => void): Timer {
    return this.#keep(this.clock.every(periodMs, fire));
  }

  kill(): void {
    for (const timer of this.#timers) timer.cancel();
  }

  #keep(timer: Timer): Timer {
    this.#timers.push(timer);
    return timer;
  }
}

/**
 * A lessor on a store that commits in groups: one batch per turn of the event loop, unless it is held.
 * It dies with `crash`, which leaves the disk to the next process.
 */
export class LeaseProcess implements LeaseStore {
  readonly lessor: Lessor;
  readonly committed: Committed[] = [];
  /** While true nothing becomes durable. */
  isHeld = false;
  /** Makes batches fail. */
  failure: Error | undefined = undefined;
  #waiting: Waiting[] = [];
  #isScheduled = false;
  #isDead = false;
  readonly #clock: ProcessClock;

  constructor(
    readonly disk: Disk,
    readonly clock: FakeClock,
    options: Partial<LessorOptions> = {},
  ) {
    this.#clock = new ProcessClock(clock);
    this.lessor = new Lessor(this.#clock, NO_LOG, options);
    for (const [id, record] of disk.records) {
      this.lessor.apply(leaseStateKey(id), record);
    }
    for (const [name, id] of disk.keys) this.lessor.attach(id, utf8(name));
    this.lessor.attachStore(this);
  }

  /** A process that serves. */
  static async started(
    disk: Disk,
    clock: FakeClock,
    options: Partial<LessorOptions> = {},
  ): Promise<LeaseProcess> {
    const process = new LeaseProcess(disk, clock, options);
    await process.lessor.start();
    return process;
  }

  get currentRevision(): number {
    return this.disk.revision;
  }

  get writes(): number {
    return this.committed.reduce((sum, batch) => sum + batch.states, 0);
  }

  write<T>(
    evaluate: (tx: LeaseTx) => T,
  ): Promise<{ result: T; revision: number }> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({
        evaluate,
        resolve: resolve as Waiting["resolve"],
        reject,
      });
      this.#schedule();
    });
  }

  release(): void {
    this.isHeld = false;
    this.#schedule();
  }

  /** A put of a key with a lease. */
  put(name: string, id: bigint): void {
    const known = this.disk.keys.get(name);
    if (known === id) return;
    if (known !== undefined) this.lessor.detach(known, utf8(name));
    this.disk.keys.set(name, id);
    this.disk.revision++;
    this.lessor.attach(id, utf8(name));
  }

  /** Nothing that waits becomes durable, nobody is answered. */
  crash(): void {
    this.#isDead = true;
    this.#clock.kill();
  }

  #schedule(): void {
    if (this.#isScheduled || this.isHeld || this.#waiting.length === 0) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      if (!this.isHeld && !this.#isDead) this.#commit();
      this.#schedule();
    });
  }

  #commit(): void {
    const writes = this.#waiting.splice(0);
    const batch = new Pending(this);
    const answers: (() => void)[] = [];
    const applied: (() => void)[] = [];
    let revision = this.disk.revision;
    for (const { evaluate, resolve, reject } of writes) {
      const tx = new Pending(this, batch);
      try {
        const result = evaluate(tx);
        if (tx.deletes.size > 0) revision++;
        const after = revision;
        answers.push(() => resolve({ result, revision: after }));
      } catch (error) {
        answers.push(() => reject(error));
        continue;
      }
      for (const name of tx.deletes) {
        batch.deletes.add(name);
        applied.push(() => this.#delete(name));
      }
      for (const [id, value] of tx.states) {
        batch.states.set(id, value);
        applied.push(() => this.#apply(id, value));
      }
    }
    if (this.failure !== undefined) {
      for (const { reject } of writes) reject(this.failure);
      return;
    }
    for (const apply of applied) apply();
    this.disk.revision = revision;
    this.committed.push({
      writes: writes.length,
      states: batch.states.size,
      deletes: batch.deletes.size,
    });
    for (const answer of answers) answer();
  }

  #delete(name: string): void {
    this.lessor.detach(this.disk.keys.get(name)!, utf8(name));
    this.disk.keys.delete(name);
  }

  #apply(id: bigint, value: Uint8Array | undefined): void {
    if (value === undefined) this.disk.records.delete(id);
    else this.disk.records.set(id, value);
    this.lessor.apply(leaseStateKey(id), value);
  }
}
