import assert from "node:assert/strict";
import type { EtcdClient } from "../../../src/cli/etcd_client.ts";
import { LatencyHistogram } from "../../../src/cli/latency_histogram.ts";
import {
  type LoadOptions,
  LoadResults,
  runLoad,
  type Workload,
} from "../../../src/cli/load.ts";

Deno.test("LatencyHistogram is within a hundredth of the truth, and exact at the top", () => {
  const histogram = new LatencyHistogram();
  for (let ms = 1; ms <= 1000; ms++) histogram.add(ms);
  assert.equal(histogram.count, 1000);
  assert.equal(histogram.maxMs, 1000);
  assert.equal(histogram.meanMs, 500.5);
  for (const share of [0.01, 0.5, 0.9, 0.99]) {
    const truth = share * 1000;
    const off = Math.abs(histogram.percentileMs(share) - truth) / truth;
    assert.ok(off <= 0.01, `p${share * 100} is off by ${off}`);
  }
  assert.equal(histogram.percentileMs(1), 1000);
});

Deno.test("LatencyHistogram takes nothing, and what is beyond its buckets", () => {
  const histogram = new LatencyHistogram();
  assert.equal(histogram.percentileMs(0.5), 0);
  assert.equal(histogram.meanMs, 0);
  histogram.add(0);
  assert.equal(histogram.percentileMs(0.5), 0);
  histogram.add(1e12);
  assert.equal(histogram.maxMs, 1e12);
});

const CLIENTS = [1, 2].map((id) => ({ id }) as unknown as EtcdClient);

/** A workload whose operations end when the test wants. */
class TestWorkload implements Workload {
  readonly begun: number[] = [];
  mostAtOnce = 0;
  finished = 0;
  #now = 0;

  constructor(
    readonly act: (operation: number) => Promise<void> = () =>
      Promise.resolve(),
  ) {}

  prepare(): Promise<void> {
    return Promise.resolve();
  }

  nameOf(operation: number): string {
    return operation % 2 === 0 ? "even" : "odd";
  }

  async run(_client: EtcdClient, operation: number): Promise<void> {
    this.begun.push(operation);
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#now);
    try {
      await this.act(operation);
    } finally {
      this.#now--;
    }
  }

  finish(): Promise<void> {
    this.finished++;
    return Promise.resolve();
  }
}

function options(more: Partial<LoadOptions>): LoadOptions {
  return {
    workers: 3,
    total: 10,
    durationMs: Infinity,
    ratePerSecond: 0,
    signal: new AbortController().signal,
    ...more,
  };
}

Deno.test("runLoad() does each operation once, with so many at once", async () => {
  const workload = new TestWorkload();
  const results = new LoadResults();
  await runLoad(workload, CLIENTS, results, options({}));
  assert.deepEqual(workload.begun, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.equal(workload.mostAtOnce, 3);
  assert.equal(workload.finished, 1);
  assert.equal(results.done, 10);
  assert.equal(results.byName.get("even")!.latencies.count, 5);
  assert.equal(results.byName.get("odd")!.latencies.count, 5);
});

Deno.test("runLoad() counts errors, and goes on", async () => {
  const workload = new TestWorkload((operation) =>
    operation % 2 === 1
      ? Promise.reject(new Error(`no ${operation}`))
      : Promise.resolve()
  );
  const results = new LoadResults();
  await runLoad(workload, CLIENTS, results, options({}));
  const odd = results.byName.get("odd")!;
  assert.equal(odd.errors, 5);
  assert.equal(odd.message, "no 1");
  assert.equal(odd.latencies.count, 0);
  assert.equal(results.done, 10);
});

Deno.test("runLoad() ends when it is told to", async () => {
  const stop = new AbortController();
  const workload = new TestWorkload((operation) => {
    if (operation === 4) stop.abort();
    return Promise.resolve();
  });
  const results = new LoadResults();
  const { signal } = stop;
  await runLoad(
    workload,
    CLIENTS,
    results,
    options({ workers: 1, total: Infinity, signal }),
  );
  assert.deepEqual(workload.begun, [0, 1, 2, 3, 4]);
  assert.equal(workload.finished, 1);
});

Deno.test("runLoad() counts latency from when an operation was due", async () => {
  // Two are due at once, but the only worker is held up by the first.
  const stallMs = 30;
  const workload = new TestWorkload((operation) =>
    operation === 0
      ? new Promise((resolve) => setTimeout(resolve, stallMs))
      : Promise.resolve()
  );
  const results = new LoadResults();
  await runLoad(
    workload,
    CLIENTS,
    results,
    options({ workers: 1, total: 2, ratePerSecond: 1e6 }),
  );
  // Timers may be early by less than a millisecond.
  assert.ok(results.byName.get("odd")!.latencies.maxMs >= stallMs - 2);
});

Deno.test("runLoad() begins nothing after its time", async () => {
  const workload = new TestWorkload();
  const results = new LoadResults();
  await runLoad(
    workload,
    CLIENTS,
    results,
    options({ total: Infinity, durationMs: 20, ratePerSecond: 100 }),
  );
  // Due at 0 and 10 ms; the one at 20 ms is too late.
  assert.deepEqual(workload.begun.filter((operation) => operation > 1), []);
});
