import assert from "node:assert/strict";
import { defaultConfig, startServer } from "../../mod.ts";
import { Cluster } from "../support/cluster.ts";
import { databaseName } from "../support/database_server.ts";
import { EtcdClient, type Message } from "../support/etcd_client.ts";
import { failure } from "../support/failure.ts";
import { HAS_POSTGRES, POSTGRES_SERVER } from "../support/postgres.ts";

const REPLICAS = 3;

if (!HAS_POSTGRES) {
  console.warn("Replicas of one database are not tested: no PostgreSQL");
}

/** All tests have the same three servers; the last one stops one of them. */
let world: World;
if (HAS_POSTGRES) {
  Deno.test.beforeAll(async () => {
    world = await World.start();
  });
  Deno.test.afterAll(() => world[Symbol.asyncDispose]());
}

function test(name: string, run: (world: World) => Promise<void>): void {
  Deno.test({
    name: `Replicas: ${name}`,
    ignore: !HAS_POSTGRES,
    fn: () => run(world),
  });
}

test("each lists all, and all name the same leader", async ({ clients }) => {
  const lists = await insist(async () => {
    const lists = await Promise.all(
      clients.map((client) => client.cluster.call("MemberList")),
    );
    for (const { members } of lists) assert.equal(members.length, REPLICAS);
    return lists;
  });
  const ids = lists[0]!.members.map(({ ID }: Message) => ID);
  const statuses = await statusesOf(clients);
  for (const [i, { members, header }] of lists.entries()) {
    assert.deepEqual(members.map(({ ID }: Message) => ID), ids);
    assert.equal(members.some((m: Message) => m.isLearner), false);
    assert.ok(ids.includes(header.member_id));
    assert.equal(header.cluster_id, lists[0]!.header.cluster_id);
    assert.equal(statuses[i]!.header.member_id, header.member_id);
    assert.equal(statuses[i]!.leader, statuses[0]!.leader);
  }
  assert.equal(new Set(lists.map((l) => l.header.member_id)).size, REPLICAS);
  assert.ok(ids.includes(statuses[0]!.leader));
});

test("what one has written all others read at once, with their own headers", async ({ clients }) => {
  const statuses = await statusesOf(clients);
  for (let round = 0; round < 30; round++) {
    const writer = round % REPLICAS;
    const put = await clients[writer]!.put("k", `v${round}`);
    assert.equal(put.header.member_id, statuses[writer]!.header.member_id);
    const reads = await Promise.all(clients.map((client) => client.range("k")));
    for (const [i, { kvs, header }] of reads.entries()) {
      assert.equal(String(kvs[0].value), `v${round}`, `replica ${i}`);
      assert.equal(header.revision, put.header.revision);
    }
  }
});

test("transactions of all at once are made one after the other", async ({ clients }) => {
  await clients[0]!.put("n", "0");
  const COUNT = 20;
  await Promise.all(clients.map(async (client) => {
    for (let done = 0; done < COUNT;) {
      const { kvs: [kv] } = await client.range("n");
      const compare = [{
        key: Buffer.from("n"),
        target: "MOD",
        mod_revision: kv.mod_revision,
      }];
      const value = Buffer.from(String(Number(kv.value) + 1));
      const success = [{ request_put: { key: Buffer.from("n"), value } }];
      const { succeeded } = await client.txn({ compare, success });
      if (succeeded) done++;
    }
  }));
  const { kvs: [kv] } = await clients[1]!.range("n");
  assert.equal(Number(kv.value), COUNT * REPLICAS);
  assert.equal(Number(kv.version), COUNT * REPLICAS + 1);
});

test("a watch at one sees what all others write, in order", async ({ clients }) => {
  const watch = clients[2]!.openWatch();
  await watch.create({ key: Buffer.from("w"), range_end: Buffer.from("x") });
  for (let i = 0; i < 30; i++) await clients[i % REPLICAS]!.put(`w${i}`);
  const events = await watch.events(30);
  assert.deepEqual(
    events.map((event: Message) => String(event.kv.key)),
    Array.from({ length: 30 }, (_, i) => `w${i}`),
  );
  await watch.cancel();
});

test("a lease is granted, renewed, asked for and revoked anywhere", async ({ clients }) => {
  const [a, b, c] = clients as [EtcdClient, EtcdClient, EtcdClient];
  for (
    const [grants, attaches, revokes] of [[a, b, c], [b, c, a], [
      c,
      a,
      b,
    ]] as const
  ) {
    const { ID } = await grants.lease.call("LeaseGrant", { TTL: 60 });
    await attaches.put("leased", "", { lease: ID });
    for (const client of clients) {
      assert.equal(await renew(client, ID), 60);
      const ask = { ID, keys: true };
      const left = await client.lease.call("LeaseTimeToLive", ask);
      assert.ok(Number(left.TTL) >= 58, `${left.TTL} s left`);
      assert.deepEqual(left.keys.map(String), ["leased"]);
      const { leases } = await client.lease.call("LeaseLeases");
      assert.deepEqual(leases.map((l: Message) => l.ID), [ID]);
    }
    await revokes.lease.call("LeaseRevoke", { ID });
    assert.equal((await grants.range("leased")).count, "0");
    assert.equal(await renew(attaches, ID), 0);
  }
});

