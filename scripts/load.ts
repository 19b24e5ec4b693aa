/**
 * Loads a server with everything at once, for minutes, and checks what it did: nothing lost, nobody starved,
 * memory within bounds, too much refused early.
 *
 *   deno task load                          2,000 connections, 10,000 watchers, 100,000 leases, 1,000,000 keys
 *   deno task load --minutes 10 --seed 7
 *   deno task load --short                  what the test does
 *   deno task load --sizes                  memory per key, watcher, lease, connection instead
 *   deno task load --flags "--value-cache-bytes=64MiB"
 *
 * `STELE_BIN` names an executable to load instead of this tree. Linux only. Prints a table; exits 1 if
 * anything was wrong.
 */
import { parseArgs } from "node:util";
import {
  FULL_LOAD,
  type LoadReport,
  runLoad,
  SHORT_LOAD,
  type StageRow,
} from "../tests/robustness/load/load_run.ts";
import { percentile } from "../tests/robustness/load/probe.ts";
import { measureSizes } from "../tests/robustness/load/sizing.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string" },
    seed: { type: "string", default: "1" },
    keys: { type: "string" },
    connections: { type: "string" },
    short: { type: "boolean", default: false },
    sizes: { type: "boolean", default: false },
    /** More flags of the server, divided by blanks. */
    flags: { type: "string", default: "" },
  },
});

if (values.sizes) {
  await printSizes();
  Deno.exit(0);
}

const base = values.short ? SHORT_LOAD : FULL_LOAD;
const plan = {
  ...base,
  seed: Number(values.seed),
  seconds: values.minutes === undefined
    ? base.seconds
    : Number(values.minutes) * 60,
  keys: Number(values.keys ?? base.keys),
  connections: Number(values.connections ?? base.connections),
  serverFlags: values.flags.split(" ").filter((flag) => flag !== ""),
};

console.log("| stage | s | done | MiB at most | MiB at the end |");
console.log("| --- | ---: | --- | ---: | ---: |");
const report = await runLoad(plan, printRow);
printReport(report);
Deno.exit(report.violations.length === 0 ? 0 : 1);

function printRow(row: StageRow): void {
  const { stage, seconds, done, peakMib, endMib } = row;
  console.log(
    `| ${stage} | ${seconds.toFixed(1)} | ${done} | ${Math.round(peakMib)} | ${
      Math.round(endMib)
    } |`,
  );
}

function printReport({ probe, burst, ...report }: LoadReport): void {
  console.log("\n| calls meanwhile | p50 ms | p99 ms | longest ms | calls |");
  console.log("| --- | ---: | ---: | ---: | ---: |");
  for (const kind of ["put", "get"] as const) {
    const all = probe.latencies[kind];
    const cells = [0.5, 0.99, 1].map((share) =>
      percentile(all, share).toFixed(1)
    );
    console.log(`| ${kind} | ${cells.join(" | ")} | ${all.length} |`);
  }
  console.log(
    `\nlongest put of a writer: ${report.longestPutMs.toFixed(0)} ms\n` +
      `burst: ${burst.refused} refused by ${
        burst.lastRefusalMs.toFixed(0)
      } ms, ` +
      `${burst.accepted} accepted by ${burst.lastAcceptedMs.toFixed(0)} ms, ` +
      `the next put took ${burst.recoveredMs.toFixed(1)} ms\n` +
      `memory: ${Math.round(report.peakMib)} MiB at most`,
  );
  const { violations } = report;
  console.log(
    violations.length === 0 ? "right" : `WRONG: ${violations.length}`,
  );
  for (const violation of violations.slice(0, 20)) {
    console.log(`  ${violation}`);
  }
}

async function printSizes(): Promise<void> {
  console.log("| one | of | memory, B | database, B | start with all, ms |");
  console.log("| --- | ---: | ---: | ---: | ---: |");
  for await (const row of measureSizes(Number(values.seed))) {
    const cells = [
      row.count,
      row.bytesEach,
      row.databaseBytesEach,
      row.restartMs,
    ].map((n) => n === undefined ? "" : Math.round(n).toLocaleString("en"));
    console.log(`| ${row.what} | ${cells.join(" | ")} |`);
  }
}
