import assert from "node:assert/strict";
import { type Backend, BackendError } from "../../src/backend/backend.ts";
import { openBackend } from "../../src/backend/open.ts";
import {
  POSTGRES,
  postgresSchemaText,
} from "../../src/backend/driver/postgres/sql.ts";
import { DEFAULT_DATASTORE_SETTINGS } from "../../src/backend/driver/remote/datastore_settings.ts";
import { SystemClock } from "../../src/base/clock.ts";
import { makeBatch } from "../support/batches.ts";
import { databaseName } from "../support/database_server.ts";
import { CapturingLogger } from "../support/log.ts";
import {
  HAS_POSTGRES,
  POSTGRES_SERVER,
  runOnPostgres,
} from "../support/postgres.ts";

/** What PostgreSQL alone can do or be, besides the contract. */
function test(
  name: string,
  body: (database: string) => Promise<void>,
): void {
  Deno.test({
    name: `PostgreSQL: ${name}`,
    ignore: !HAS_POSTGRES,
    fn: async () => {
      const database = databaseName();
      await runOnPostgres("postgres", `CREATE DATABASE ${database}`);
      try {
        await body(database);
      } finally {
        await POSTGRES_SERVER.drop(database);
      }
    },
  });
}

if (!HAS_POSTGRES) {
  console.warn(
    `PostgreSQL is not tested: nothing is at ${POSTGRES_SERVER.url}`,
  );
}

function make(database: string, given: {
  options?: string;
  user?: string;
  log?: CapturingLogger;
} = {}): Backend {
  const url = new URL(
    `${POSTGRES_SERVER.url}/${database}${given.options ?? ""}`,
  );
  if (given.user !== undefined) url.username = given.user;
  const log = given.log ?? new CapturingLogger();
  return openBackend(url.href, { clock: new SystemClock(), log });
}

/** Why it cannot be opened. */
async function refusal(backend: Backend): Promise<BackendError> {
  try {
    await backend.open();
  } catch (error) {
    assert.ok(error instanceof BackendError, String(error));
    return error;
  }
  await backend.close();
  assert.fail("it was opened");
}

test("stores with different prefixes share a database and do not see each other", async (database) => {
  const east = make(database, { options: "?table-prefix=east_" });
  const west = make(database, { options: "?table-prefix=west_" });
  await Promise.all([east.open(), west.open()]);
  await east.append(makeBatch(1, 1, { rows: 3 }));
  assert.equal((await west.head()).seq, 0);
  await west.append(makeBatch(1, 1));
  assert.equal((await east.head()).revision, 4);
  assert.equal((await west.head()).revision, 2);
  await Promise.all([east.close(), west.close()]);
});

test("servers that open an empty database at the same moment all succeed", async (database) => {
  const backends = Array.from({ length: 4 }, () => make(database));
  await Promise.all(backends.map((backend) => backend.open()));
  await Promise.all(backends.map((backend) => backend.close()));
});

test("a user who may create no tables is told what prints them, and needs no more than to write", async (database) => {
  const user = `${database}_user`;
  await runOnPostgres("postgres", `CREATE ROLE ${user} LOGIN`);
  try {
    const error = await refusal(
      make(database, { user, options: "?table-prefix=a_" }),
    );
    assert.match(error.message, /Cannot create tables in database/);
    assert.match(
      error.cure,
      /stele schema --print --engine=postgres --table-prefix=a_/,
    );
    await runOnPostgres(database, postgresSchemaText(POSTGRES, "a_"));
    await runOnPostgres(
      database,
      `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${user}`,
    );
    const backend = make(database, { user, options: "?table-prefix=a_" });
    await backend.open();
    await backend.append(makeBatch(1, 1, { rows: 2 }));
    await backend.remove([{ rev: 2, sub: 0 }]);
    await backend.trimBatches(1);
    await backend.size();
    await backend.close();
  } finally {
    await POSTGRES_SERVER.drop(database);
    await runOnPostgres("postgres", `DROP ROLE ${user}`);
  }
});

test("a user who may not create the database is told so", async () => {
  const missing = databaseName();
  const user = `${missing}_user`;
  await runOnPostgres("postgres", `CREATE ROLE ${user} LOGIN`);
  try {
    const error = await refusal(make(missing, { user }));
    assert.match(
      error.message,
      /it does not exist, and user .* may not create/,
    );
    assert.match(error.cure, /stele schema --print/);
  } finally {
    await runOnPostgres("postgres", `DROP ROLE ${user}`);
  }
});

