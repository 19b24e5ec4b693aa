import assert from "node:assert/strict";
import {
  type Backend,
  BackendError,
} from "../../../../../src/backend/backend.ts";
import { mysqlSchemaText } from "../../../../../src/backend/driver/mysql/sql.ts";
import { StateKind } from "../../../../../src/backend/state_change.ts";
import { utf8 } from "../../../../../src/base/bytes.ts";
import { batchOf, makeBatch, rowsOf } from "../../../../support/batches.ts";
import {
  databaseName,
  type DatabaseServer,
  openDatabase,
} from "../../../../support/database_server.ts";
import {
  HAS_MYSQL,
  MYSQL_SERVER,
  runOnMysql,
} from "../../../../support/mysql.ts";
import { loadAll } from "../../../../contract/backend_contract.ts";

/** A test's own database. */
interface TestDatabase {
  readonly database: string;
  /** A backend on it, closed when the test ends. */
  open(options?: string, server?: DatabaseServer): Backend;
}

/** Needs a server; the database is dropped afterwards. */
function test(name: string, run: (own: TestDatabase) => Promise<void>): void {
  Deno.test({
    name: `MySQL: ${name}`,
    ignore: !HAS_MYSQL,
    fn: async () => {
      const database = databaseName();
      const backends: Backend[] = [];
      const open = (options = "", server = MYSQL_SERVER) => {
        const backend = openDatabase(server, database, options);
        backends.push(backend);
        return backend;
      };
      try {
        await run({ database, open });
      } finally {
        for (const backend of backends) await backend.close();
        await MYSQL_SERVER.drop(database);
      }
    },
  });
}

test("of two writers one wins, and the other one sees its batch", async ({ open }) => {
  const a = open();
  const b = open();
  await a.open();
  await b.open();
  let next = 1;
  for (let seq = 1; seq <= 20; seq++) {
    const outcomes = await Promise.all([
      a.append(makeBatch(seq, next)),
      b.append(makeBatch(seq, next)),
    ]);
    assert.deepEqual(outcomes.toSorted(), ["committed", "conflict"]);
    next++;
  }
  assert.equal((await a.batchesAfter(0, 100)).length, 20);
  assert.equal(rowsOf(await b.eventsAfter(0, 1e9)).length, 20);
});

test("watchCommits() tells of what another one commits", async ({ open }) => {
  const a = open();
  const b = open();
  await a.open();
  await b.open();
  const told = Promise.withResolvers<void>();
  const stop = b.watchCommits(() => told.resolve());
  await a.append(makeBatch(1, 1));
  await told.promise;
  stop();
});

test("batches are committed once although connections are killed", async ({ database, open }) => {
  const backend = open();
  await backend.open();
  let isDone = false;
  const killer = killConnections(database, () => isDone);
  for (let seq = 1; seq <= 150; seq++) {
    const outcome = await backend.append(makeBatch(seq, seq));
    assert.equal(outcome, "committed", String(seq));
  }
  isDone = true;
  assert.ok(await killer > 0);
  const { rows } = await loadAll(backend);
  assert.deepEqual(
    rows.map(({ rev }) => rev),
    Array.from({ length: 150 }, (_, i) => i + 2),
  );
});

test("long keys and long names of state are whole", async ({ open }) => {
  const backend = open();
  await backend.open();
  const key = (length: number, last: number) => {
    const bytes = new Uint8Array(length).fill(0x6b);
    bytes[length - 1] = last;
    return bytes;
  };
  const put = { value: utf8("v"), createRev: 2, version: 1, lease: 0n };
  const rows = [1, 2].map((last, sub) => ({
    ...{ rev: 2, sub, key: key(100_000, last), put },
  }));
  const lengths = [500, 501, 502, 3073, 70_000];
  const state = lengths.flatMap((length) =>
    [1, 2].map((last) => ({
      ...{ kind: StateKind.Auth, key: key(length, last), value: utf8("x") },
    }))
  );
  await backend.append(batchOf({ seq: 1, afterRev: 1 }, rows, state));
  const found = await loadAll(backend);
  assert.deepEqual(found.rows, rows);
  const names = (changes: typeof found.state) =>
    changes.map((change) => `${change.key.length} ${change.key.at(-1)}`).sort();
  assert.deepEqual(names(found.state), names(state));
});

