import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { EtcdClient } from "../../support/etcd_client.ts";
import { eventually, failure } from "../../support/failure.ts";
import { ServerProcess } from "../crash/server_process.ts";

/** A loaded machine may take so long for what takes a second, besides the five that SQLite waits for a lock. */
const PATIENCE_MS = 30_000;

Deno.test("other processes on a directory in use end with a clear error, and harm nothing", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "stele-locked-" });
  const first = ServerProcess.spawn(dataDir);
  try {
    const address = await first.ready;
    assert.ok(address !== undefined, first.log);
    using client = new EtcdClient(address);
    let isOver = false;
    const writer = async () => {
      let revision = 0;
      while (!isOver) {
        revision = Number((await client.put("k", "v")).header.revision);
      }
      return revision;
    };
    const writing = writer();
    const others = Array.from(
      { length: 3 },
      () => ServerProcess.spawn(dataDir),
    );
    for (const other of others) {
      assert.equal((await other.ended).code, 1);
      assert.match(
        other.log,
        /^stele: Cannot open ".*": it is locked by another process; stop the server that has it.*$/m,
      );
    }
    isOver = true;
    const revision = await writing;
    const { kvs } = await client.range("k");
    assert.equal(Number(kvs[0].mod_revision), revision);
    assert.equal(Number(kvs[0].version), revision - 1);
  } finally {
    await first.kill();
    await Deno.remove(dataDir, { recursive: true });
  }
});

Deno.test("a program that locks the database makes writes fail with a clear message, until it lets go", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "stele-locked-" });
  const server = ServerProcess.spawn(dataDir);
  try {
    const address = await server.ready;
    assert.ok(address !== undefined, server.log);
    using client = new EtcdClient(address);
    await client.put("k", "before");
    const program = new DatabaseSync(`${dataDir}/stele.db`);
    program.exec("BEGIN IMMEDIATE");
    assert.deepEqual(await failure(client.put("k", "lost")), {
      code: 14,
      message: "etcdserver: unhealthy cluster",
    });
    assert.match(
      server.log,
      /the database is locked.*end the other program that has the database open/,
    );
    assert.equal(String((await client.range("k")).kvs[0].value), "before");
    const isReady = async () => {
      const response = await fetch(`http://${address}/readyz`);
      await response.body?.cancel();
      return response.status === 200;
    };
    assert.equal(await isReady(), false);
    program.exec("ROLLBACK");
    program.close();
    await eventually("ready again", isReady, PATIENCE_MS);
    await client.put("k", "after");
  } finally {
    await server.kill();
    await Deno.remove(dataDir, { recursive: true });
  }
});

Deno.test("a directory is free as soon as the process that held it is killed", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "stele-locked-" });
  try {
    let revision = 1;
    for (let i = 0; i < 3; i++) {
      const server = ServerProcess.spawn(dataDir);
      const address = await server.ready;
      assert.ok(address !== undefined, server.log);
      const client = new EtcdClient(address);
      const { header } = await client.put("k");
      assert.equal(Number(header.revision), ++revision);
      client.close();
      await server.kill();
    }
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});
