import assert from "node:assert/strict";
import { replicaCount, skippedOnReplicas } from "../support/cluster.ts";
import { type Message, op } from "../support/etcd_client.ts";
import { eventually } from "../support/failure.ts";
import { startTestServer } from "../support/server.ts";

const show = (events: Message[]) =>
  events.map((e) =>
    `${e.type === "DELETE" ? "-" : ""}${e.kv.key}=${e.kv.value}`
  ).join(" ");

Deno.test("Watch delivers live events in order, with the previous pair if asked", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const first = Number((await client.put("a", "0")).header.revision);
  const watch = client.openWatch();
  // One of several servers may lag, and begin earlier.
  const mayLag = replicaCount() > 1;
  const created = await watch.create({
    key: Buffer.from("a"),
    range_end: Buffer.from("z"),
    prev_kv: true,
    start_revision: mayLag ? first + 1 : 0,
  });
  assert.deepEqual([created.created, created.watch_id], [true, "0"]);
  if (!mayLag) assert.equal(Number(created.header.revision), first);
  await client.put("a", "1");
  await client.put("b", "1");
  const { header } = await client.delete("a");
  const events = await watch.events(3);
  assert.equal(show(events), "a=1 b=1 -a=");
  assert.deepEqual(
    events.map((e) => e.prev_kv?.value.toString()),
    ["0", undefined, "1"],
  );
  assert.equal(events[2]!.kv.mod_revision, header.revision);
  assert.deepEqual(
    [events[2]!.kv.create_revision, events[2]!.kv.version],
    ["0", "0"],
    "a DELETE event holds only key and mod_revision",
  );
  await watch.cancel();
});

Deno.test("Watch catches up from the past, and goes on without a gap", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const first = await client.revision() + 1;
  for (let i = 0; i < 300; i++) await client.put("k", `${i}`);
  const watch = client.openWatch();
  const creating = watch.create({
    key: Buffer.from("k"),
    start_revision: first,
  });
  const writing = (async () => {
    for (let i = 300; i < 500; i++) await client.put("k", `${i}`);
  })();
  assert.equal((await creating).created, true);
  const events = await watch.events(500);
  await writing;
  assert.deepEqual(
    events.map((e) => Number(e.kv.mod_revision)),
    Array.from({ length: 500 }, (_, i) => first + i),
  );
  await watch.cancel();
});

Deno.test("Watch takes ids of 64 bits", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const watch = client.openWatch();
  const ids = [
    "9223372036854775807",
    "9223372036854775806",
    "-9223372036854775808",
  ];
  for (const watch_id of ids) {
    const created = await watch.create({ key: Buffer.from("k"), watch_id });
    assert.deepEqual([created.watch_id, created.canceled], [watch_id, false]);
  }
  await client.put("k");
  const told = [];
  for (const _ of ids) told.push((await watch.next()).watch_id);
  assert.deepEqual(told.sort(), ids.toSorted());
  watch.send({ cancel_request: { watch_id: ids[1] } });
  const canceled = await watch.next();
  assert.deepEqual([canceled.watch_id, canceled.canceled], [ids[1], true]);
  await watch.cancel();
});

Deno.test("Watch has both changes of a key that a transaction changed twice", async () => {
  // Without a window, history comes from the database.
  await using server = await startTestServer({ eventWindowBytes: 1 });
  const { client } = server;
  const start_revision = Number((await client.put("a", "0")).header.revision) +
    1;
  const request = { key: Buffer.from("a"), prev_kv: true, start_revision };
  const live = client.openWatch();
  await live.create(request);
  // etcd finds no overlap in these: a later nested deletion, and a deletion from a key on.
  const { header } = await client.txn({
    success: [
      op.txn({ success: [op.put("a", "1")] }),
      op.txn({ success: [op.delete("a")] }),
    ],
  });
  await client.txn({ success: [op.put("a", "2")] });
  await client.txn({ success: [op.delete("a", "\0"), op.put("a", "3")] });
  const expected = "a=1(0) -a=(0) a=2() -a=(2) a=3()";
  const showAll = (events: Message[]) =>
    events.map((e) => `${show([e])}(${e.prev_kv?.value ?? ""})`).join(" ");
  assert.equal(showAll(await live.events(5)), expected);
  await live.cancel();
  const late = client.openWatch();
  await late.create(request);
  assert.equal(showAll(await late.events(5)), expected);
  await late.cancel();
  const { kvs: [kv] } = await client.range("a");
  assert.deepEqual([`${kv.value}`, kv.version], ["3", "1"]);
  const past = await client.range("a", "", { revision: header.revision });
  assert.equal(past.count, "0");
});

Deno.test("Watch keeps a transaction's events together", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const watch = client.openWatch();
  await watch.create({ key: Buffer.from("\0"), range_end: Buffer.from("\0") });
  await client.txn({ success: [op.put("z"), op.put("a"), op.put("m")] });
  assert.equal(show((await watch.next()).events), "z= a= m=");
  await watch.cancel();
});

