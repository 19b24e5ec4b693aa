import assert from "node:assert/strict";
import { integer } from "../../../../../../src/backend/driver/postgres/wire/binary.ts";
import {
  Connection,
  type ConnectionListener,
} from "../../../../../../src/backend/driver/postgres/wire/connection.ts";
import { PostgresError } from "../../../../../../src/backend/driver/postgres/wire/postgres_error.ts";
import { SystemClock } from "../../../../../../src/base/clock.ts";
import type { TlsMaterial } from "../../../../../../src/backend/driver/remote/protocol.ts";
import {
  FakePostgres,
  type FakePostgresOptions,
} from "../../../../../support/fake_postgres.ts";

const PREPARE = { prepare: true };
const NOT_PREPARED = { prepare: false };

class Heard implements ConnectionListener {
  readonly payloads: string[] = [];
  readonly isLost = Promise.withResolvers<PostgresError>();

  notified(payload: string): void {
    this.payloads.push(payload);
  }

  lost(error: PostgresError): void {
    this.isLost.resolve(error);
  }
}

function connect(
  fake: FakePostgres,
  given: {
    password?: string;
    tls?: TlsMaterial;
    connectTimeoutMs?: number;
    heard?: Heard;
  } = {},
): Promise<Connection> {
  const { password = "", tls, connectTimeoutMs = 10_000 } = given;
  return Connection.open(
    { host: "127.0.0.1", port: fake.port },
    { password, tls },
    { user: "me", database: "db", connectTimeoutMs },
    new SystemClock(),
    given.heard ?? new Heard(),
  );
}

async function refusal(opening: Promise<Connection>): Promise<PostgresError> {
  try {
    (await opening).destroy();
  } catch (error) {
    assert.ok(error instanceof PostgresError, String(error));
    return error;
  }
  assert.fail("it connected");
}

for (const authentication of ["password", "md5", "scram"] as const) {
  const options: FakePostgresOptions = { authentication, password: "sécret" };

  Deno.test(`Connection.open() gets in with the right password (${authentication})`, async () => {
    await using fake = await FakePostgres.start(() => [], options);
    const connection = await connect(fake, { password: "sécret" });
    assert.deepEqual(await connection.query("SELECT", [], PREPARE), []);
    connection.end();
  });

  Deno.test(`Connection.open() says that the password is wrong, and not which (${authentication})`, async () => {
    await using fake = await FakePostgres.start(() => [], options);
    const error = await refusal(connect(fake, { password: "wrong" }));
    assert.equal(error.code, "28P01");
    assert.doesNotMatch(error.message, /wrong|secret/);
  });
}

Deno.test("Connection.open() does not trust a server that does not know the password", async () => {
  await using fake = await FakePostgres.start(() => [], {
    authentication: "scram",
    password: "p",
    isImpostor: true,
  });
  const error = await refusal(connect(fake, { password: "p" }));
  assert.equal(error.code, "28000");
});

Deno.test("Connection.open() with TLS refuses a server that speaks none", async () => {
  await using fake = await FakePostgres.start();
  const tls: TlsMaterial = {
    verify: "none",
    authorities: undefined,
    certificate: undefined,
    key: undefined,
  };
  const error = await refusal(connect(fake, { tls, password: "p" }));
  assert.match(error.message, /does not speak TLS/);
});

Deno.test("Connection.open() gives up a server that does not answer", async () => {
  using silent = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = silent.addr as Deno.NetAddr;
  const opening = Connection.open(
    { host: "127.0.0.1", port },
    { password: "", tls: undefined },
    { user: "me", database: "db", connectTimeoutMs: 50 },
    new SystemClock(),
    new Heard(),
  );
  const error = await refusal(opening);
  assert.match(error.message, /no connection to 127.0.0.1:\d+ within 50 ms/);
  (await silent.accept()).close();
});

Deno.test("Connection.query() parses a prepared statement once, and others always", async () => {
  await using fake = await FakePostgres.start();
  const connection = await connect(fake);
  for (let i = 0; i < 3; i++) await connection.query("A", [], PREPARE);
  assert.equal(fake.parses, 1);
  for (let i = 0; i < 3; i++) await connection.query("B", [], NOT_PREPARED);
  assert.equal(fake.parses, 4);
  await connection.query("A", [], PREPARE);
  assert.equal(fake.parses, 4);
  connection.end();
});

Deno.test("Connection.query() gives rows as they come, in chunks of any size", async () => {
  const big = new Uint8Array(100_000).fill(7);
  for (const chunkBytes of [1_000_000, 4096, 3]) {
    const rows = [[integer(1), null], [integer(-2), big.subarray(0, 5000)]];
    await using fake = await FakePostgres.start(() => rows, { chunkBytes });
    const connection = await connect(fake);
    assert.deepEqual(await connection.query("A", [big], PREPARE), rows);
    connection.end();
  }
});

Deno.test("Connection.query() rejects with code and message alone, and the session goes on", async () => {
  await using fake = await FakePostgres.start(() => ({
    code: "40001",
    message: "Restart read required",
  }));
  const connection = await connect(fake);
  await assert.rejects(connection.query("A", [], PREPARE), (error) => {
    assert.ok(error instanceof PostgresError);
    assert.equal(error.code, "40001");
    assert.equal(error.message, "Restart read required");
    return true;
  });
  fake.answer = () => [];
  assert.deepEqual(await connection.query("A", [], PREPARE), []);
  connection.end();
});

Deno.test("Connection.query() rejects when the server hangs up, and its owner is told once", async () => {
  await using fake = await FakePostgres.start(() => "hang up");
  const heard = new Heard();
  const connection = await connect(fake, { heard });
  await assert.rejects(connection.query("A", [], PREPARE), { code: "08006" });
  assert.equal((await heard.isLost.promise).code, "08006");
  assert.ok(connection.isClosed);
  await assert.rejects(connection.query("A", [], PREPARE), { code: "08006" });
});

Deno.test("Connection.destroy() rejects what is under way, and asks the server to stop it", async () => {
  await using fake = await FakePostgres.start(() => "hang");
  const connection = await connect(fake);
  const query = connection.query("A", [], PREPARE);
  while (fake.statements.length === 0) await new Promise((r) => setTimeout(r));
  connection.destroy();
  await assert.rejects(query, { code: "08006" });
  while (fake.cancels === 0) await new Promise((r) => setTimeout(r));
});

Deno.test("Connection tells of notifications", async () => {
  await using fake = await FakePostgres.start();
  const heard = new Heard();
  const connection = await connect(fake, { heard });
  fake.notify("17");
  fake.notify("18");
  await connection.query("A", [], PREPARE);
  while (heard.payloads.length < 2) await new Promise((r) => setTimeout(r));
  assert.deepEqual(heard.payloads, ["17", "18"]);
  connection.end();
});
