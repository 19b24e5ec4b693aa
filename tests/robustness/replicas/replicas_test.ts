import assert from "node:assert/strict";
import { HAS_POSTGRES } from "../../support/postgres.ts";
import { seeds } from "../../support/random.ts";
import { runApart } from "./apart.ts";

/** Seconds of faults; `STELE_SOAK` makes it longer. */
const SECONDS = Number(Deno.env.get("STELE_SOAK") ?? 12);

/** The promise is 3 s; a machine that has other things to do gets more. */
const MAX_FAILOVER_MS = 6000;

if (!HAS_POSTGRES) {
  console.log("skipped: several servers on one database need PostgreSQL");
}

for (const seed of seeds(1)) {
  Deno.test({
    name:
      `servers on one database that are killed, paused and cut off lose, repeat and reorder nothing, seed ${seed}`,
    ignore: !HAS_POSTGRES,
    async fn() {
      const result = await runApart("nemesis", {
        seed,
        durationMs: SECONDS * 1000,
        maxFaultMs: 2500,
      });
      const faults = JSON.stringify(result.faults);
      assert.deepEqual(result.violations, [], `STELE_SEED=${seed}: ${faults}`);
      assert.ok(result.revisions > 20, "clients got something done");
    },
  });
}

Deno.test({
  name: "writes go on soon after the sequencer was killed",
  ignore: !HAS_POSTGRES,
  async fn() {
    const ms = Math.round(await runApart("failover", null));
    console.log(`writes again after ${ms} ms`);
    assert.ok(ms < MAX_FAILOVER_MS, `${ms} ms`);
  },
});
