import assert from "node:assert/strict";
import { Random, seeds } from "../../support/random.ts";
import { type AppendRunResult, runAppends } from "./append_run.ts";
import { logCounts, sumOf } from "./counts.ts";
import { ENGINES } from "./engines.ts";
import { faultMix } from "./fault_mix.ts";

/** How long the log of each run becomes. */
const BATCHES = Number(Deno.env.get("STELE_BATCHES") ?? 100);
/** Shorter, since each fault lasts for a statement's time limit. */
const SILENT_BATCHES = Math.ceil(BATCHES / 3);
const SHORT_TIMEOUT_MS = 500;

for (const { name, server, isReachable, makeWire, ...engine } of ENGINES) {
  for (const [manners, errors] of Object.entries(engine.errors)) {
    for (const seed of seeds(manners === name ? 2 : 1)) {
      Deno.test({
        name:
          `replicas append exactly once through ${manners}'s faults, seed ${seed}`,
        ignore: !isReachable,
        async fn() {
          const plan = faultMix(errors, new Random(seed), {
            appendsOneIn: 6,
            othersOneIn: 20,
            silentOneIn: 0,
          });
          report(
            await runAppends(server, makeWire, {
              seed,
              plan,
              replicas: 1 + seed % 3,
              batches: BATCHES,
              hasOutages: true,
            }),
          );
        },
      });
    }
  }

  for (const seed of seeds(1)) {
    Deno.test({
      name:
        `replicas append exactly once through silent connections to ${name}, seed ${seed}`,
      ignore: !isReachable,
      async fn() {
        const plan = faultMix(engine.errors[name]!, new Random(seed), {
          appendsOneIn: 6,
          othersOneIn: 50,
          silentOneIn: 4,
        });
        report(
          await runAppends(server, makeWire, {
            seed,
            plan,
            replicas: 3,
            batches: SILENT_BATCHES,
            hasOutages: false,
            statementTimeoutMs: SHORT_TIMEOUT_MS,
          }),
        );
      },
    });
  }
}

/** Says what was tried, and sees to it that it was something. */
function report({ outcomes, faults, failures }: AppendRunResult): void {
  const { committed, conflict, unknown } = outcomes;
  const total = sumOf(faults);
  assert(total > committed / 20, `only ${total} faults were made`);
  console.log(
    `${committed} committed, ${conflict} conflicts, ${unknown} unknown; ` +
      `${total} faults of ${faults.size} kinds; ${
        sumOf(failures)
      } calls failed`,
  );
  logCounts(faults, failures);
}
