import { Etcd3, EtcdLockFailedError, isRecoverableError } from "etcd3";
import assert from "node:assert/strict";
import { once } from "node:events";
import { startTestServer } from "../support/server.ts";
import { skip } from "./tool.ts";

/** A client with keys of its own, closed when the test ends. */
interface TestClient extends AsyncDisposable {
  readonly etcd: Etcd3;
  /** The client, within a prefix that nobody else uses. */
  readonly own: ReturnType<Etcd3["namespace"]>;
  readonly address: string;
}

async function connect(): Promise<TestClient> {
  const server = await startTestServer();
  const etcd = new Etcd3({ hosts: `http://${server.address}` });
  return {
    etcd,
    own: etcd.namespace(`/${crypto.randomUUID()}/`),
    address: server.address,
    async [Symbol.asyncDispose]() {
      etcd.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** The package's channels end their timers a little after close(). */
function clientTest(name: string, test: (client: TestClient) => Promise<void>) {
  Deno.test({
    name: `etcd3: ${name}`,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => {
      await using client = await connect();
      await test(client);
    },
  });
}

clientTest("puts, gets and deletes", async ({ own }) => {
  await own.put("a").value("1");
  await own.put("b").value("2");
  assert.equal(await own.get("a").string(), "1");
  assert.equal(await own.get("a").number(), 1);
  assert.equal(await own.get("none").string(), null);
  assert.equal(await own.get("a").exists(), true);
  assert.deepEqual(await own.getAll().strings(), { a: "1", b: "2" });
  assert.deepEqual(await own.getAll().sort("Key", "Descend").keys(), [
    "b",
    "a",
  ]);
  assert.deepEqual(await own.getAll().prefix("a").numbers(), { a: 1 });
  assert.equal(await own.getAll().count(), 2);
  const previous = await own.put("a").value("3").getPrevious();
  assert.equal(String(previous?.value), "1");
  await own.put("a").touch();
  const { deleted } = await own.delete().key("a");
  assert.equal(deleted, "1");
  const gone = await own.delete().prefix("").getPrevious();
  assert.deepEqual(gone.map((kv) => String(kv.value)), ["2"]);
});

clientTest("transactions", async ({ own }) => {
  await own.put("a").value("1");
  const taken = await own
    .if("a", "Value", "==", "1")
    .and("b", "Version", "==", 0)
    .then(own.put("b").value("2"), own.get("a"))
    .else(own.get("b"))
    .commit();
  assert.equal(taken.succeeded, true);
  const refused = await own
    .if("b", "Create", "==", 0)
    .then(own.put("b").value("3"))
    .else(own.get("b"))
    .commit();
  assert.equal(refused.succeeded, false);
  assert.equal(
    String(refused.responses[0]?.response_range?.kvs[0]?.value),
    "2",
  );
});

clientTest(
  "software transactional memory under contention",
  async ({ own }) => {
    await own.put("sum").value("0");
    const add = async () => {
      for (let i = 0; i < 5; i++) {
        await own.stm({ retries: 100 }).transact(async (tx) => {
          const sum = await tx.get("sum").number();
          await tx.put("sum").value(sum! + 1);
        });
      }
    };
    await Promise.all([add(), add(), add()]);
    assert.equal(await own.get("sum").number(), 15);
  },
);

clientTest("watches", async ({ own }) => {
  const watcher = await own.watch().prefix("w").create();
  const put = once(watcher, "put");
  await own.put("w1").value("v");
  const [kv] = await put;
  assert.equal(`${kv.key}=${kv.value}`, "w1=v");
  const deleted = once(watcher, "delete");
  await own.delete().key("w1");
  const [gone, before] = await deleted;
  assert.equal(`${gone.key}, ${before?.value}`, "w1, undefined");
  await watcher.cancel();
  const past = await own.watch().key("w1").startRevision(kv.mod_revision)
    .withPreviousKV().create();
  const [again] = await once(past, "data");
  assert.deepEqual(again.events.map((e: { type: string }) => e.type), [
    "Put",
    "Delete",
  ]);
  await past.cancel();
});

clientTest("leases", async ({ own }) => {
  const lease = own.lease(30);
  await lease.put("leased").value("v");
  const renewed = await lease.keepaliveOnce();
  assert.equal(renewed.TTL, "30");
  assert.equal(await own.get("leased").string(), "v");
  await lease.revoke();
  assert.equal(await own.get("leased").string(), null);
});

clientTest("locks", async ({ own }) => {
  const lock = own.lock("lock").ttl(30);
  await lock.acquire();
  await assert.rejects(own.lock("lock").acquire(), EtcdLockFailedError);
  await lock.release();
  assert.equal(await own.lock("lock").do(() => "done"), "done");
});

clientTest("elections", async ({ own }) => {
  const election = own.election("e", 30);
  const observer = await election.observe();
  const first = election.campaign("one");
  await once(first, "elected");
  if (observer.leader() !== "one") await once(observer, "change");
  assert.equal(observer.leader(), "one");
  const second = own.election("e", 30).campaign("two");
  const won = once(second, "elected");
  await first.resign();
  await won;
  assert.equal(await election.leader(), "two");
  await second.resign();
  await observer.cancel();
});

clientTest("cluster, maintenance and errors", async ({ etcd, own }) => {
  const { members } = await etcd.cluster.memberList({});
  assert.equal(members.length, 1);
  const status = await etcd.maintenance.status();
  assert.match(status.version, /^3\.\d+\.\d+$/);
  assert.deepEqual(
    (await etcd.maintenance.alarm({ action: "Get" })).alarms,
    [],
  );
  const failure = await own.put("a").value("v").lease(12345).exec()
    .then(() => undefined, (error) => error);
  assert.match(failure.message, /requested lease not found/);
  assert.equal(isRecoverableError(failure), false);
});

clientTest("authentication", async ({ etcd, address }) => {
  const missing = await etcd.auth.authDisable()
    .then(() => undefined, (error) => error);
  if (/UNIMPLEMENTED|unknown/i.test(missing?.message ?? "")) {
    return skip("the server has no authentication yet");
  }
  const prefix = `/${crypto.randomUUID()}/`;
  const rootRole = await etcd.role("root").create();
  const root = await etcd.user("root").create("secret");
  await root.addRole(rootRole);
  const role = await etcd.role("staff").create();
  const user = await etcd.user("alice").create("hers");
  await user.addRole(role);
  await role.grant({
    permission: "Readwrite",
    range: etcd.range({ prefix: `${prefix}alice/` }),
  });
  assert.equal((await role.permissions()).length, 1);
  await etcd.auth.authEnable();
  const hosts = `http://${address}`;
  const admin = new Etcd3({
    hosts,
    auth: { username: "root", password: "secret" },
  });
  const alice = new Etcd3({
    hosts,
    auth: { username: "alice", password: "hers" },
  });
  try {
    await alice.put(`${prefix}alice/k`).value("v");
    assert.equal(await alice.get(`${prefix}alice/k`).string(), "v");
    await assert.rejects(
      alice.put(`${prefix}k`).value("v").exec(),
      /permission denied/,
    );
    await assert.rejects(etcd.get(prefix).exec(), /user name is empty/);
    const names = (await admin.getUsers()).map((each) => each.name).sort();
    assert.deepEqual(names, ["alice", "root"]);
  } finally {
    await admin.auth.authDisable();
    alice.close();
    admin.close();
    for (const name of ["alice", "root"]) await etcd.user(name).delete();
    for (const name of ["staff", "root"]) await etcd.role(name).delete();
  }
});
