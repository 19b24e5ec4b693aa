import { EMPTY, utf8 } from "../../src/base/bytes.ts";
import { hashBytes } from "../../src/base/hash_bytes.ts";
import { KeyIndex } from "../../src/mvcc/key_index.ts";
import { ValueStore } from "../../src/mvcc/value_store.ts";
import { IntervalMap } from "../../src/watch/interval_map.ts";

/**
 * Nanoseconds per operation of the key index, the value store and the interval map, and bytes per key:
 *
 *   deno run -A --v8-flags=--expose-gc tests/bench/index_bench.ts
 */
const ROUNDS = 80;
const ROUND_MS = 3;
const WARM_UP_MS = 200;

/** The best round's time per call: on a noisy machine the least disturbed one, and short ones are disturbed least. */
function measure(name: string, run: (i: number) => number): void {
  let sink = 0;
  let warm = 0;
  const began = performance.now();
  for (; performance.now() - began < WARM_UP_MS; warm++) sink += run(warm);
  const calls = Math.ceil(warm * ROUND_MS / WARM_UP_MS) + 1;
  let best = Infinity;
  for (let round = 0, i = 0; round < ROUNDS; round++) {
    const start = performance.now();
    for (const end = i + calls; i < end; i++) sink += run(i);
    best = Math.min(best, (performance.now() - start) * 1e6 / calls);
  }
  report(name, best, "ns", sink);
}

function report(name: string, value: number, unit: string, sink = 0): void {
  console.log(
    `${name.padEnd(52)} ${value.toFixed(0).padStart(7)} ${unit}  (${
      sink % 10
    })`,
  );
}

function memoryBytes(): number {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("run with --v8-flags=--expose-gc");
  for (let i = 0; i < 3; i++) gc();
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

/** 30 bytes. */
function keyOf(n: number): Uint8Array {
  return utf8(`/registry/pods/ns-1/${String(n).padStart(10, "0")}`);
}

/** `many` live keys, in ascending order or in a mixed one. */
function filled(keys: readonly Uint8Array[]): KeyIndex {
  const index = new KeyIndex();
  for (let i = 0; i < keys.length; i++) {
    const entry = index.getOrCreate(keys[i]!);
    // Addresses as they are after some time: beyond 32 bits.
    entry.commit(i + 2, 0, i + 2, 1, 0n, 2 ** 33 + i * 600, 600);
    index.setLive(entry, true);
  }
  return index;
}

function mixed(keys: readonly Uint8Array[]): Uint8Array[] {
  // 7919 has no factor in common with the number of keys.
  return keys.map((_, i) => keys[(i * 7919) % keys.length]!);
}

function benchIndex(many: number): void {
  const label = many.toLocaleString("en");
  const keys = Array.from({ length: many }, (_, i) => keyOf(i));
  const shuffled = mixed(keys);
  for (const [order, input] of [["ascending", keys], ["mixed", shuffled]]) {
    let best = Infinity;
    let index = new KeyIndex();
    for (let round = 0; round < 3; round++) {
      const start = performance.now();
      index = filled(input as Uint8Array[]);
      best = Math.min(best, performance.now() - start);
    }
    const sink = index.size;
    const name = `create ${label} ${order}, live`;
    report(name, best * 1e6 / many, "ns each", sink);
  }
  const before = memoryBytes();
  const index = filled(keys);
  const bytes = (memoryBytes() - before) / many;
  report(`memory per key of ${label}, ascending`, bytes, "B", index.size);
  const from = memoryBytes();
  const other = filled(shuffled);
  const perKey = (memoryBytes() - from) / many;
  report(`memory per key of ${label}, mixed`, perKey, "B", other.size);

  measure(`get, ${label} keys, any`, (i) => {
    return index.get(shuffled[i % many]!)!.sub;
  });
  measure(`get, ${label} keys, 64 of them`, (i) => {
    return index.get(shuffled[i & 63]!)!.sub;
  });
  measure(
    `countLive of a range, ${label} keys`,
    (i) => index.countLive(keys[i % (many >> 1)]!, shuffled[i % many]),
  );
  const dead = index.get(keys[many >> 1]!)!;
  measure(`setLive, ${label} keys`, (i) => {
    const live = (i & 1) === 0 ? 0 : 1;
    dead.version = live;
    index.setLive(dead, live === 1);
    return live;
  });
  measure(`ascend 500, ${label} keys`, (i) => {
    let left = 500;
    index.ascend(shuffled[i % many]!, undefined, () => --left > 0);
    return left;
  });
}

function benchHistory(versions: number): void {
  const many = 50_000;
  const index = new KeyIndex();
  for (let i = 0; i < many; i++) index.getOrCreate(keyOf(i));
  const entries = index.ascendAfter(undefined, many);
  for (const entry of entries) entry.commit(1, 0, 1, 1, 0n, 2 ** 33, 600);
  const before = memoryBytes();
  for (let v = 1; v <= versions; v++) {
    for (const entry of entries) {
      entry.commit(1 + v, 0, 1, 1 + v, 0n, 2 ** 33 + v * 1000, 600);
    }
  }
  const bytes = (memoryBytes() - before) / many / versions;
  report(
    `memory of each of ${versions} older versions`,
    bytes,
    "B",
    index.size,
  );
}

function benchValues(): void {
  const values = new ValueStore({ budgetBytes: 64 << 20 });
  const record = new Uint8Array(600);
  let last = 0;
  measure("append 600 B", () => last = values.append(record));
  measure("get a view", () => values.get(last, 600)!.length);
  measure("locate", () => values.locate(last) ? values.viewOffset : 0);
}

function benchIntervals(): void {
  const keys = Array.from({ length: 10_001 }, (_, i) => keyOf(i));
  const map = new IntervalMap<number>();
  const start = performance.now();
  for (let i = 0; i < 10_000; i++) map.insert(keys[i]!, keys[i + 1]!, i);
  const ns = (performance.now() - start) * 1e6 / 10_000;
  report("IntervalMap.insert, up to 10,000 ranges", ns, "ns each");
  let sum = 0;
  const add = (value: number) => {
    sum += value;
  };
  measure("IntervalMap.stab, 10,000 ranges, 1 hit", (i) => {
    map.stab(keys[(i * 7919) % 10_000]!, add);
    return sum & 1;
  });
  measure("IntervalMap.stab, 10,000 ranges, no hit", () => {
    map.stab(EMPTY, add);
    return sum & 1;
  });
}

const hashed = keyOf(1).subarray(0, 25);
measure("hashBytes, 25 B", () => hashBytes(hashed) & 1);
benchIndex(10_000);
benchIndex(200_000);
benchIndex(1_000_000);
for (const versions of [1, 2, 4, 8, 16, 64]) benchHistory(versions);
benchValues();
benchIntervals();
