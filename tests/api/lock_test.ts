import assert from "node:assert/strict";
import type { EtcdClient } from "../support/etcd_client.ts";
import { eventually, failure } from "../support/failure.ts";
import { startTestServer } from "../support/server.ts";

const bytes = (text: string) => Buffer.from(text);

/** A name that only one test uses. */
const newName = () => `lock-${crypto.randomUUID()}`;

async function grant(client: EtcdClient, TTL = 60): Promise<string> {
  return (await client.lease.call("LeaseGrant", { TTL })).ID;
}

const lock = (client: EtcdClient, name: string, lease: string, options = {}) =>
  client.lock.call("Lock", { name: bytes(name), lease }, options);

const unlock = (client: EtcdClient, key: Buffer) =>
  client.lock.call("Unlock", { key });

/** Waits until `count` are in the queue, the holder included. */
const queued = (client: EtcdClient, name: string, count: number) =>
  eventually(`${count} in the queue`, async () => {
    const range = await client.range(`${name}/`, `${name}0`);
    return Number(range.count) === count;
  });

Deno.test("Lock names its key after the lease, and a lease that has it already gets the same one", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const name = newName();
  const lease = await grant(client);
  const before = await client.revision();
  const first = await lock(client, name, lease);
  assert.equal(first.key.toString(), `${name}/${BigInt(lease).toString(16)}`);
  assert.equal(Number(first.header.revision), before + 1);
  const [kv] = (await client.range(first.key.toString())).kvs;
  assert.deepEqual([kv.value.length, kv.lease], [0, lease]);
  const again = await lock(client, name, lease);
  assert.equal(again.key.toString(), first.key.toString());
  assert.equal(Number(again.header.revision), before + 1, "nothing is written");
  const other = await lock(client, newName(), lease);
  assert.notEqual(other.key.toString(), first.key.toString());
});

Deno.test("Lock writes a negative lease with its sign", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const name = newName();
  const { ID } = await client.lease.call("LeaseGrant", { TTL: 60, ID: -3054 });
  const { key } = await lock(client, name, ID);
  assert.equal(key.toString(), `${name}/-bee`);
  await client.lease.call("LeaseRevoke", { ID });
});

Deno.test("Lock without a lease gets one of 60 seconds", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const name = newName();
  const { key } = await lock(client, name, "0");
  const hex = key.toString().slice(name.length + 1);
  const ID = BigInt(`0x${hex}`).toString();
  const ttl = await client.lease.call("LeaseTimeToLive", { ID, keys: true });
  assert.equal(ttl.grantedTTL, "60");
  assert.deepEqual(ttl.keys.map(String), [key.toString()]);
});

Deno.test("Lock goes to those who wait in the order in which they came", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const name = newName();
  const order: number[] = [];
  const keys: Buffer[] = [];
  const waiting: Promise<void>[] = [];
  for (let i = 0; i < 5; i++) {
    const lease = await grant(client);
    waiting.push(
      lock(client, name, lease).then(({ key }) => {
        order.push(i);
        keys.push(key);
      }),
    );
    await queued(client, name, i + 1);
  }
  for (let i = 0; i < 5; i++) {
    await waiting[i];
    assert.deepEqual(order, Array.from({ length: i + 1 }, (_, k) => k));
    await unlock(client, keys[i]!);
  }
  await queued(client, name, 0);
});

Deno.test("Lock answers a waiter with a header that is not older than the unlocking", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const name = newName();
  const held = await lock(client, name, await grant(client));
  const next = lock(client, name, await grant(client));
  await queued(client, name, 2);
  const { header } = await unlock(client, held.key);
  assert.ok(Number((await next).header.revision) >= Number(header.revision));
});

Deno.test("Lock that is given up leaves no key, and those behind it go on waiting for the holder", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const name = newName();
  const holder = await lock(client, name, await grant(client));
  const impatient = failure(
    lock(client, name, await grant(client), { deadline: Date.now() + 500 }),
  );
  await queued(client, name, 2);
  let entered = false;
  const last = lock(client, name, await grant(client));
  void last.then(() => entered = true);
  await queued(client, name, 3);
  assert.equal((await impatient).code, 4);
  await queued(client, name, 2);
  assert.equal(entered, false);
  await unlock(client, holder.key);
  assert.ok((await last).key.length > 0);
});