test("commits that may be lost are warned of", async (database) => {
  await runOnPostgres(
    "postgres",
    `ALTER DATABASE ${database} SET synchronous_commit = off`,
  );
  const log = new CapturingLogger();
  const backend = make(database, { log });
  await backend.open();
  await backend.close();
  assert.match(log.messages("warn").join(), /writes can be lost/);
});

test("a stronger isolation is warned of, and works", async (database) => {
  await runOnPostgres(
    "postgres",
    `ALTER DATABASE ${database} SET default_transaction_isolation = serializable`,
  );
  const log = new CapturingLogger();
  const backends = [make(database, { log }), make(database)];
  for (const backend of backends) await backend.open();
  for (let seq = 1; seq <= 10; seq++) {
    const outcomes = await Promise.all(
      backends.map((backend) => backend.append(makeBatch(seq, seq))),
    );
    assert.deepEqual(outcomes.sort(), ["committed", "conflict"]);
  }
  for (const backend of backends) await backend.close();
  assert.match(log.messages("warn").join(), /isolates more/);
});

test("a database that takes no writes is refused", async (database) => {
  await runOnPostgres(
    "postgres",
    `ALTER DATABASE ${database} SET default_transaction_read_only = on`,
  );
  const { message, cure } = await refusal(make(database));
  assert.match(message, /it is read-only/);
  assert.match(cure, /default_transaction_read_only/);
});

for (const options of ["", "?prepare=false"]) {
  const how = options === "" ? "by notification" : "by polling";
  test(`a commit of one server is seen by another (${how})`, async (database) => {
    const writer = make(database, { options });
    const reader = make(database, { options });
    await writer.open();
    await reader.open();
    let heard = Promise.withResolvers<void>();
    const stop = reader.watchCommits(() => heard.resolve());
    for (let seq = 1; seq <= 20; seq++) {
      heard = Promise.withResolvers();
      await writer.append(makeBatch(seq, seq));
      await heard.promise;
    }
    stop();
    await writer.close();
    await reader.close();
  });
}

test("writes go on during a snapshot, with the fewest connections there can be", async (database) => {
  const backend = openBackend(`${POSTGRES_SERVER.url}/${database}`, {
    clock: new SystemClock(),
    datastore: { ...DEFAULT_DATASTORE_SETTINGS, maxConnections: 2 },
  });
  await backend.open();
  await backend.append(makeBatch(1, 1, { rows: 2000, valueBytes: 4000 }));
  const others = [
    backend.snapshot(),
    backend.defragment(),
    backend.load({ state: () => {}, rows: () => {} }),
  ];
  for (let seq = 2; seq <= 20; seq++) {
    const batch = makeBatch(seq, 1999 + seq);
    assert.equal(await backend.append(batch), "committed");
  }
  await Promise.all(others);
  await backend.close();
});

test("sessions that are ended under a server's feet are replaced", async (database) => {
  const backend = make(database);
  await backend.open();
  for (let seq = 1; seq <= 10; seq++) {
    await runOnPostgres(
      "postgres",
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}'`,
    );
    assert.equal(await backend.append(makeBatch(seq, seq)), "committed");
  }
  assert.equal((await backend.head()).seq, 10);
  await backend.close();
});

/** A log of five batches, of which a statement makes another one; then the calls that say so. */
for (
  const [what, changes, calls] of [
    [
      "has lost its end",
      ["DELETE FROM stele_batch WHERE seq > 3"],
      ["append", "head"],
    ],
    [
      "has another last batch",
      ["UPDATE stele_batch SET id = 'another' WHERE seq = 5"],
      ["append", "head", "batchesAfter"],
    ],
    [
      "has gone on from another last batch",
      [
        "UPDATE stele_batch SET id = 'another' WHERE seq = 5",
        "INSERT INTO stele_batch VALUES (6, 'theirs', 7, 6, 0, '', 0)",
      ],
      ["batchesAfter"],
    ],
  ] as const
) {
  test(`a log that ${what} went back in time`, async (database) => {
    const backend = make(database);
    await backend.open();
    for (let seq = 1; seq <= 5; seq++) {
      await backend.append(makeBatch(seq, seq));
    }
    for (const change of changes) await runOnPostgres(database, change);
    const call = {
      append: () => backend.append(makeBatch(6, 6)),
      head: () => backend.head(),
      batchesAfter: () => backend.batchesAfter(5, 1),
    };
    for (const name of calls) {
      await assert.rejects(call[name], (error) => {
        assert.ok(error instanceof BackendError);
        assert.equal(error.kind, "corrupt");
        assert.match(error.message, /the database went back in time/);
        assert.match(error.cure, /Restart every server/);
        return true;
      });
    }
    await backend.close();
  });
}