test("errors come as from one server", async ({ clients }) => {
  const errors = await Promise.all(clients.map(async (client) => [
    await failure(client.put("")),
    await failure(client.put("k", "", { lease: "77" })),
    await failure(client.lease.call("LeaseRevoke", { ID: "77" })),
    await failure(client.kv.call("Compact", { revision: 1_000_000 })),
  ]));
  assert.deepEqual(errors[1], errors[0]);
  assert.deepEqual(errors[2], errors[0]);
  assert.equal(errors[0]![1]!.message, "etcdserver: requested lease not found");
});

test("a token of one is valid at all, and ends everywhere with the password", async ({ clients, cluster }) => {
  const { auth } = clients[0]!;
  const root = { name: "root", password: "secret" };
  await auth.call("UserAdd", root);
  await auth.call("UserGrantRole", { user: "root", role: "root" });
  await auth.call("AuthEnable");
  const { token } = await insist(() =>
    clients[1]!.auth.call("Authenticate", root)
  );
  const known = cluster.replicas.map((replica) =>
    EtcdClient.withToken(hostOf(replica.clientUrls), token)
  );
  try {
    for (const [i, client] of known.entries()) {
      await insist(() => client.put(`t${i}`, "v"));
      assert.equal((await client.range(`t${i}`)).count, "1");
    }
    await known[2]!.auth.call("UserChangePassword", {
      name: "root",
      password: "other",
    });
    for (const client of known) {
      await insist(async () =>
        assert.equal((await failure(client.range("t0"))).code, 16)
      );
    }
    const address = hostOf(cluster.replicas[0]!.clientUrls);
    using again = await clients[0]!.login(address, "root", "other");
    await again.auth.call("AuthDisable");
    for (const client of clients) await insist(() => client.range("t0"));
  } finally {
    for (const client of known) client.close();
  }
});

test("another is the leader soon after it stopped, and its leases go on", async ({ clients, cluster }) => {
  const { ID } = await clients[0]!.lease.call("LeaseGrant", { TTL: 60 });
  await clients[1]!.put("leased", "", { lease: ID });
  const statuses = await statusesOf(clients);
  const leader = statuses.findIndex((s) => s.leader === s.header.member_id);
  assert.ok(leader >= 0);
  const others = clients.filter((_, i) => i !== leader);
  // A client that is told that its server goes away may end this whole process: an assertion in nghttp2 fails.
  clients[leader]!.close();
  await using writing = writeUntilStopped(others);
  await cluster.replicas[leader]!.stop();
  const beganMs = performance.now();
  await insist(async () => {
    for (const { leader: now, header } of await statusesOf(others)) {
      assert.notEqual(now, statuses[leader]!.leader);
      assert.notEqual(now, "0");
      assert.ok(header);
    }
  });
  const tookMs = performance.now() - beganMs;
  assert.ok(tookMs < 4000, `taken over after ${Math.round(tookMs)} ms`);
  for (const client of others) assert.equal(await renew(client, ID), 60);
  assert.deepEqual(await writing.stop(), []);
  for (const client of others) {
    assert.equal((await client.range("leased")).count, "1");
    await insist(async () => {
      const { members } = await client.cluster.call("MemberList");
      assert.equal(members.length, REPLICAS - 1);
    });
  }
});

/** Three servers in this process, on one database. */
class World implements AsyncDisposable {
  private constructor(
    readonly cluster: Cluster,
    readonly clients: EtcdClient[],
    readonly database: string,
    readonly dataDir: string,
  ) {}

  static async start(): Promise<World> {
    const database = databaseName();
    const dataDir = await Deno.makeTempDir({ prefix: "stele-test-" });
    const endpoint = `${POSTGRES_SERVER.url}/${database}`;
    const cluster = await Cluster.start(
      REPLICAS,
      { endpoint, dataDir, logLevel: "error" },
      (config) => startServer(defaultConfig(config)),
    );
    const clients = cluster.replicas.map(({ clientUrls }) =>
      new EtcdClient(hostOf(clientUrls))
    );
    return new World(cluster, clients, database, dataDir);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.clients) client.close();
    await this.cluster.stop();
    await POSTGRES_SERVER.drop(this.database);
    await Deno.remove(this.dataDir, { recursive: true });
  }
}

/** Tries until it succeeds, for a while. */
async function insist<T>(attempt: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + 15_000;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

function hostOf([url]: readonly string[]): string {
  return new URL(url!).host;
}

function statusesOf(clients: readonly EtcdClient[]): Promise<Message[]> {
  return Promise.all(clients.map((c) => c.maintenance.call("Status")));
}

/** The TTL that one renewal is answered with. */
async function renew(client: EtcdClient, ID: string): Promise<number> {
  const stream = client.lease.stream("LeaseKeepAlive");
  const answered = new Promise<Message>((resolve, reject) => {
    stream.once("data", resolve);
    stream.once("error", reject);
  });
  stream.write({ ID });
  const { TTL } = await answered;
  stream.end();
  return Number(TTL);
}

/** Writes with all clients until it is stopped, which tells of the writes that failed. */
function writeUntilStopped(clients: readonly EtcdClient[]) {
  const failed: string[] = [];
  let isStopped = false;
  const writing = clients.map(async (client, i) => {
    for (let n = 0; !isStopped; n++) {
      await client.put(`c${i}`, `${n}`).catch((error) =>
        failed.push(String(error))
      );
    }
  });
  const stop = async () => {
    isStopped = true;
    await Promise.all(writing);
    return failed;
  };
  return { stop, [Symbol.asyncDispose]: async () => void await stop() };
}
