import assert from "node:assert/strict";
import { type Backend, BackendError } from "../../src/backend/backend.ts";
import { openBackend } from "../../src/backend/open.ts";
import {
  type DatastoreSettings,
  DEFAULT_DATASTORE_SETTINGS,
} from "../../src/backend/driver/remote/datastore_settings.ts";
import { RemoteBackend } from "../../src/backend/driver/remote/remote_backend.ts";
import { SystemClock } from "../../src/base/clock.ts";
import { makeBatch } from "../support/batches.ts";
import { Authority } from "../support/certificates.ts";
import { CapturingLogger } from "../support/log.ts";
import { runOnDatabase } from "../support/postgres.ts";
import {
  CLUSTER_OBSTACLE,
  PostgresCluster,
} from "../support/postgres_cluster.ts";

if (CLUSTER_OBSTACLE !== undefined) {
  console.warn(`Failovers of PostgreSQL are not tested: ${CLUSTER_OBSTACLE}`);
}

function test(name: string, fn: () => Promise<void>): void {
  const ignore = CLUSTER_OBSTACLE !== undefined;
  Deno.test({ name: `PostgreSQL of its own: ${name}`, ignore, fn });
}

function make(url: string, given: {
  datastore?: Partial<DatastoreSettings>;
  log?: CapturingLogger;
} = {}): Backend {
  return openBackend(url, {
    clock: new SystemClock(),
    log: given.log ?? new CapturingLogger(),
    datastore: { ...DEFAULT_DATASTORE_SETTINGS, ...given.datastore },
  });
}

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

/** Calls until it succeeds: what a server does whose writes fail. */
async function insist<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

test("a writer goes over to the standby that was promoted, without a restart", async () => {
  await using primary = await PostgresCluster.start();
  const hosts = (...clusters: PostgresCluster[]) =>
    clusters.map(({ port }) => `127.0.0.1:${port}`).join(",");
  await using standby = await primary.standby();

  const alone = await refusal(
    make(`postgres://postgres@${hosts(standby)}/stele`),
  );
  assert.match(alone.message, /the server is a standby/);
  assert.match(alone.cure, /HOST:PORT,HOST:PORT/);

  const backend = make(`postgres://postgres@${hosts(standby, primary)}/stele`);
  await backend.open();
  for (let seq = 1; seq <= 5; seq++) await backend.append(makeBatch(seq, seq));
  const going = (async () => {
    for (let seq = 6; seq <= 15; seq++) {
      const outcome = await insist(() => backend.append(makeBatch(seq, seq)));
      assert.equal(outcome, "committed");
    }
  })();
  // An orderly end passes everything on first.
  await primary.down("fast");
  await standby.promote();
  await going;
  assert.equal((await backend.head()).seq, 15);
  await backend.close();
});

test("a power cut loses and doubles nothing", async () => {
  await using cluster = await PostgresCluster.start();
  const backend = make(`postgres://postgres@127.0.0.1:${cluster.port}/stele`);
  await backend.open();
  let isOver = false;
  const going = (async () => {
    let seq = 0;
    while (!isOver) {
      seq++;
      const batch = () => makeBatch(seq, seq);
      assert.equal(await insist(() => backend.append(batch())), "committed");
    }
    return seq;
  })();
  for (let i = 0; i < 2; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    await cluster.down("immediate");
    await cluster.up();
  }
  isOver = true;
  const last = await going;
  assert.equal((await backend.head()).seq, last);
  const batches = await backend.batchesAfter(0, last + 1);
  assert.deepEqual(
    batches.map(({ seq }) => seq),
    [
      ...Array(last).keys(),
    ].map((i) => i + 1),
  );
  await backend.close();
});

test("a database that is away fails calls at once, and is found when it is back", async () => {
  await using cluster = await PostgresCluster.start();
  const log = new CapturingLogger();
  const url = `postgres://postgres@127.0.0.1:${cluster.port}/stele`;
  const backend = make(url, { log });
  assert.ok(backend instanceof RemoteBackend);
  await backend.open();
  await cluster.down();
  await assert.rejects(backend.head(), BackendError);
  while (backend.link.isUp) await assert.rejects(backend.head(), BackendError);
  await assert.rejects(backend.append(makeBatch(1, 1)), {
    message: /^Cannot append: Cannot reach the database: no connection to/,
    cure: /once a second/,
  });
  await cluster.up();
  // Nobody asks but the probe.
  while (!backend.link.isUp) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal(await backend.append(makeBatch(1, 1)), "committed");
  assert.equal(backend.link.outages, 1);
  assert.ok(backend.link.awayMs > 0);
  assert.match(log.messages("warn").join(), /is away.*is back/);
  await backend.close();
});

test("TLS, a password in a file, and both renewed while it runs", async () => {
  const authority = Authority.create("databases");
  const stranger = Authority.create("somebody else");
  await using cluster = await PostgresCluster.start({
    tls: authority.issue("db", { hosts: ["localhost", "127.0.0.1"] }),
    password: "first-secret",
  });
  const dir = await Deno.makeTempDir();
  const file = async (name: string, text: string) => {
    await Deno.writeTextFile(`${dir}/${name}`, text);
    return `${dir}/${name}`;
  };
  const caFile = await file("ca.pem", authority.cert);
  const passwordFile = await file("password", "first-secret\n");
  const url = `postgres://postgres@127.0.0.1:${cluster.port}/stele`;
  const log = new CapturingLogger();

  const plain = await refusal(make(url, { datastore: { passwordFile }, log }));
  assert.match(plain.message, /no pg_hba.conf entry|no encryption/);
  const otherCa = await file("other.pem", stranger.cert);
  const other = await refusal(
    make(url, { datastore: { passwordFile, caFile: otherCa }, log }),
  );
  assert.match(other.message, /no TLS connection to .*(certificate|Issuer)/i);
  const wrong = await refusal(
    make(url, { datastore: { caFile, password: "wrong-secret" }, log }),
  );
  assert.match(wrong.message, /password authentication failed/);

  const backend = make(url, { datastore: { caFile, passwordFile }, log });
  await backend.open();
  assert.equal(await backend.append(makeBatch(1, 1)), "committed");
  const admin =
    `postgres://postgres:first-secret@127.0.0.1:${cluster.port}/stele?sslmode=require`;
  await file("password", "second-secret\n");
  await runOnDatabase(
    admin,
    "ALTER ROLE postgres PASSWORD 'second-secret'",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'stele'",
  );
  assert.equal(await backend.append(makeBatch(2, 2)), "committed");
  await backend.close();
  await Deno.remove(dir, { recursive: true });

  const said = JSON.stringify(
    [log.entries, ...[plain, other, wrong].map(textOf)],
    (_, value) => value instanceof Error ? textOf(value) : value,
  );
  assert.doesNotMatch(said, /(first|second|wrong)-secret/);
});

/** All that anybody could print of an error. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return `${error.stack} ${JSON.stringify(error)} ${textOf(error.cause)}`;
}
