import assert from "node:assert/strict";
import { defaultConfig, startServer } from "../../mod.ts";
import { main } from "../../src/cli/main.ts";
import { Cluster } from "../support/cluster.ts";
import { databaseName } from "../support/database_server.ts";
import { EtcdClient } from "../support/etcd_client.ts";
import { FakeProcess } from "../support/fake_process.ts";
import {
  HAS_POSTGRES,
  POSTGRES_SERVER,
  runOnPostgres,
} from "../support/postgres.ts";

if (!HAS_POSTGRES) {
  console.warn("The check of a shared database is not tested: no PostgreSQL");
}

async function check(...args: string[]) {
  const process = new FakeProcess();
  const status = await main(["check", ...args, "-w", "json"], process, () => {
    throw new Error("no server was to be started");
  });
  const json = status === 2 ? undefined : process.json()[0];
  return { status, err: process.err, json };
}

Deno.test({
  name:
    "stele check reads a shared database while servers use it, and finds what differs",
  ignore: !HAS_POSTGRES,
  fn: async () => {
    const database = databaseName();
    const endpoint = `${POSTGRES_SERVER.url}/${database}`;
    const dataDir = await Deno.makeTempDir({ prefix: "stele-test-" });
    const cluster = await Cluster.start(
      2,
      { endpoint, dataDir, logLevel: "error" },
      (config) => startServer(defaultConfig(config)),
    );
    try {
      const endpoints = cluster.replicas.map((r) => r.clientUrls[0]!).join();
      const client = new EtcdClient(cluster.forwarder.address);
      for (let i = 0; i < 50; i++) await client.put(`k${i % 10}`, `v${i}`);
      const { header } = await client.delete("k3");
      const compacted = Number(header.revision) - 5;
      await client.kv.call("Compact", { revision: compacted, physical: true });
      client.close();

      const sound = await check(
        ...["--database", endpoint, "--endpoints", endpoints, "--repair"],
      );
      assert.equal(sound.status, 0, sound.err);
      assert.equal(sound.json.isSound, true);
      assert.equal(sound.json.keys, 9);
      assert.equal(sound.json.compactRevision, compacted);
      assert.equal(sound.json.servers.endpoints.length, 2);
      for (const server of sound.json.servers.endpoints) {
        assert.equal(server.hash, sound.json.hash);
      }

      await runOnPostgres(
        database,
        "UPDATE stele_kv SET value = 'x' WHERE rev = (SELECT max(rev) FROM stele_kv WHERE NOT deleted)",
      );
      const drifted = await check(
        ...["--database", endpoint, "--endpoints", endpoints],
      );
      assert.equal(drifted.status, 1);
      assert.deepEqual(
        drifted.json.servers.violations.map((v: { code: string }) => v.code),
        ["database-mismatch", "database-mismatch"],
      );
    } finally {
      await cluster.stop();
      await POSTGRES_SERVER.drop(database);
      await Deno.remove(dataDir, { recursive: true });
    }
  },
});

Deno.test("stele check --database refuses what servers do not share", async () => {
  const { status, err } = await check("--database", "sqlite://x");
  assert.equal(status, 2);
  assert.match(err, /it is none that servers share/);
});
