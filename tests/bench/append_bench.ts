/**
 * Speed of a driver's write path and start-up.
 *
 *   deno run -A tests/bench/append_bench.ts [sqlite://DIR] [full|off]
 */
import process from "node:process";
import { SystemClock } from "../../src/base/clock.ts";
import type { Backend } from "../../src/backend/backend.ts";
import { openBackend } from "../../src/backend/open.ts";
import { type BatchShape, makeBatch } from "../support/batches.ts";

const dir = Deno.args[0] ?? `sqlite://${Deno.makeTempDirSync()}`;
const synchronous = Deno.args[1] === "off" ? "off" : "full";
const clock = new SystemClock();
const backend = openBackend(dir, { clock, synchronous });
let { seq, revision } = await backend.open();

/** Revisions of a batch, batches, and what the rows look like. */
async function append(
  rows: number,
  count: number,
  shape: BatchShape = {},
): Promise<void> {
  const batches = [];
  for (let i = 0; i < count; i++) {
    batches.push(makeBatch(++seq, revision, { ...shape, rows }));
    revision += rows;
  }
  const latencies: number[] = [];
  const cpu = process.cpuUsage();
  const began = performance.now();
  for (const batch of batches) {
    const at = performance.now();
    const outcome = await backend.append(batch);
    latencies.push((performance.now() - at) * 1000);
    if (outcome !== "committed") throw new Error(outcome);
  }
  const ms = performance.now() - began;
  const used = process.cpuUsage(cpu);
  latencies.sort((a, b) => a - b);
  const perBatch = shape.deletes ?? rows;
  const total = perBatch * count;
  console.log(
    `${String(perBatch).padStart(7)} ${
      shape.deletes === undefined ? "rows" : "tombstones"
    } × ${count}:`,
    `${Math.round(total / ms)}k rows/s,`,
    `${((used.user + used.system) / total).toFixed(2)} µs CPU a row,`,
    `p50 ${latencies[count >> 1]!.toFixed(0)} µs,`,
    `p99 ${latencies[Math.floor(count * 0.99)]!.toFixed(0)} µs,`,
    `max ${latencies[count - 1]!.toFixed(0)} µs a batch`,
  );
}

async function load(): Promise<void> {
  let bytes = 0;
  const began = performance.now();
  await backend.load({
    state() {},
    rows: (block) => void (bytes += block.length),
  });
  console.log(
    `load: ${(bytes / 1e6).toFixed(0)} MB in ${
      (performance.now() - began).toFixed(0)
    } ms`,
  );
}

async function snapshotWhileWriting(backend: Backend): Promise<void> {
  const began = performance.now();
  const making = backend.snapshot();
  let made = false;
  void making.then(() => made = true);
  let batches = 0;
  let slowest = 0;
  while (!made) {
    const at = performance.now();
    await backend.append(makeBatch(++seq, revision, { rows: 100 }));
    revision += 100;
    batches++;
    slowest = Math.max(slowest, performance.now() - at);
  }
  const ms = performance.now() - began;
  const snapshot = await making;
  console.log(
    `snapshot: ${(snapshot.sizeBytes / 1e6).toFixed(0)} MB in ${
      ms.toFixed(0)
    } ms,`,
    `${batches} batches of 100 meanwhile, the slowest ${slowest.toFixed(1)} ms`,
  );
  await snapshot.close();
}

await append(100, 200);
await append(100, 1000);
await append(1, 2000);
await append(10, 1000);
await append(1000, 80);
await append(1, 1, { deletes: 1_000_000 });
console.log(`RSS ${(Deno.memoryUsage().rss / 1e6).toFixed(0)} MB`);
await backend.close();
await backend.open();
await load();
await snapshotWhileWriting(backend);
console.log(await backend.size());
await backend.close();
