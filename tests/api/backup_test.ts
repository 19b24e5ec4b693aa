import assert from "node:assert/strict";
import { main } from "../../src/cli/main.ts";
import { skippedOnReplicas } from "../support/cluster.ts";
import { skippedOnDatabase } from "../support/databases.ts";
import { EtcdClient } from "../support/etcd_client.ts";
import { readEtcdSnapshot } from "../support/etcd_snapshot.ts";
import { eventually, failure } from "../support/failure.ts";
import { FakeProcess } from "../support/fake_process.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
  // deno-lint-ignore no-explicit-any
  readonly json: any[];
}

/** Runs a command of the executable; with `-w json` its output is parsed. */
async function run(
  server: TestServer | undefined,
  ...args: string[]
): Promise<Ran> {
  const process = new FakeProcess();
  if (server !== undefined) process.env.ETCDCTL_ENDPOINTS = server.address;
  const status = await main(args, process, () => {
    throw new Error("no server was to be started");
  });
  const json = args.includes("json") && status !== 2 ? process.json() : [];
  return { status, out: process.out, err: process.err, json };
}

/** As `run`; the command must succeed. */
async function ok(
  server: TestServer | undefined,
  ...args: string[]
): Promise<Ran> {
  const ran = await run(server, ...args);
  assert.equal(ran.status, 0, ran.err + ran.out);
  return ran;
}