Deno.test({
  name: "Watch refuses bad requests with canceled responses and lives on",
  ignore: skippedOnReplicas(
    "whether a server has heard of a compaction by another",
  ),
  async fn() {
    await using server = await startTestServer();
    const { client } = server;
    const revision = Number((await client.put("a")).header.revision);
    await client.put("a");
    const watch = client.openWatch();
    await watch.create({ key: Buffer.from("a"), watch_id: 7 });
    const cases: [Message, string][] = [
      [
        { key: Buffer.from("a"), watch_id: 7 },
        "mvcc: duplicate watch ID provided on the WatchStream",
      ],
      [
        { key: Buffer.from("b"), range_end: Buffer.from("a") },
        "mvcc: watcher range is empty",
      ],
      [
        { key: Buffer.from("a"), start_revision: -1 },
        "etcdserver: mvcc: required revision has been compacted",
      ],
    ];
    for (const [request, reason] of cases) {
      const response = await watch.create(request);
      assert.deepEqual(
        [
          response.created,
          response.canceled,
          response.watch_id,
          response.cancel_reason,
        ],
        [true, true, "-1", reason],
      );
    }
    await client.kv.call("Compact", { revision: revision + 1 });
    const created = await watch.create({
      key: Buffer.from("a"),
      start_revision: revision,
    });
    assert.deepEqual([created.created, created.canceled], [true, false]);
    const canceled = await watch.next();
    assert.deepEqual(
      [canceled.canceled, canceled.compact_revision, canceled.cancel_reason],
      [true, `${revision + 1}`, ""],
    );
    await client.put("a", "live");
    assert.equal((await watch.next()).watch_id, "7");
    await watch.cancel();
  },
});

Deno.test("Watch filters leave no empty responses behind", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const watch = client.openWatch();
  await watch.create({ key: Buffer.from("f"), filters: ["NOPUT"] });
  await client.put("f");
  await client.put("f");
  await client.delete("f");
  assert.equal(show((await watch.next()).events), "-f=");
  assert.equal(watch.pending, 0);
  await watch.cancel();
});

Deno.test("Watch answers a progress request behind all events, when every watcher has caught up", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const watch = client.openWatch();
  await watch.create({ key: Buffer.from("p") });
  await client.put("other");
  const { header } = await client.put("p");
  watch.send({ progress_request: {} });
  assert.equal((await watch.next()).events.length, 1);
  const progress = await watch.next();
  assert.deepEqual([progress.watch_id, progress.events.length], ["-1", 0]);
  assert.ok(Number(progress.header.revision) >= Number(header.revision));
  await watch.cancel();
});

Deno.test("Watch fragments only where it was asked to", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const watch = client.openWatch();
  const all = { key: Buffer.from("\0"), range_end: Buffer.from("\0") };
  await watch.create({ ...all, fragment: true });
  const value = "x".repeat(700 * 1024);
  const first = await client.revision() + 1;
  for (let i = 0; i < 5; i++) await client.put(`k${i}`, value);
  const later = client.openWatch();
  await later.create({ ...all, start_revision: first, fragment: true });
  const parts: Message[] = [];
  let events = 0;
  while (events < 5) {
    const part = await later.next();
    parts.push(part);
    events += part.events.length;
  }
  assert.ok(
    parts.every((p) => p.events.length <= 3),
    "no part is larger than 2 MiB",
  );
  assert.equal(parts.at(-1)!.fragment, false);
  await watch.cancel();
  await later.cancel();
});

Deno.test("a watcher that does not read costs bounded memory, never slows writers, and loses nothing", async () => {
  await using server = await startTestServer({ eventWindowBytes: 1 << 20 });
  const { client } = server;
  const watch = client.openWatch();
  const first =
    Number((await watch.create({ key: Buffer.from("k") })).header.revision) + 1;
  watch.stream.pause();
  const value = "x".repeat(100_000);
  for (let i = 0; i < 20; i++) {
    await Promise.all(Array.from({ length: 50 }, () => client.put("k", value)));
  }
  assert.equal((await client.range("k")).kvs[0].version, "1000");
  watch.stream.resume();
  const events = await watch.events(1000);
  assert.deepEqual(
    events.map((e) => Number(e.kv.mod_revision)),
    Array.from({ length: 1000 }, (_, i) => first + i),
  );
  await watch.cancel();
});

Deno.test("progress notifications come when nothing else does", async () => {
  await using server = await startTestServer({
    watchProgressNotifyIntervalMs: 100,
  });
  const { client } = server;
  const watch = client.openWatch();
  await watch.create({ key: Buffer.from("quiet"), progress_notify: true });
  await client.put("other");
  await eventually(
    "a progress notification at the newest revision",
    async () => {
      const { events, watch_id, header } = await watch.next();
      assert.deepEqual([events.length, watch_id], [0, "0"]);
      return Number(header.revision) === await client.revision();
    },
  );
  await watch.cancel();
});
