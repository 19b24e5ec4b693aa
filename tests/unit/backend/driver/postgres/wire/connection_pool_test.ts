import assert from "node:assert/strict";
import { text } from "../../../../../../src/backend/driver/postgres/wire/binary.ts";
import { ConnectionPool } from "../../../../../../src/backend/driver/postgres/wire/connection_pool.ts";
import type { ServerAddress } from "../../../../../../src/backend/driver/remote/protocol.ts";
import { SystemClock } from "../../../../../../src/base/clock.ts";
import {
  type Answer,
  FakePostgres,
} from "../../../../../support/fake_postgres.ts";

const NO = new Uint8Array([0]);
const YES = new Uint8Array([1]);

/** A server that takes writes, or says that it is a standby. */
function member(isPrimary: () => boolean, answer: Answer): Answer {
  return (statement) =>
    statement.includes("pg_is_in_recovery")
      ? [[isPrimary() ? NO : YES, text("off")]]
      : answer(statement);
}

function makePool(
  ports: readonly number[],
  options: { maxConnections?: number; setUp?: string[] } = {},
): ConnectionPool {
  const { maxConnections = 2, setUp = [] } = options;
  const address: ServerAddress = {
    hosts: ports.map((port) => ({ host: "127.0.0.1", port })),
    user: "me",
    database: "db",
    tablePrefix: "stele_",
    prepare: true,
    maxConnections,
    connectTimeoutMs: 10_000,
    statementTimeoutMs: 10_000,
  };
  const credentials = () => Promise.resolve({ password: "", tls: undefined });
  const clock = new SystemClock();
  return new ConnectionPool(address, credentials, clock, {
    maxConnections,
    setUp,
  });
}

Deno.test("ConnectionPool opens no more than it may, and uses them again", async () => {
  await using fake = await FakePostgres.start();
  const pool = makePool([fake.port], { maxConnections: 3 });
  await Promise.all(Array.from({ length: 20 }, () => pool.query("A")));
  assert.equal(fake.statements.length, 20);
  assert.equal(fake.connections, 3);
  pool.close();
});

Deno.test("ConnectionPool serves an urgent statement before others that wait", async () => {
  await using fake = await FakePostgres.start();
  const pool = makePool([fake.port], { maxConnections: 1 });
  await pool.query("first");
  const waiting = ["a", "b", "c"].map((name) => pool.query(name));
  await Promise.all([...waiting, pool.query("append", [], { isUrgent: true })]);
  assert.deepEqual(fake.statements, ["first", "a", "append", "b", "c"]);
  pool.close();
});

Deno.test("ConnectionPool.query() fails with the session it had, and the next has another", async () => {
  await using fake = await FakePostgres.start(() => "hang up");
  const pool = makePool([fake.port]);
  await assert.rejects(pool.query("A"), { code: "08006" });
  fake.answer = () => [];
  assert.deepEqual(await pool.query("A"), []);
  pool.close();
});

Deno.test("ConnectionPool runs its set-up in each session, and bears with what fails", async () => {
  await using fake = await FakePostgres.start((statement) =>
    statement === "SET x" ? { code: "42704", message: "no x" } : []
  );
  const pool = makePool([fake.port], { setUp: ["SET x"] });
  assert.deepEqual(await pool.query("A"), []);
  assert.deepEqual(fake.statements, ["SET x", "A"]);
  pool.close();
});

Deno.test("ConnectionPool gives up prepared statements when a pooler does not keep them", async () => {
  await using fake = await FakePostgres.start(() => ({
    code: "26000",
    message: 'prepared statement "stele_1" does not exist',
  }));
  const pool = makePool([fake.port], { maxConnections: 1 });
  await assert.rejects(pool.query("A"), { code: "26000" });
  fake.answer = () => [];
  const before = fake.parses;
  await pool.query("A");
  await pool.query("A");
  assert.equal(fake.parses, before + 2);
  pool.close();
});

Deno.test("ConnectionPool takes the host that takes writes, and follows it when it moves", async () => {
  let primary = 1;
  const readOnly = { code: "25006", message: "read-only transaction" };
  await using a = await FakePostgres.start(
    member(() => primary === 0, () => primary === 0 ? [] : readOnly),
  );
  await using b = await FakePostgres.start(
    member(() => primary === 1, () => primary === 1 ? [] : readOnly),
  );
  const pool = makePool([a.port, b.port]);
  await pool.query("one");
  assert.ok(b.statements.includes("one"));
  primary = 0;
  // Whoever meets the demoted one is told; the driver tries again.
  await assert.rejects(pool.query("two"), { code: "25006" });
  await pool.query("three");
  assert.ok(a.statements.includes("three"));
  assert.ok(!a.statements.includes("two"));
  pool.close();
});

Deno.test("ConnectionPool passes over hosts that are down", async () => {
  await using down = await FakePostgres.start();
  const port = down.port;
  await down[Symbol.asyncDispose]();
  await using up = await FakePostgres.start(member(() => true, () => []));
  const pool = makePool([port, up.port]);
  assert.deepEqual(await pool.query("A"), []);
  pool.close();
});

Deno.test("ConnectionPool says of hosts that are all unfit why", async () => {
  await using a = await FakePostgres.start(member(() => false, () => []));
  await using b = await FakePostgres.start(member(() => false, () => []));
  const pool = makePool([a.port, b.port]);
  await assert.rejects(pool.query("A"), {
    code: "25006",
    message: "no host takes writes: server takes no writes",
  });
  pool.close();
});

Deno.test("ConnectionPool.close() rejects those that wait", async () => {
  await using fake = await FakePostgres.start();
  const pool = makePool([fake.port], { maxConnections: 1 });
  await pool.query("A");
  fake.answer = () => "hang";
  const stuck = pool.query("B");
  const waiting = pool.query("C");
  while (!fake.statements.includes("B")) {
    await new Promise((resolve) => setTimeout(resolve));
  }
  pool.close();
  await assert.rejects(stuck, { code: "08006" });
  await assert.rejects(waiting, { kind: "closed" });
  await assert.rejects(pool.query("D"), { kind: "closed" });
});
