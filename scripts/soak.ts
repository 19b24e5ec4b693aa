/**
 * Kills a server under load, again and again, and checks what is left.
 *
 *   deno task soak                                  seeds from 1 on, for 10 minutes
 *   deno task soak --seeds 7..7 --kills 200         one seed
 *   deno task soak --minutes 60 --keep-going        does not stop at the first finding
 *   deno task soak --replicas 3 --seconds 60        several servers on PostgreSQL, killed, paused and cut off
 *
 * `STELE_BIN` names an executable to test instead of this tree. Prints a line for each seed; exits 1 if
 * anything was wrong.
 */
import { parseArgs } from "node:util";
import { runCrashes } from "../tests/robustness/crash/crash_run.ts";
import { runApart } from "../tests/robustness/replicas/apart.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1..1000000" },
    /** For each seed: a history of this many lives is checked at once. */
    kills: { type: "string", default: "25" },
    minutes: { type: "string", default: "10" },
    "keep-going": { type: "boolean", default: false },
    /** How many servers share a database; 1: a directory. */
    replicas: { type: "string", default: "1" },
    /** How long several servers are harmed, for each seed. */
    seconds: { type: "string", default: "60" },
  },
});

const [first, last] = values.seeds.split("..").map(Number);
const endMs = performance.now() + Number(values.minutes) * 60_000;
const totals = { seeds: 0, kills: 0, startKills: 0, operations: 0, wrong: 0 };
const run = Number(values.replicas) > 1 ? soakReplicas : soakOne;

for (let seed = first!; seed <= (last ?? first!); seed++) {
  if (performance.now() >= endMs) break;
  const began = performance.now();
  const { told, operations, unknown, revisions, violations } = await run(seed);
  const seconds = Math.round((performance.now() - began) / 1000);
  console.log(
    `seed ${seed}: ${told}; ${operations} calls, ${unknown} without an answer; ${revisions} revisions; ` +
      `${seconds} s; ${violations.length === 0 ? "right" : "WRONG"}`,
  );
  for (const violation of violations) console.log(`  ${violation}`);
  totals.seeds++;
  totals.operations += operations;
  if (violations.length === 0) continue;
  totals.wrong++;
  if (!values["keep-going"]) break;
}

console.log(
  `${totals.kills} kills (${totals.startKills} during a start) over ${totals.seeds} seeds, ` +
    `${totals.operations} calls: ${totals.wrong} seeds wrong`,
);
Deno.exit(totals.wrong === 0 ? 0 : 1);

/** What both kinds of run have in common. */
interface Soaked {
  /** What was done to the servers. */
  readonly told: string;
  readonly operations: number;
  readonly unknown: number;
  readonly revisions: number;
  readonly violations: readonly string[];
}

async function soakOne(seed: number): Promise<Soaked> {
  const result = await runCrashes({ seed, kills: Number(values.kills) });
  totals.kills += result.kills;
  totals.startKills += result.startKills;
  const auth = result.isAuthEnabled ? "with" : "without";
  return {
    ...result,
    told:
      `${result.kills} kills, ${result.startKills} of them during a start, ${auth} auth`,
  };
}

async function soakReplicas(seed: number): Promise<Soaked> {
  const result = await runApart("nemesis", {
    seed,
    durationMs: Number(values.seconds) * 1000,
    nodes: Number(values.replicas),
  });
  const { faults } = result;
  totals.kills += (faults["kill"] ?? 0) + (faults["kill+"] ?? 0);
  const told = Object.entries(faults).map(([fault, n]) => `${n} × ${fault}`);
  return { ...result, told: told.join(", ") };
}
