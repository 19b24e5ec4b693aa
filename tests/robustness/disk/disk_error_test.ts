import assert from "node:assert/strict";
import { failure } from "../../support/failure.ts";
import { DiskError, type Fault, OPEN } from "../../support/faulty_disk.ts";
import { FaultyServer } from "./faulty_server.ts";

const NO_SPACE = {
  code: 8,
  message: "etcdserver: mvcc: database space exceeded",
};
const UNHEALTHY = { code: 14, message: "etcdserver: unhealthy cluster" };
const CORRUPT = { code: 15, message: "etcdserver: corrupt cluster" };

interface Case {
  readonly name: string;
  readonly faults: readonly Fault[];
  /** What a put is told. */
  readonly refusal: { readonly code: number; readonly message: string };
  /** A line of the log that says what happened, and one that says what to do; both may be the same. */
  readonly cause: RegExp;
  readonly cure: RegExp;
}

const COMMIT = "^COMMIT$";
const INSERT = "^\\s*INSERT INTO stele_(kv|batch)";
const BEGIN = "^BEGIN IMMEDIATE$";

const CASES: readonly Case[] = [
  {
    name: "a sync that fails before anything is on the disk",
    faults: [{ statement: COMMIT, error: DiskError.Sync }],
    refusal: UNHEALTHY,
    cause: /disk I\/O error \(SQLite 1034\)/,
    cure: /look for disk errors in the kernel's log/,
  },
  {
    name: "a disk that fails to sync, and then cannot be opened",
    faults: [
      { statement: COMMIT, error: DiskError.Sync },
      { statement: OPEN, error: DiskError.CannotOpen },
    ],
    refusal: UNHEALTHY,
    cause: /SQLite (1034|14)\)/,
    cure: /kernel's log|data directory is there/,
  },
  {
    name: "a write that fails",
    faults: [{ statement: INSERT, error: DiskError.Write }],
    refusal: UNHEALTHY,
    cause: /disk I\/O error \(SQLite 778\)/,
    cure: /look for disk errors in the kernel's log/,
  },
  {
    name: "a commit that cannot be written",
    faults: [{ statement: COMMIT, error: DiskError.Write }],
    refusal: UNHEALTHY,
    cause: /disk I\/O error \(SQLite 778\)/,
    cure: /look for disk errors in the kernel's log/,
  },
  {
    name: "a full disk",
    faults: [{ statement: INSERT, error: DiskError.Full }],
    refusal: NO_SPACE,
    cause: /the disk is full; .*database or disk is full \(SQLite 13\)/,
    cure: /make room on the file system of the data directory/,
  },
  {
    name: "a file system that has become read-only",
    faults: [{ statement: BEGIN, error: DiskError.ReadOnly }],
    refusal: UNHEALTHY,
    cause: /attempt to write a readonly database \(SQLite 8\)/,
    cure: /not mounted read-only/,
  },
  {
    name: "another program that has locked the database",
    faults: [{ statement: BEGIN, error: DiskError.Busy }],
    refusal: UNHEALTHY,
    cause: /the database is locked; .*database is locked \(SQLite 5\)/,
    cure: /end the other program that has the database open/,
  },
];

for (const { name, faults, refusal, cause, cure } of CASES) {
  Deno.test(`${name}: writes are refused and reads served, and it recovers by itself`, async () => {
    await using server = await FaultyServer.start();
    await server.client.put("kept", "before");
    server.inject(...faults);
    assert.deepEqual(await failure(server.client.put("lost", "v")), refusal);
    assert.match(await server.logged(cause), cure);

    const { status, text } = await server.probe("/readyz");
    assert.equal(status, 503);
    assert.match(text, /^\[-\]linearizable_read failed: ./m);
    assert.equal((await server.probe("/livez")).status, 200);
    const { kvs } = await server.client.range("kept");
    assert.equal(String(kvs[0].value), "before");
    assert.equal((await server.client.range("lost")).kvs.length, 0);

    server.heal();
    await server.recovered();
    await server.logged(/the database takes writes again/);
    await server.client.put("kept", "after");
    assert.equal((await server.probe("/health")).status, 200);

    await server.restart();
    assert.equal(
      String((await server.client.range("kept")).kvs[0].value),
      "after",
    );
    assert.equal((await server.client.range("lost")).kvs.length, 0);
  });
}

Deno.test("a sync that fails after the log was written is found out: the write was done, and is answered so", async () => {
  await using server = await FaultyServer.start();
  server.inject({ statement: COMMIT, error: DiskError.Sync, isDone: true });
  const { header } = await server.client.put("k", "v");
  server.heal();
  await server.restart();
  const { kvs } = await server.client.range("k");
  assert.equal(kvs[0].mod_revision, header.revision);
});

