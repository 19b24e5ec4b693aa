import assert from "node:assert/strict";
import { eventually, failure } from "../../support/failure.ts";
import { FaultyServer } from "./faulty_server.ts";

const NO_SPACE = {
  code: 8,
  message: "etcdserver: mvcc: database space exceeded",
};
/** 25 pages: what is left when one of them does not fit is enough for a delete. */
const VALUE = "v".repeat(100_000);
/** 4 MiB: room for some 35 values. */
const PAGES = 1000;
/** A loaded machine may take so long for what takes a second. */
const PATIENCE_MS = 30_000;

Deno.test("a database that may not grow refuses puts and loses none; deletes and a compaction make room, and it goes on by itself", async () => {
  await using server = await FaultyServer.start({ maxPageCount: PAGES });
  const { client } = server;
  const kept: string[] = [];
  for (;;) {
    assert.ok(kept.length < PAGES, "the database is never full");
    const key = `k${kept.length}`;
    try {
      await client.put(key, VALUE);
      kept.push(key);
    } catch (error) {
      assert.deepEqual(await failure(Promise.reject(error)), NO_SPACE);
      break;
    }
  }
  assert.ok(kept.length > 20);
  assert.match(
    await server.logged(/the disk is full/),
    /make room on the file system of the data directory/,
  );
  assert.equal(await server.isReady(), false);
  assert.equal((await server.probe("/livez")).status, 200);
  assert.deepEqual(await failure(client.put("k0", VALUE)), NO_SPACE);
  assert.equal((await client.range("k0")).kvs.length, 1);

  const gone = kept.splice(0, 5);
  for (const key of gone) {
    assert.equal(Number((await client.delete(key)).deleted), 1, key);
  }
  const { header } = await client.range(kept[0]!);
  await client.kv.call("Compact", {
    revision: header.revision,
    physical: true,
  });
  await server.recovered();
  await eventually("puts are taken again", async () => {
    const { alarms } = await client.maintenance.call("Alarm");
    return alarms.length === 0;
  }, PATIENCE_MS);
  await client.put("again", VALUE);

  await server.restart();
  const { kvs } = await server.client.range("a", "z", { keys_only: true });
  assert.deepEqual(
    kvs.map((kv: { key: Uint8Array }) => String(kv.key)).sort(),
    ["again", ...kept].sort(),
  );
});
