import assert from "node:assert/strict";
import { Random, seeds } from "../../support/random.ts";
import { testOnEngines } from "./engines.ts";
import { logCounts, sumOf } from "./counts.ts";
import { faultMix } from "./fault_mix.ts";
import { runServers, type ServerRunResult } from "./server_run.ts";

const DURATION_MS = Number(Deno.env.get("STELE_SECONDS") ?? 3) * 1000;

for (const seed of seeds(1)) {
  testOnEngines(
    `servers do every write once and show it once through faults, seed ${seed}`,
    async ({ name, server, makeWire, errors }) => {
      const plan = faultMix(errors[name]!, new Random(seed), {
        appendsOneIn: 10,
        othersOneIn: 100,
        silentOneIn: 10,
      });
      const result = await runServers(server, makeWire, {
        seed,
        plan,
        servers: 2,
        writers: 6,
        durationMs: DURATION_MS,
      });
      report(name, result);
    },
  );
}

function report(name: string, result: ServerRunResult): void {
  const { acknowledged, unknown, events, faults, failures } = result;
  assert(acknowledged > 0, "nothing could be written");
  console.log(
    `${name}: ${acknowledged} writes acknowledged, ${unknown} unknown; ${events} events; ${
      sumOf(faults)
    } faults of ${faults.size} kinds; ${sumOf(failures)} calls failed`,
  );
  logCounts(faults, failures);
}
