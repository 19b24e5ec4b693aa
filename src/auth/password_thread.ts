import type { Clock, Timer } from "../base/clock.ts";
import { DomainError } from "../base/errors.ts";
import type { PasswordAnswer, PasswordJob } from "./password_job.ts";

/**
 * Jobs that may be under way at once. One takes some 70 ms at the default cost: whoever came later would wait
 * longer than clients do.
 */
export const MAX_PASSWORD_JOBS = 64;

/** A worker that had nothing to do for so long is ended: it holds some 10 MB. */
const IDLE_MS = 60_000;

/** It may do nothing but compute. Needs Deno's `worker-options` feature, which `deno.json` switches on. */
const WORKER_OPTIONS = {
  type: "module" as const,
  name: "stele-passwords",
  deno: { permissions: "none" as const },
};

/** A job without its number. */
type Question = PasswordJob extends infer J
  ? J extends PasswordJob ? Omit<J, "id"> : never
  : never;

interface Waiter {
  resolve(result: string | boolean): void;
  reject(error: Error): void;
}

/**
 * Runs bcrypt in a worker: started when it is first needed, ended when it has been idle, replaced if it fails.
 *
 * Invariant: there is a worker whenever somebody waits, and the idle timer runs only when nobody does.
 */
export class PasswordThread {
  readonly #clock: Clock;
  readonly #waiters = new Map<number, Waiter>();
  #worker: Worker | undefined;
  #idle: Timer | undefined;
  #lastId = 0;
  #isClosed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether there is a worker now. */
  get isRunning(): boolean {
    return this.#worker !== undefined;
  }

  /** Whether the next job would be refused. */
  get isFull(): boolean {
    return this.#waiters.size >= MAX_PASSWORD_JOBS;
  }

  /** Rejects with DomainError `tooManyRequests` if too many wait already, `stopped` once closed. */
  run(question: Question): Promise<string | boolean> {
    if (this.#isClosed) return Promise.reject(new DomainError("stopped"));
    if (this.isFull) return Promise.reject(new DomainError("tooManyRequests"));
    this.#idle?.cancel();
    this.#worker ??= this.#start();
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<
      string | boolean
    >();
    this.#waiters.set(id, { resolve, reject });
    this.#worker.postMessage({ ...question, id });
    return promise;
  }

  /** Whoever waits gets DomainError `stopped`. */
  close(): void {
    this.#isClosed = true;
    this.#end(new DomainError("stopped"));
  }

  #start(): Worker {
    const url = new URL("./password_worker.ts", import.meta.url);
    const worker = new Worker(url, WORKER_OPTIONS);
    worker.onmessage = (event: MessageEvent<PasswordAnswer>) =>
      this.#receive(event.data);
    worker.onerror = (event) => {
      event.preventDefault();
      if (worker !== this.#worker) return;
      this.#end(new Error(`Password worker failed: ${event.message}`));
    };
    return worker;
  }

  #receive(answer: PasswordAnswer): void {
    const waiter = this.#waiters.get(answer.id);
    if (waiter === undefined) return;
    this.#waiters.delete(answer.id);
    if (this.#waiters.size === 0) {
      this.#idle = this.#clock.after(IDLE_MS, () => this.#stop());
    }
    if ("error" in answer) {
      waiter.reject(new Error(`Cannot use bcrypt: ${answer.error}`));
    } else {
      waiter.resolve(answer.result);
    }
  }

  #end(error: Error): void {
    this.#stop();
    const waiters = [...this.#waiters.values()];
    this.#waiters.clear();
    for (const { reject } of waiters) reject(error);
  }

  #stop(): void {
    this.#idle?.cancel();
    this.#idle = undefined;
    this.#worker?.terminate();
    this.#worker = undefined;
  }
}
