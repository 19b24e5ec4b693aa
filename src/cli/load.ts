import { errorText } from "../base/log.ts";
import type { EtcdClient } from "./etcd_client.ts";
import { LatencyHistogram } from "./latency_histogram.ts";

/** How much load to make. */
export interface LoadOptions {
  /** Operations under way at once. */
  readonly workers: number;
  /** Operations in all, Infinity for no end. */
  readonly total: number;
  /** How long to begin operations; Infinity for no end. */
  readonly durationMs: number;
  /** Operations to begin in a second, all workers together; 0 for as many as can be done. */
  readonly ratePerSecond: number;
  /** Ends the load early. */
  readonly signal: AbortSignal;
}

/** How one sort of operation went. */
export interface OperationResult {
  readonly latencies: LatencyHistogram;
  errors: number;
  /** Of the first error. */
  message: string | undefined;
}

/** What to load a server with. */
export interface Workload {
  /** Makes what the operations need. Not measured. */
  prepare(clients: readonly EtcdClient[], results: LoadResults): Promise<void>;
  /** What the operation with this number is: names a row of the results. */
  nameOf(operation: number): string;
  /** Does it. */
  run(client: EtcdClient, operation: number): Promise<void>;
  /** Waits for what the operations set off. */
  finish(): Promise<void>;
}

/** What a load has brought so far. */
export class LoadResults {
  readonly byName = new Map<string, OperationResult>();
  /** Operations that are over, whether well or not. */
  done = 0;

  add(name: string, ms: number): void {
    this.#of(name).latencies.add(ms);
  }

  addError(name: string, error: unknown): void {
    const result = this.#of(name);
    result.errors++;
    result.message ??= errorText(error);
  }

  #of(name: string): OperationResult {
    let result = this.byName.get(name);
    if (result === undefined) {
      result = {
        latencies: new LatencyHistogram(),
        errors: 0,
        message: undefined,
      };
      this.byName.set(name, result);
    }
    return result;
  }
}

/**
 * Runs a workload; returns how long it took, in milliseconds.
 *
 * With a rate, an operation's latency counts from when it was due: a server that stalls must not be
 * rewarded for the operations that could not begin meanwhile ("coordinated omission").
 */
export async function runLoad(
  workload: Workload,
  clients: readonly EtcdClient[],
  results: LoadResults,
  options: LoadOptions,
): Promise<number> {
  const { workers, total, durationMs, ratePerSecond, signal } = options;
  const startMs = performance.now();
  const endMs = startMs + durationMs;
  let next = 0;
  const work = async (client: EtcdClient) => {
    while (next < total && !signal.aborted) {
      const operation = next++;
      let beginMs = performance.now();
      if (ratePerSecond > 0) {
        const dueMs = startMs + operation / ratePerSecond * 1000;
        if (dueMs >= endMs) return;
        await sleep(dueMs - beginMs, signal);
        beginMs = dueMs;
        if (signal.aborted) return;
      }
      if (performance.now() >= endMs) return;
      const name = workload.nameOf(operation);
      try {
        await workload.run(client, operation);
        results.add(name, performance.now() - beginMs);
      } catch (error) {
        results.addError(name, error);
      }
      results.done++;
    }
  };
  await Promise.all(
    Array.from(
      { length: workers },
      (_, i) => work(clients[i % clients.length]!),
    ),
  );
  await workload.finish();
  return performance.now() - startMs;
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0 || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