Deno.test("Lock passes on when the holder's lease ends, and fails when the waiter's own does", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const name = newName();
  const [one, two, three] = [
    await grant(client),
    await grant(client),
    await grant(client),
  ];
  await lock(client, name, one);
  const second = failure(lock(client, name, two));
  await queued(client, name, 2);
  const third = lock(client, name, three);
  await queued(client, name, 3);
  await client.lease.call("LeaseRevoke", { ID: two });
  await client.lease.call("LeaseRevoke", { ID: one });
  assert.deepEqual(await second, {
    code: 2,
    message: "mutex: session is expired",
  });
  assert.ok((await third).key.length > 0);
});

Deno.test("Lock refuses what the transaction behind it refuses", async () => {
  await using server = await startTestServer();
  const { client } = server;
  assert.deepEqual(await failure(lock(client, newName(), "12345")), {
    code: 2,
    message: "etcdserver: requested lease not found",
  });
  // The name is in the request several times, and together that is too much.
  const long = "x".repeat(400 << 10);
  assert.deepEqual(await failure(lock(client, long, await grant(client))), {
    code: 2,
    message: "etcdserver: request is too large",
  });
  assert.deepEqual(await failure(client.lock.call("Unlock", {})), {
    code: 2,
    message: "etcdserver: key is not provided",
  });
});

Deno.test("Unlock of a key that is not there is no error", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const before = await client.revision();
  const { header } = await unlock(client, bytes(newName()));
  assert.equal(Number(header.revision), before);
});

Deno.test("Lock has one holder at a time among three hundred", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const name = newName();
  let holders = 0;
  let most = 0;
  let total = 0;
  await Promise.all(Array.from({ length: 300 }, async () => {
    const { key } = await lock(client, name, await grant(client));
    most = Math.max(most, ++holders);
    total++;
    await client.range("anything");
    holders--;
    await unlock(client, key);
  }));
  assert.deepEqual([most, total], [1, 300]);
  await queued(client, name, 0);
});

Deno.test({
  name: "Lock and Election are no way around permissions",
  // It would lock the other server.
  ignore: Deno.env.has("STELE_TEST_ENDPOINT"),
  async fn() {
    await using server = await startTestServer({ bcryptCost: 4 });
    const { auth } = server.client;
    await auth.call("UserAdd", { name: "root", password: "r" });
    await auth.call("UserGrantRole", { user: "root", role: "root" });
    await auth.call("UserAdd", { name: "alice", password: "a" });
    await auth.call("RoleAdd", { name: "alice" });
    await auth.call("RoleGrantPermission", {
      name: "alice",
      perm: {
        permType: "READWRITE",
        key: bytes("mine/"),
        range_end: bytes("mine0"),
      },
    });
    await auth.call("UserGrantRole", { user: "alice", role: "alice" });
    await auth.call("AuthEnable");
    using alice = await server.client.login(server.address, "alice", "a");
    const lease = await grant(alice);
    const { key } = await lock(alice, "mine", lease);
    const name = bytes("yours");
    const leader = { name, key: bytes("yours/1"), rev: 0, lease };
    const observe = alice.election.stream("Observe", { name });
    const observed: unknown[] = [];
    observe.on("data", (leader: unknown) => observed.push(leader));
    const observedAll = new Promise((resolve, reject) =>
      observe.on("end", resolve).on("error", reject)
    );
    const denied = { code: 2, message: "etcdserver: permission denied" };
    for (
      const refused of [
        lock(alice, "yours", lease),
        unlock(alice, bytes("yours/1")),
        alice.election.call("Campaign", { name, lease }),
        alice.election.call("Proclaim", { leader }),
        alice.election.call("Leader", { name }),
        alice.election.call("Resign", { leader }),
      ].map(failure)
    ) assert.deepEqual(await refused, denied);
    // As on etcd, it ends as if there were nothing.
    await observedAll;
    assert.deepEqual(observed, []);
    assert.deepEqual(await failure(lock(server.client, "mine", lease)), {
      code: 2,
      message: "etcdserver: user name is empty",
    });
    await unlock(alice, key);
  },
});
