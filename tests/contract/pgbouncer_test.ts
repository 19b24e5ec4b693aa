import assert from "node:assert/strict";
import { makeBatch } from "../support/batches.ts";
import { databaseName, openDatabase } from "../support/database_server.ts";
import { PgBouncer, PGBOUNCER_OBSTACLE } from "../support/pgbouncer.ts";
import {
  HAS_POSTGRES,
  POSTGRES_SERVER,
  runOnPostgres,
} from "../support/postgres.ts";

const obstacle = HAS_POSTGRES
  ? PGBOUNCER_OBSTACLE
  : `nothing is at ${POSTGRES_SERVER.url}`;
if (obstacle !== undefined) {
  console.warn(`PgBouncer in front of PostgreSQL is not tested: ${obstacle}`);
}

for (
  const [options, what] of [
    ["?prepare=false", "told of it"],
    ["", "not told of it, which gives prepared statements up"],
  ] as const
) {
  Deno.test({
    name: `PostgreSQL behind PgBouncer in transaction mode, ${what}`,
    ignore: obstacle !== undefined,
    fn: () => useBouncer(options),
  });
}

/** Batches of the log. */
const LAST = 20;

async function useBouncer(options: string): Promise<void> {
  const database = databaseName();
  // Poolers remember for a while that there was no such database.
  await runOnPostgres("postgres", `CREATE DATABASE ${database}`);
  await using bouncer = await PgBouncer.start(POSTGRES_SERVER.url);
  const url = `postgres://postgres@127.0.0.1:${bouncer.port}`;
  const server = { ...POSTGRES_SERVER, url };
  try {
    const backends = [1, 2, 3].map(() =>
      openDatabase(server, database, options)
    );
    for (const backend of backends) await backend.open();
    const heard = Promise.withResolvers<void>();
    backends[0]!.watchCommits((seq) => {
      if (seq === LAST) heard.resolve();
    });
    const rows = 20;
    for (let seq = 1; seq < LAST; seq++) {
      const batch = () => makeBatch(seq, 1 + (seq - 1) * rows, { rows });
      // All at once: one of them wins, and each of them may have any session.
      const outcomes = await Promise.all(
        backends.map((backend) => backend.append(batch())),
      );
      assert.deepEqual(outcomes.sort(), ["committed", "conflict", "conflict"]);
    }
    const [, writer] = backends;
    await writer!.append(makeBatch(LAST, 1 + (LAST - 1) * rows, { rows }));
    await heard.promise;
    for (const backend of backends) {
      assert.equal((await backend.head()).seq, LAST);
      assert.equal((await backend.batchesAfter(0, 100)).length, LAST);
      let loaded = 0;
      await backend.load({
        state: () => {},
        rows: (block) => void (loaded += block.length),
      });
      assert.ok(loaded > LAST * rows * 512);
    }
    const snapshot = await writer!.snapshot();
    assert.ok(snapshot.sizeBytes > 0);
    await snapshot.close();
    for (const backend of backends) await backend.close();
  } finally {
    await POSTGRES_SERVER.drop(database);
  }
}
