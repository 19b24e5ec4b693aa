import assert from "node:assert/strict";
import { defaultConfig, startServer } from "../../mod.ts";
import { EtcdClient } from "../support/etcd_client.ts";
import { eventually, failure } from "../support/failure.ts";
import { startTestServer } from "../support/server.ts";

async function withDir(
  work: (dataDir: string) => Promise<void>,
): Promise<void> {
  const dataDir = await Deno.makeTempDir({ prefix: "stele-restart-" });
  try {
    await work(dataDir);
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
}

Deno.test("a restart brings back keys, history, leases, compaction and alarms", async () => {
  await withDir(async (dataDir) => {
    let revision = 0;
    {
      await using server = await startTestServer({ dataDir });
      const { client } = server;
      for (let i = 0; i < 10; i++) await client.put("k", `${i}`);
      await client.put("gone");
      await client.delete("gone");
      await client.lease.call("LeaseGrant", { ID: 42, TTL: 600 });
      await client.put("leased", "", { lease: 42 });
      revision = await client.revision();
      await client.kv.call("Compact", {
        revision: revision - 5,
        physical: true,
      });
      await client.maintenance.call("Alarm", {
        action: "ACTIVATE",
        alarm: "CORRUPT",
      });
    }
    await using server = await startTestServer({ dataDir });
    const { client } = server;
    assert.equal(await client.revision(), revision);
    assert.equal((await client.range("k")).kvs[0].version, "10");
    const past = await client.range("k", "", { revision: revision - 4 });
    assert.equal(past.kvs[0].value.toString(), "8");
    assert.equal(
      (await failure(client.range("k", "", { revision: revision - 6 }))).code,
      11,
    );
    const lease = await client.lease.call("LeaseTimeToLive", {
      ID: 42,
      keys: true,
    });
    assert.deepEqual(lease.keys.map(String), ["leased"]);
    assert.ok(Number(lease.TTL) > 590 && Number(lease.TTL) <= 600);
    assert.equal(
      (await client.maintenance.call("Alarm")).alarms[0].alarm,
      "CORRUPT",
    );
    const watch = client.openWatch();
    await watch.create({
      key: Buffer.from("gone"),
      start_revision: revision - 4,
    });
    const types = (await watch.events(2)).map((e) => e.type);
    assert.deepEqual(types, ["PUT", "DELETE"]);
    await watch.cancel();
  });
});

Deno.test("a data directory is locked against a second server, with a clear message", async () => {
  await withDir(async (dataDir) => {
    await using _first = await startTestServer({ dataDir });
    await assert.rejects(
      startServer(
        defaultConfig({ dataDir, listenClientUrls: ["http://127.0.0.1:0"] }),
      ),
      /Cannot open .*locked by another/,
    );
  });
});

/** Starts `mod.ts serve` in a process of its own. */
async function spawnServer(dataDir: string) {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-prompt",
      "--no-check",
      new URL("../../mod.ts", import.meta.url).pathname,
      "serve",
      `--data-dir=${dataDir}`,
      "--listen-client-urls=http://127.0.0.1:0",
      "--advertise-client-urls=http://127.0.0.1:0",
    ],
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const lines = child.stderr.pipeThrough(new TextDecoderStream());
  let seen = "";
  for await (const text of lines.values({ preventCancel: true })) {
    seen += text;
    const match = /ready to serve client requests.*?"http:\/\/([^"]+)"/.exec(
      seen,
    );
    if (match !== null) return { child, address: match[1]!, rest: lines };
  }
  throw new Error(`the server did not start: ${seen}`);
}

Deno.test("after kill -9 everything acknowledged is there, nothing half, and revisions go on", async () => {
  await withDir(async (dataDir) => {
    const acknowledged = new Map<string, { value: string; revision: number }>();
    let counter = 0;
    for (let round = 0; round < 4; round++) {
      const { child, address, rest } = await spawnServer(dataDir);
      const client = new EtcdClient(address);
      let isKilled = false;
      const writer = async (w: number) => {
        for (;;) {
          const value = `${counter++}`;
          const key = Buffer.from(`w${w}`);
          const pair = Buffer.from(`w${w}/pair`);
          try {
            const { header } = await client.txn({
              success: [key, pair].map((k) => ({
                request_put: { key: k, value: Buffer.from(value) },
              })),
            });
            acknowledged.set(`w${w}`, {
              value,
              revision: Number(header.revision),
            });
          } catch {
            if (isKilled) return;
            throw new Error("a write failed before the kill");
          }
        }
      };
      const writers = Array.from({ length: 8 }, (_, w) => writer(w));
      await eventually("some writes", () => acknowledged.size === 8);
      await new Promise((resolve) => setTimeout(resolve, 50 + round * 37));
      isKilled = true;
      child.kill("SIGKILL");
      await Promise.all(writers);
      client.close();
      await rest.cancel().catch(() => {});
      await child.status;

      await using server = await startTestServer({ dataDir });
      for (const [key, { value, revision }] of acknowledged) {
        const [kv] = (await server.client.range(key)).kvs;
        const [pair] = (await server.client.range(`${key}/pair`)).kvs;
        assert.ok(Number(kv.mod_revision) >= revision, `${key} went back`);
        if (Number(kv.mod_revision) === revision) {
          assert.equal(kv.value.toString(), value);
        }
        assert.deepEqual(
          [pair.mod_revision, pair.value.toString()],
          [kv.mod_revision, kv.value.toString()],
          "a transaction is there whole",
        );
      }
    }
  });
});