/** Calls `act` with a directory that is then removed. */
async function withDir(act: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "stele-backup-" });
  try {
    await act(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** A server on the directory that a snapshot was restored to, wherever the snapshot came from. */
function startRestored(dataDir: string): Promise<TestServer> {
  return startTestServer({
    dataDir,
    endpoint: `sqlite://${dataDir}`,
    bcryptCost: 4,
  });
}

/** The hash of all keys, by the server. */
async function hashOf({ client }: TestServer): Promise<number> {
  return Number((await client.maintenance.call("HashKV")).hash);
}

Deno.test("stele snapshot save, status and restore go round: keys, history, leases, compaction, alarms", () =>
  withDir(async (dir) => {
    const file = `${dir}/s.db`;
    let before: { hash: number; revision: number; clusterId: string };
    let lease: string;
    {
      await using server = await startTestServer();
      const { client } = server;
      for (let i = 0; i < 50; i++) await client.put(`k${i % 10}`, `v${i}`);
      lease = (await client.lease.call("LeaseGrant", { TTL: 1000 })).ID;
      await client.put("leased", "x", { lease });
      await client.delete("k3");
      await client.kv.call("Compact", { revision: 40, physical: true });
      const { header } = await client.put("k4", "newest");
      await client.maintenance.call("Alarm", {
        action: "ACTIVATE",
        alarm: "CORRUPT",
        memberID: header.member_id,
      });
      before = {
        hash: await hashOf(server),
        revision: Number(header.revision),
        clusterId: header.cluster_id,
      };
      const saved = await ok(server, "snapshot", "save", file, "-w", "json");
      assert.equal(saved.json[0].sizeBytes, (await Deno.stat(file)).size);
    }
    const status = await ok(
      undefined,
      "snapshot",
      "status",
      file,
      "-w",
      "json",
    );
    assert.equal(status.json[0].hash, before.hash);
    assert.equal(status.json[0].revision, before.revision);
    assert.equal(status.json[0].compactRevision, 40);
    assert.equal(status.json[0].totalKey, 10);

    const dataDir = `${dir}/restored`;
    await ok(undefined, "snapshot", "restore", file, "--data-dir", dataDir);
    const check = await ok(undefined, "check", dataDir, "-w", "json");
    assert.deepEqual(check.json[0].violations, []);
    assert.equal(check.json[0].hash, before.hash);

    await using server = await startRestored(dataDir);
    const { client } = server;
    assert.equal(await hashOf(server), before.hash);
    const { kvs, header } = await client.range("k4");
    assert.equal(kvs[0].value.toString(), "newest");
    assert.equal(Number(header.revision), before.revision);
    assert.notEqual(header.cluster_id, before.clusterId);
    const old = await client.range("k4", "", { revision: 45 });
    assert.equal(old.kvs[0].value.toString(), "v34");
    assert.equal(
      (await failure(client.range("k4", "", { revision: 39 }))).message,
      "etcdserver: mvcc: required revision has been compacted",
    );
    const ttl = await client.lease.call("LeaseTimeToLive", {
      ID: lease,
      keys: true,
    });
    assert.deepEqual(ttl.keys.map(String), ["leased"]);
    assert.equal(ttl.grantedTTL, "1000");
    const { alarms } = await client.maintenance.call("Alarm");
    assert.deepEqual(alarms, [
      { memberID: header.member_id, alarm: "CORRUPT" },
    ]);
    await client.maintenance.call("Alarm", {
      action: "DEACTIVATE",
      ...alarms[0],
    });
    await client.lease.call("LeaseRevoke", { ID: lease });
    assert.equal((await client.range("leased")).kvs.length, 0);
  }));

Deno.test("stele snapshot restore keeps users, roles and passwords; saving asks for the root role", () =>
  withDir(async (dir) => {
    const file = `${dir}/s.db`;
    {
      await using server = await startTestServer({ bcryptCost: 4 });
      const { auth } = server.client;
      for (const name of ["root", "alice"]) {
        await auth.call("UserAdd", { name, password: `${name}'s` });
      }
      await auth.call("UserGrantRole", { user: "root", role: "root" });
      await auth.call("AuthEnable");
      const save = ["snapshot", "save", file] as const;
      const refused = await run(server, ...save, "--user", "alice:alice's");
      assert.equal(refused.status, 1);
      assert.match(refused.err, /permission denied/);
      await assert.rejects(Deno.stat(file), Deno.errors.NotFound);
      await ok(server, ...save, "--user", "root:root's");
    }
    const dataDir = `${dir}/restored`;
    await ok(undefined, "snapshot", "restore", file, "--data-dir", dataDir);
    await using server = await startRestored(dataDir);
    const anonymous = await failure(server.client.put("k", "v"));
    assert.equal(anonymous.message, "etcdserver: user name is empty");
    const root = await server.client.login(server.address, "root", "root's");
    await root.put("k", "v");
    root.close();
  }));

Deno.test("a watch from before is told to start over once a restore has raised the revision and compacted", () =>
  withDir(async (dir) => {
    const file = `${dir}/s.db`;
    let seen: number;
    {
      await using server = await startTestServer();
      const { client } = server;
      await client.put("k", "in the snapshot");
      await ok(server, "snapshot", "save", file);
      // What clients have seen, and the snapshot has not.
      for (let i = 0; i < 5; i++) await client.put("k", "lost");
      seen = await client.revision();
    }
    const dataDir = `${dir}/restored`;
    const restored = await ok(
      undefined,
      ...["snapshot", "restore", file, "--data-dir", dataDir],
      ...["--bump-revision", "1000", "--mark-compacted", "-w", "json"],
    );
    const { revision } = restored.json[0];
    assert.ok(revision > seen);
    await using server = await startRestored(dataDir);
    const { client } = server;
    const { header, kvs } = await client.range("k");
    assert.equal(Number(header.revision), revision);
    assert.equal(kvs[0].value.toString(), "in the snapshot");
    const watch = client.openWatch();
    await watch.create({ key: Buffer.from("k"), start_revision: seen + 1 });
    const canceled = await watch.next();
    assert.equal(canceled.canceled, true);
    assert.equal(Number(canceled.compact_revision), revision);
    await watch.create({ key: Buffer.from("k"), start_revision: revision + 1 });
    const put = await client.put("k", "after");
    assert.equal(Number(put.header.revision), revision + 1);
    const [event] = await watch.events(1);
    assert.equal(event!.kv.value.toString(), "after");
    assert.equal(Number(event!.kv.version), 2);
    await watch.cancel();
  }));

Deno.test("what the Snapshot call streams is a file that restores, as etcdctl saves it", () =>
  withDir(async (dir) => {
    await using server = await startTestServer();
    await server.client.put("k", "v");
    const blobs: Uint8Array[] = [];
    const stream = server.client.maintenance.stream("Snapshot", {});
    for await (const { blob } of stream) blobs.push(blob);
    await Deno.writeFile(`${dir}/s.db`, Buffer.concat(blobs));
    const args = [`${dir}/s.db`, "--data-dir", `${dir}/restored`];
    await ok(undefined, "snapshot", "restore", ...args);
    await ok(undefined, "check", `${dir}/restored`);
  }));

Deno.test("a snapshot of etcd restores: revisions, history, leases, users and passwords", () =>
  withDir(async (dir) => {
    await Deno.writeFile(`${dir}/etcd.db`, await readEtcdSnapshot());
    const dataDir = `${dir}/restored`;
    const args = [`${dir}/etcd.db`, "--data-dir", dataDir];
    await ok(undefined, "snapshot", "restore", ...args);
    await using server = await startRestored(dataDir);
    const { client, address } = server;
    assert.equal(
      (await failure(client.range("a"))).message,
      "etcdserver: user name is empty",
    );
    using alice = await client.login(address, "alice", "pw");
    await alice.put("a/1", "hers");
    assert.match((await failure(alice.put("b", "x"))).message, /denied/);

    using root = await client.login(address, "root", "rootpw");
    const { kvs, header } = await root.range("a");
    assert.equal(Number(header.revision), 67);
    assert.deepEqual(
      [kvs[0].value, kvs[0].create_revision, kvs[0].version].map(String),
      ["1", "65", "1"],
    );
    const atCompaction = await root.range("k3", "", { revision: 40 });
    assert.equal(String(atCompaction.kvs[0].value), "v33");
    assert.equal(atCompaction.kvs[0].version, "4");
    assert.match(
      (await failure(root.range("k3", "", { revision: 39 }))).message,
      /has been compacted/,
    );
    assert.equal((await root.range("big")).kvs[0].value.length, 20_000);

    const watch = root.openWatch();
    await watch.create({ key: Buffer.from("k3"), start_revision: 41 });
    const events = await watch.events(4);
    assert.deepEqual(
      events.map(({ type, kv }) => [type, kv.mod_revision]),
      [["PUT", "44"], ["PUT", "54"], ["DELETE", "64"], ["PUT", "66"]],
    );
    await watch.cancel();

    const { leases } = await root.lease.call("LeaseLeases");
    const ttl = await root.lease.call("LeaseTimeToLive", {
      ID: leases[0].ID,
      keys: true,
    });
    assert.equal(ttl.grantedTTL, "1000");
    assert.deepEqual(ttl.keys.map(String), ["leased"]);
  }));

Deno.test("stele snapshot save replaces a file with --force only, and leaves no part of one", () =>
  withDir(async (dir) => {
    await using server = await startTestServer();
    const file = `${dir}/s.db`;
    await Deno.writeTextFile(file, "precious");
    const refused = await run(server, "snapshot", "save", file);
    assert.equal(refused.status, 1);
    assert.match(refused.err, /the file exists; --force replaces it/);
    assert.equal(await Deno.readTextFile(file), "precious");
    const { out } = await ok(server, "snapshot", "save", file, "--force");
    assert.match(out, /^Saved ".*s\.db": \d+ KiB from 127\.0\.0\.1:\d+\n$/);
    const nowhere = await run(server, "snapshot", "save", `${dir}/no/s.db`);
    assert.equal(nowhere.status, 1);
    assert.deepEqual([...Deno.readDirSync(dir)].map((e) => e.name), ["s.db"]);
  }));

for (
  const args of [
    ["--bump-revision", "5"],
    ["--mark-compacted"],
    ["--bump-revision", "-1", "--mark-compacted"],
    ["--bump-revision", "0", "--mark-compacted"],
  ]
) {
  Deno.test(`stele snapshot restore refuses ${args.join(" ")} with status 2`, () =>
    withDir(async (dir) => {
      const { status } = await run(
        undefined,
        ...["snapshot", "restore", `${dir}/s.db`, "--data-dir", `${dir}/d`],
        ...args,
      );
      assert.equal(status, 2);
      assert.deepEqual([...Deno.readDirSync(dir)], []);
    }));
}

Deno.test({
  name:
    "stele check leaves a running server's directory alone, and asks the server instead",
  ignore: skippedOnDatabase("the check of a directory"),
  fn: () =>
    withDir(async (dataDir) => {
      {
        await using server = await startTestServer({ dataDir });
        for (let i = 0; i < 20; i++) await server.client.put(`k${i}`, "v");
        const refused = await run(server, "check", dataDir);
        assert.equal(refused.status, 1);
        assert.match(refused.err, /it is locked by another process/);
        const online = await ok(server, "check", "-w", "json");
        assert.deepEqual(online.json[0], {
          isSound: true,
          violations: [],
          revision: 21,
          endpoints: [{
            endpoint: server.address,
            memberId: online.json[0].endpoints[0].memberId,
            hash: await hashOf(server),
            compactRevision: 0,
            keys: 20,
          }],
        });
      }
      const { out } = await ok(undefined, "check", dataDir);
      assert.match(out, /is sound: revision 21, .* 20 keys, hash \d+\n$/);
    }),
});

Deno.test({
  name: "stele check names each violation, and ends with status 1",
  ignore: skippedOnDatabase("the check of a directory"),
  fn: () =>
    withDir(async (dataDir) => {
      {
        await using server = await startTestServer({ dataDir });
        for (let i = 0; i < 5; i++) await server.client.put("k", `v${i}`);
      }
      const { DatabaseSync } = await import("node:sqlite");
      const db = new DatabaseSync(`${dataDir}/stele.db`);
      db.exec("DELETE FROM stele_kv WHERE rev = 4");
      db.close();
      const { status, out } = await run(undefined, "check", dataDir);
      assert.equal(status, 1);
      assert.match(out, /^revision-missing: revision 4: it has no row$/m);
      assert.match(out, /^key-history: row 5\/0 of "k": version 4 /m);
      assert.match(out, /has 2 violations: revision 6,/);
      const json = await run(undefined, "check", dataDir, "-w", "json");
      assert.equal(json.status, 1);
      assert.equal(json.json[0].violationCount, 2);
    }),
});

Deno.test({
  name:
    "stele check --endpoints finds alarms, other clusters and servers that do not answer",
  ignore: skippedOnReplicas("the status of one server"),
  async fn() {
    await using first = await startTestServer();
    await using second = await startTestServer();
    await second.client.maintenance.call("Alarm", {
      action: "ACTIVATE",
      alarm: "CORRUPT",
    });
    const closed = "127.0.0.1:1";
    const { status, json } = await run(
      undefined,
      ...[
        "check",
        "--endpoints",
        `${first.address},${second.address},${closed}`,
      ],
      ...["-w", "json"],
    );
    assert.equal(status, 1);
    assert.deepEqual(
      // deno-lint-ignore no-explicit-any
      json[0].violations.map((v: any) => [v.code, v.endpoint]),
      [
        ["unreachable", closed],
        ["alarm", second.address],
        ["cluster-mismatch", second.address],
      ],
    );
  },
});

Deno.test({
  name:
    "a server makes snapshots by itself that restore, and says when in its metrics",
  ignore: skippedOnReplicas("what one server's metrics say"),
  fn: () =>
    withDir(async (dir) => {
      const snapshots = `${dir}/snapshots`;
      const names = () =>
        [...Deno.readDirSync(snapshots)].map((entry) => entry.name).sort();
      {
        await using server = await startTestServer({
          snapshotDir: snapshots,
          snapshotIntervalMs: 20,
          snapshotRetention: 2,
        });
        await server.client.put("k", "v");
        await eventually(
          "the snapshot is there",
          () => names().some((name) => name.endsWith("-r2.db")),
        );
        const metrics = async () =>
          await (await fetch(`http://${server.address}/metrics`)).text();
        // The file is there a moment before it counts.
        await eventually(
          "a snapshot that counts",
          async () =>
            /^stele_scheduled_snapshot_last_success_timestamp_seconds 1\.?\d{9}/m
              .test(await metrics()),
        );
        assert.match(
          await metrics(),
          /^stele_scheduled_snapshot_failures_total 0$/m,
        );
      }
      assert.ok(names().length <= 2);
      const newest = `${snapshots}/${names().at(-1)}`;
      const args = [newest, "--data-dir", `${dir}/restored`];
      await ok(undefined, "snapshot", "restore", ...args);
      await using server = await startRestored(`${dir}/restored`);
      using client = new EtcdClient(server.address);
      assert.equal((await client.range("k")).kvs[0].value.toString(), "v");
    }),
});
