import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { seeds } from "../../support/random.ts";
import { runCrashes } from "./crash_run.ts";

for (const seed of seeds(3)) {
  // Seed 2 runs with little memory, seed 3 with auth; `deno task soak` goes on from here.
  Deno.test(`kill -9 under load loses, tears and repeats nothing, seed ${seed}`, async () => {
    const result = await runCrashes({ seed, kills: 3 });
    assert.deepEqual(result.violations, [], `STELE_SEED=${seed}`);
  });
}

const TAMPERINGS: readonly {
  readonly name: string;
  readonly sql: readonly string[];
  readonly violation: RegExp;
}[] = [
  {
    // Several, since the last may hold what nobody was told of.
    name: "lost batches",
    sql: [
      `DELETE FROM stele_kv WHERE rev > (SELECT max(rev) - 20 FROM stele_kv)`,
      `DELETE FROM stele_batch
       WHERE last_rev > (SELECT max(rev) FROM stele_kv)`,
    ],
    // How it shows depends on what was in them: a lease, a compaction, writes alone.
    violation: /\S/,
  },
  {
    name: "a changed value",
    sql: [
      `UPDATE stele_kv SET value = CAST('x' AS BLOB)
       WHERE deleted = 0 AND rev = (SELECT max(rev) FROM stele_kv WHERE deleted = 0)`,
    ],
    violation:
      /nobody asked|the log has|HashKV|row .* is not what|does not match its checksum/,
  },
  {
    name: "lost leases",
    sql: [
      "UPDATE stele_kv SET lease = 0",
      "DELETE FROM stele_lease",
    ],
    // Whether a lease was left at the end is up to chance; that keys had some is not.
    violation:
      /lease .* is gone|another answer|the log has|HashKV|do not match their checksum/,
  },
];

for (const { name, sql, violation } of TAMPERINGS) {
  Deno.test(`a crash run notices ${name}`, async () => {
    const { violations } = await runCrashes({
      seed: 1,
      kills: 3,
      waitsForLeases: false,
      beforeLast: (dataDir) => {
        const db = new DatabaseSync(`${dataDir}/stele.db`);
        for (const statement of sql) db.exec(statement);
        db.close();
      },
    });
    assert.match(violations.join("\n"), violation);
  });
}