test("a user who may create nothing is told what is missing, and needs no more", async ({ database, open }) => {
  const user = database.slice(0, 24);
  const url = new URL(MYSQL_SERVER.url);
  url.username = user;
  url.password = "secret";
  const server = { ...MYSQL_SERVER, url: url.href.replace(/\/$/, "") };
  await runOnMysql(`CREATE USER ${user} IDENTIFIED BY 'secret'`);
  try {
    await refused(open("", server), /database|denied/i);
    await runOnMysql(
      `CREATE DATABASE ${database};
GRANT SELECT, INSERT, UPDATE, DELETE ON ${database}.* TO ${user}`,
    );
    const why = await refused(open("", server), /the tables/);
    assert.match(why.cure, /stele schema --print --engine=mysql/);
    assert.ok(!why.message.includes("secret"));
    await runOnMysql(`USE ${database};\n${mysqlSchemaText("stele_")}`);
    const backend = open("", server);
    await backend.open();
    assert.equal(await backend.append(makeBatch(1, 1)), "committed");
    await backend.remove([{ rev: 2, sub: 0 }]);
    assert.ok((await backend.size()).totalBytes > 0);
  } finally {
    await runOnMysql(`DROP USER ${user}`);
  }
});

test("tables without transactions are refused", async ({ database, open }) => {
  await made(open());
  await runOnMysql(`ALTER TABLE ${database}.stele_kv ENGINE = MyISAM`);
  const why = await refused(open(), /MyISAM/);
  assert.match(why.cure, /ALTER TABLE stele_kv ENGINE = InnoDB/);
});

test("a schema from the future is refused", async ({ database, open }) => {
  await made(open());
  await runOnMysql(
    `UPDATE ${database}.stele_state SET value = '99' WHERE kind = 0`,
  );
  const why = await refused(open(), /version 99/);
  assert.equal(why.kind, "schema");
});

test("tables that were made in part are completed", async ({ database, open }) => {
  await made(open());
  await runOnMysql(
    `DROP TABLE ${database}.stele_kv; DELETE FROM ${database}.stele_state`,
  );
  const backend = open();
  assert.equal((await backend.open()).seq, 0);
  assert.equal(await backend.append(makeBatch(1, 1)), "committed");
});

test("several stores share a database by their prefixes", async ({ open }) => {
  const a = open("?table-prefix=a_");
  const b = open("?table-prefix=b_");
  await a.open();
  await b.open();
  await a.append(makeBatch(1, 1));
  assert.equal((await b.head()).seq, 0);
});

test("of several hosts the one that answers is used", async ({ open }) => {
  const { host } = new URL(MYSQL_SERVER.url);
  const url = MYSQL_SERVER.url.replace(host, `127.0.0.1:1,${host}`);
  const backend = open("", { ...MYSQL_SERVER, url });
  await backend.open();
  assert.equal(await backend.append(makeBatch(1, 1)), "committed");
});

test("defragment() gives up soon if a table is in use, and appends go on", async ({ database, open }) => {
  const backend = open();
  await backend.open();
  await backend.append(makeBatch(1, 1));
  const holder = runOnMysql(
    `USE ${database}; START TRANSACTION; SELECT COUNT(*) FROM stele_kv; SELECT SLEEP(3)`,
  );
  while (!await isAsleep(database)) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const defragment = assert.rejects(backend.defragment(), BackendError);
  assert.equal(await backend.append(makeBatch(2, 2)), "committed");
  await defragment;
  await holder;
  await backend.defragment();
});

/** Lets the driver make its tables. */
async function made(backend: Backend): Promise<void> {
  await backend.open();
  await backend.close();
}

async function refused(
  backend: Backend,
  message: RegExp,
): Promise<BackendError> {
  try {
    await backend.open();
  } catch (error) {
    assert.ok(error instanceof BackendError);
    assert.match(error.message, message);
    return error;
  } finally {
    await backend.close();
  }
  throw new Error("it was not refused");
}

/** Kills every connection to the database, again and again; how many it were. */
async function killConnections(
  database: string,
  isDone: () => boolean,
): Promise<number> {
  let killed = 0;
  while (!isDone()) {
    const connections = await connectionsTo(database);
    for (const { id } of connections) {
      // It may have gone by itself.
      await runOnMysql(`KILL ${id}`).then(() => killed++, () => {});
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return killed;
}

async function isAsleep(database: string): Promise<boolean> {
  const connections = await connectionsTo(database);
  return connections.some(({ info }) => String(info).includes("SLEEP"));
}

function connectionsTo(database: string) {
  return runOnMysql(
    `SELECT id AS id, info AS info FROM information_schema.processlist WHERE db = '${database}'`,
  );
}