Deno.test("deletes and compactions go on while only what takes space is refused", async () => {
  await using server = await FaultyServer.start();
  for (const key of ["a", "b"]) await server.client.put(key, "v");
  server.inject({
    statement: "^\\s*INSERT INTO stele_kv",
    error: DiskError.Full,
  });
  assert.deepEqual(await failure(server.client.put("c", "v")), NO_SPACE);
  await server.logged(/the disk is full/);
  const { header } = await server.client.range("a");
  await server.client.kv.call("Compact", { revision: header.revision });
  assert.deepEqual(await failure(server.client.put("c", "v")), NO_SPACE);
  server.heal();
  await server.recovered();
  assert.equal(Number((await server.client.delete("a")).deleted), 1);
});

Deno.test("a read that the disk fails is refused, logged and not ready; it is tried again until it works", async () => {
  await using server = await FaultyServer.start({ valueCacheBytes: 0 });
  const { client } = server;
  await client.put("k", "first");
  for (let i = 0; i < 40; i++) await client.put("other", "v".repeat(60_000));
  server.inject({ statement: "FROM stele_kv WHERE", error: DiskError.Read });
  assert.deepEqual(await failure(client.range("k")), UNHEALTHY);
  assert.match(
    await server.logged(/disk I\/O error \(SQLite 266\)/),
    /cannot read: .*kernel's log/,
  );
  assert.equal(await server.isReady(), false);
  assert.equal((await server.probe("/livez")).status, 200);
  server.heal();
  await server.recovered();
  assert.equal(String((await client.range("k")).kvs[0].value), "first");
});

Deno.test("damage that a read finds ends all writing, and the log says how to go on", async () => {
  await using server = await FaultyServer.start({ valueCacheBytes: 0 });
  const { client } = server;
  await client.put("k", "first");
  for (let i = 0; i < 40; i++) await client.put("other", "v".repeat(60_000));
  server.inject({ statement: "FROM stele_kv WHERE", error: DiskError.Corrupt });
  assert.deepEqual(await failure(client.range("k")), CORRUPT);
  assert.match(
    await server.logged(/malformed \(SQLite 11\)/),
    /database is damaged.*stele check DIR.*stele snapshot restore/,
  );
  server.heal();
  assert.deepEqual(await failure(client.put("k", "v")), CORRUPT);
  assert.equal(await server.isReady(), false);
  assert.equal((await server.probe("/livez")).status, 200);
});

for (const name of ["stele.db", "stele.db-wal"]) {
  Deno.test(`${name} that is removed while the server runs ends all writing, and reads from memory go on`, async () => {
    await using server = await FaultyServer.start();
    const { client } = server;
    await client.put("k", "v");
    await Deno.rename(`${server.dir}/${name}`, `${server.dir}/elsewhere`);
    await client.put("k", "unlucky");
    assert.match(
      await server.logged(/removed or replaced while they are in use/),
      /nothing is written any more.*put the files back or restore a snapshot/,
    );
    assert.deepEqual(await failure(client.put("k", "w")), CORRUPT);
    assert.equal(await server.isReady(), false);
    const { kvs } = await client.range("k", undefined, { serializable: true });
    assert.equal(String(kvs[0].value), "unlucky");
    await Deno.rename(`${server.dir}/elsewhere`, `${server.dir}/${name}`);
    await server.restart();
    assert.equal(
      String((await server.client.range("k")).kvs[0].value),
      "unlucky",
    );
  });
}

Deno.test("a checkpoint that fails is logged, and loses nothing", async () => {
  await using server = await FaultyServer.start();
  const { client } = server;
  server.inject({
    statement: "wal_checkpoint\\(PASSIVE",
    error: DiskError.Sync,
  });
  // Some 5 MiB: a checkpoint is due after 4.
  for (let i = 0; i < 50; i++) await client.put(`k${i}`, "v".repeat(100_000));
  const line = await server.logged(/checkpoint failed/);
  assert.match(line, /^warn.*SQLite 1034.*look for disk errors/);
  server.heal();
  await client.put("last", "v");
  await server.restart();
  const { count } = await server.client.range("k", "l");
  assert.equal(Number(count), 50);
});

Deno.test("a server whose database worker dies ends, with all that it acknowledged on the disk", async () => {
  await using server = await FaultyServer.start();
  await server.client.put("k", "v");
  server.inject({ statement: COMMIT, error: "mistake" });
  assert.deepEqual(await failure(server.client.put("k", "w")), UNHEALTHY);
  assert.match(
    String(await server.failed),
    /the SQLite worker stopped: .*a mistake of ours/,
  );
  server.heal();
  await server.restart();
  assert.equal(String((await server.client.range("k")).kvs[0].value), "v");
});
