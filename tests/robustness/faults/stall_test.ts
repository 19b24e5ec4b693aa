import assert from "node:assert/strict";
import { EtcdClient, type WatchClient } from "../../support/etcd_client.ts";
import { ServerProcess } from "../crash/server_process.ts";

/** The shortest lease there is. */
const TTL_SECONDS = 2;

interface Fixture {
  readonly server: ServerProcess;
  readonly client: EtcdClient;
  readonly watch: WatchClient;
}

/** A server with a lease 7 that holds `leased`, and a watcher of everything that comes after. */
async function withServer(
  work: (fixture: Fixture) => Promise<void>,
): Promise<void> {
  const dataDir = await Deno.makeTempDir({ prefix: "stele-stall-" });
  const server = ServerProcess.spawn(dataDir);
  try {
    const address = await server.ready;
    assert.ok(address !== undefined, server.log);
    const client = new EtcdClient(address);
    await client.lease.call("LeaseGrant", { ID: 7, TTL: TTL_SECONDS });
    await client.put("leased", "", { lease: 7 });
    const watch = client.openWatch();
    await watch.create({
      key: Buffer.from("\0"),
      range_end: Buffer.from("\0"),
      progress_notify: true,
    });
    try {
      await work({ server, client, watch });
    } finally {
      await watch.cancel();
      client.close();
    }
  } finally {
    await server.kill();
    await Deno.remove(dataDir, { recursive: true });
  }
}

/** The whole process stands still, as when its machine is paused or its event loop is stuck. */
async function stall(server: ServerProcess, ms: number): Promise<void> {
  server.pause();
  await new Promise((resolve) => setTimeout(resolve, ms));
  server.resume();
}

Deno.test("a stall shorter than a lease's TTL costs no lease, no write and no event", async () => {
  await withServer(async ({ server, client, watch }) => {
    const stalled = stall(server, TTL_SECONDS * 1000 / 2);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => client.put(`k${i}`)),
    );
    await stalled;
    const renewal = client.lease.stream("LeaseKeepAlive");
    renewal.write({ ID: 7 });
    const [answer] = await new Promise<{ TTL: string }[]>((resolve) =>
      renewal.once("data", (message: { TTL: string }) => resolve([message]))
    );
    renewal.end();
    assert.equal(answer!.TTL, `${TTL_SECONDS}`);
    assert.equal((await client.range("leased")).kvs.length, 1);
    const revisions = answers.map(({ header }) => Number(header.revision));
    const events = await watch.events(20);
    assert.deepEqual(
      events.map(({ kv }) => Number(kv.mod_revision)),
      revisions.toSorted((a, b) => a - b),
    );
  });
});

Deno.test("a stall longer than a lease's TTL ends it once, with its key, and nothing else", async () => {
  await withServer(async ({ server, client, watch }) => {
    const stalled = stall(server, TTL_SECONDS * 1000 + 500);
    const put = client.put("k"); // waits for the stall to be over
    await stalled;
    const events = await watch.events(2);
    const { header } = await put;
    const put2 = await client.put("k");
    assert.deepEqual(
      events.map(({ type, kv }) => `${type} ${kv.key}`).sort(),
      ["DELETE leased", "PUT k"],
    );
    assert.deepEqual(
      events.map(({ kv }) => Number(kv.mod_revision)),
      [3, 4],
    );
    assert.ok(Number(header.revision) <= 4);
    assert.equal(Number(put2.header.revision), 5, "nothing else happened");
    assert.deepEqual((await client.lease.call("LeaseLeases")).leases, []);
  });
});

Deno.test("a call that ran into its deadline during a stall is done whole or not at all", async () => {
  await withServer(async ({ server, client }) => {
    const stalled = stall(server, 400);
    const calls = Array.from({ length: 10 }, (_, i) =>
      client.kv.call(
        "Txn",
        {
          success: ["a", "b"].map((part) => ({
            request_put: { key: Buffer.from(`t${i}${part}`) },
          })),
        },
        { deadline: Date.now() + 50 },
      ).then(() => "done", (error) => error.code));
    const outcomes = await Promise.all(calls);
    assert.ok(outcomes.every((code) => code === 4), `${outcomes}`);
    await stalled;
    await client.put("after");
    const { kvs } = await client.range("t", "u");
    const keys = kvs.map((kv: { key: Buffer }) => kv.key.toString());
    for (let i = 0; i < 10; i++) {
      const parts = ["a", "b"].filter((part) => keys.includes(`t${i}${part}`));
      assert.notEqual(parts.length, 1, `t${i} is torn`);
    }
  });
});
