import assert from "node:assert/strict";
import { once } from "node:events";
import type { Message } from "../support/etcd_client.ts";
import { eventually, failure } from "../support/failure.ts";
import { startTestServer } from "../support/server.ts";

Deno.test("LeaseGrant raises short TTLs, takes ids, and refuses what etcd refuses", async () => {
  await using server = await startTestServer();
  const { lease } = server.client;
  const short = await lease.call("LeaseGrant", { TTL: 0 });
  assert.equal(short.TTL, "2");
  assert.ok(BigInt(short.ID) > 0n);
  const negative = await lease.call("LeaseGrant", { TTL: 60, ID: "-5" });
  assert.equal(negative.ID, "-5");
  assert.deepEqual(
    await failure(lease.call("LeaseGrant", { TTL: 60, ID: "-5" })),
    {
      code: 9,
      message: "etcdserver: lease already exists",
    },
  );
  assert.deepEqual(
    await failure(lease.call("LeaseGrant", { TTL: "9000000001" })),
    {
      code: 11,
      message: "etcdserver: too large lease TTL",
    },
  );
  assert.equal(
    (await lease.call("LeaseGrant", { TTL: "9000000000" })).TTL,
    "9000000000",
  );
});

Deno.test("LeaseRevoke deletes the attached keys in one revision", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const { ID } = await client.lease.call("LeaseGrant", { TTL: 60 });
  for (const key of ["c", "a", "b"]) await client.put(key, "", { lease: ID });
  await client.put("c");
  const status = await client.lease.call("LeaseTimeToLive", { ID, keys: true });
  assert.deepEqual(status.keys.map(String), ["a", "b"]);
  const before = await client.revision();
  const watch = client.openWatch();
  await watch.create({ key: Buffer.from("a"), range_end: Buffer.from("z") });
  const revoked = await client.lease.call("LeaseRevoke", { ID });
  assert.equal(Number(revoked.header.revision), before + 1);
  const { events } = await watch.next();
  assert.deepEqual(events.map((e: Message) => `${e.type} ${e.kv.key}`), [
    "DELETE a",
    "DELETE b",
  ]);
  assert.equal((await client.range("c")).count, "1");
  assert.equal((await client.lease.call("LeaseTimeToLive", { ID })).TTL, "-1");
  assert.equal(
    (await failure(client.lease.call("LeaseRevoke", { ID }))).code,
    5,
  );
  await watch.cancel();
});

Deno.test("LeaseKeepAlive renews, and answers TTL 0 for an unknown lease", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const { ID } = await client.lease.call("LeaseGrant", { TTL: 30 });
  const stream = client.lease.stream("LeaseKeepAlive");
  const ask = async (id: string): Promise<Message> => {
    stream.write({ ID: id });
    return (await once(stream, "data"))[0];
  };
  const before = await client.revision();
  assert.deepEqual([
    (await ask(ID)).TTL,
    (await ask("404")).TTL,
    (await ask(ID)).TTL,
  ], [
    "30",
    "0",
    "30",
  ]);
  assert.equal(await client.revision(), before, "a keepalive is not a write");
  stream.end();
  await once(stream, "end").catch(() => {});
});

Deno.test("a lease that nobody renews expires with its keys", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const { ID } = await client.lease.call("LeaseGrant", { TTL: 2 });
  await client.put("k", "", { lease: ID });
  await eventually(
    "the key is gone",
    async () => (await client.range("k")).count === "0",
    6000,
  );
  assert.equal((await client.lease.call("LeaseTimeToLive", { ID })).TTL, "-1");
});

Deno.test("LeaseLeases lists the soonest first", async () => {
  await using server = await startTestServer();
  const { lease } = server.client;
  for (const [ID, TTL] of [[3, 300], [1, 100], [2, 200]]) {
    await lease.call("LeaseGrant", { ID, TTL });
  }
  const { leases } = await lease.call("LeaseLeases");
  assert.deepEqual(leases.map((l: Message) => l.ID), ["1", "2", "3"]);
});
