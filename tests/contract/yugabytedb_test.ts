import assert from "node:assert/strict";
import { openBackend } from "../../src/backend/open.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { makeBatch } from "../support/batches.ts";
import { databaseFixture, databaseName } from "../support/database_server.ts";
import { HAS_POSTGRES, POSTGRES_SERVER } from "../support/postgres.ts";
import { YugabytedbDisguise } from "../support/yugabytedb_disguise.ts";
import { testBackend } from "./backend_contract.ts";

/**
 * The statements for YugabyteDB, run by PostgreSQL. That YugabyteDB runs them too is not tested here; its errors are
 * made by `tests/robustness/database/`, and what it lacks is kept out of the statements by `sql_test.ts`.
 */
if (HAS_POSTGRES) {
  // For all tests of this file: it ends with the process.
  const shared = await YugabytedbDisguise.start(POSTGRES_SERVER.url);
  testBackend("RemoteBackend with YugabyteDB's statements", () => ({
    ...databaseFixture({
      url: `yugabytedb://postgres@127.0.0.1:${shared.port}`,
      drop: POSTGRES_SERVER.drop,
    }),
    compactsItself: true,
  }));

  Deno.test("YugabyteDB is known by its version, and asked for nothing that it lacks", async () => {
    const database = databaseName();
    const relay = await YugabytedbDisguise.start(POSTGRES_SERVER.url);
    const clock = new FakeClock();
    const url = `yugabytedb://postgres@127.0.0.1:${relay.port}/${database}`;
    const backend = openBackend(url, { clock });
    await backend.open();
    const stop = backend.watchCommits(() => {});
    await backend.append(makeBatch(1, 1, { rows: 3 }));
    await backend.head();
    stop();
    await backend.close();
    await relay[Symbol.asyncDispose]();
    await POSTGRES_SERVER.drop(database);
    assert.match(relay.sent, /PRIMARY KEY \(rev ASC, sub ASC\)/);
    assert.match(relay.sent, /WITH COLOCATION = true/);
    assert.match(relay.sent, /SET yb_bnl_batch_size = 1024/);
    assert.doesNotMatch(relay.sent, /LISTEN|pg_notify|advisory|VACUUM/);
  });
}
