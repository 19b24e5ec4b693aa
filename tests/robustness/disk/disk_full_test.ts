import assert from "node:assert/strict";
import { EtcdClient } from "../../support/etcd_client.ts";
import { eventually, failure } from "../../support/failure.ts";
import { ServerProcess } from "../crash/server_process.ts";
import { SmallDisk } from "./small_disk.ts";

/** etcd's answer when there is no space. */
const NO_SPACE = {
  code: 8,
  message: "etcdserver: mvcc: database space exceeded",
};
const VALUE = "v".repeat(100_000);
/** A loaded machine may take so long for what takes a second. */
const PATIENCE_MS = 30_000;
const KEYS_BEFORE = 20;

async function statusOf(address: string, path: string): Promise<number> {
  const response = await fetch(`http://${address}${path}`);
  await response.body?.cancel();
  return response.status;
}

/** Puts until one is refused; returns how many were acknowledged, and the refusal. */
async function putUntilRefused(client: EtcdClient) {
  for (let puts = 0;; puts++) {
    assert.ok(puts < 1000, "the disk is never full");
    try {
      await client.put(`late${puts}`, VALUE);
    } catch (error) {
      return { puts, refusal: await failure(Promise.reject(error)) };
    }
  }
}

const CAN_MOUNT = await SmallDisk.isPossible();

Deno.test(
  "a full disk refuses writes and loses none; reads and deletes go on, and so do writes once there is room",
  { ignore: !CAN_MOUNT },
  async () => {
    await using disk = await SmallDisk.mount(40);
    const dataDir = `${disk.path}/data`;
    let server = ServerProcess.spawn(dataDir);
    try {
      let address = (await server.ready)!;
      assert.ok(address !== undefined, server.log);
      let acknowledged: number;
      {
        using client = new EtcdClient(address);
        for (let i = 0; i < KEYS_BEFORE; i++) {
          await client.put(`early${i}`, "v");
        }
        await disk.fill();
        const { puts, refusal } = await putUntilRefused(client);
        acknowledged = puts;
        assert.deepEqual(refusal, NO_SPACE);

        await eventually("the alarm", async () => {
          const { alarms } = await client.maintenance.call("Alarm");
          return alarms.length === 1 && alarms[0].alarm === "NOSPACE";
        });
        assert.deepEqual(await failure(client.put("more", VALUE)), NO_SPACE);
        assert.equal((await client.range("early3")).kvs.length, 1);
        for (let i = 0; i < 10; i++) {
          assert.equal(Number((await client.delete(`early${i}`)).deleted), 1);
        }
        const { header } = await client.range("early10");
        await client.kv.call("Compact", { revision: header.revision });
        assert.equal(await statusOf(address, "/livez"), 200);
        assert.equal(await statusOf(address, "/readyz"), 503);
        assert.equal(await statusOf(address, "/health"), 503);
        assert.match(server.log, /cannot write: the disk is full/);
        assert.match(server.log, /make room on the file system/);
        assert.doesNotMatch(server.log, /takes writes again/);

        await disk.makeRoom();
        await eventually("ready again", async () => {
          return await statusOf(address, "/readyz") === 200 &&
            await statusOf(address, "/health") === 200;
        }, PATIENCE_MS);
        assert.match(server.log, /the database takes writes again/);
        const { alarms } = await client.maintenance.call("Alarm");
        assert.deepEqual(alarms, []);
        await client.put("more", VALUE);
      }
      await server.kill();
      server = ServerProcess.spawn(dataDir);
      address = (await server.ready)!;
      assert.ok(address !== undefined, server.log);
      using client = new EtcdClient(address);
      for (let i = 0; i < KEYS_BEFORE; i++) {
        const { kvs } = await client.range(`early${i}`);
        assert.equal(kvs.length, i < 10 ? 0 : 1, `early${i}`);
      }
      for (let i = 0; i < acknowledged; i++) {
        assert.equal(
          (await client.range(`late${i}`)).kvs.length,
          1,
          `late${i}`,
        );
      }
      assert.equal((await client.range("more")).kvs.length, 1);
    } finally {
      await server.kill();
    }
  },
);

Deno.test(
  "a disk that the database itself has filled is usable again after deletes, a compaction and defragmenting",
  { ignore: !CAN_MOUNT },
  async () => {
    await using disk = await SmallDisk.mount(32);
    const server = ServerProcess.spawn(`${disk.path}/data`);
    try {
      const address = (await server.ready)!;
      assert.ok(address !== undefined, server.log);
      using client = new EtcdClient(address);
      const { puts, refusal } = await putUntilRefused(client);
      assert.deepEqual(refusal, NO_SPACE);
      assert.ok(puts > 50);
      for (let i = 0; i < puts - 10; i++) await client.delete(`late${i}`);
      const { header } = await client.range("late0");
      await client.kv.call("Compact", {
        revision: header.revision,
        physical: true,
      });
      await client.maintenance.call("Defragment");
      await eventually("ready again", async () => {
        return await statusOf(address, "/readyz") === 200 &&
          await statusOf(address, "/health") === 200;
      }, PATIENCE_MS);
      await client.put("more", VALUE);
      for (let i = puts - 10; i < puts; i++) {
        assert.equal((await client.range(`late${i}`)).kvs.length, 1);
      }
    } finally {
      await server.kill();
    }
  },
);

Deno.test(
  "a server does not start where it cannot write, and says what to do",
  { ignore: !CAN_MOUNT },
  async () => {
    await using disk = await SmallDisk.mount(32);
    const dataDir = `${disk.path}/data`;
    const first = ServerProcess.spawn(dataDir);
    assert.ok(await first.ready !== undefined, first.log);
    await first.stop();
    await disk.makeReadOnly();
    const second = ServerProcess.spawn(dataDir);
    assert.equal((await second.ended).code, 1);
    assert.match(
      second.log,
      /^stele: Cannot open ".*\/data": Read-only file system.*; let the server's user write in the data directory.*read-only$/m,
    );
  },
);
