import assert from "node:assert/strict";
import { get } from "node:http";
import * as grpc from "@grpc/grpc-js";
import type { Message } from "../support/etcd_client.ts";
import { failure } from "../support/failure.ts";
import {
  ApiserverCompactor,
  KubernetesStorage,
  type StoredObject,
} from "../support/kubernetes.ts";
import { startTestServer } from "../support/server.ts";

const COMPACTED = {
  code: 11,
  message: "etcdserver: mvcc: required revision has been compacted",
};

const names = (items: readonly StoredObject[], prefix: string) =>
  items.map(({ key }) => key.slice(prefix.length));

const numbered = (n: number) => `pod-${String(n).padStart(4, "0")}`;

Deno.test("create succeeds once, and says nothing of what is there", async () => {
  await using server = await startTestServer();
  const storage = new KubernetesStorage(server.client);
  const created = await storage.create("a", "one");
  assert.equal(created.succeeded, true);
  const object = await storage.get("a");
  assert.deepEqual(
    [object?.value, object?.modRevision, object?.createRevision],
    ["one", created.revision, created.revision],
  );
  assert.deepEqual(await storage.create("a", "two"), {
    succeeded: false,
    revision: created.revision,
    current: undefined,
  });
  assert.equal((await storage.get("a"))?.value, "one");
});

Deno.test("a name can be created again after its deletion, as a new object", async () => {
  await using server = await startTestServer();
  const storage = new KubernetesStorage(server.client);
  const first = await storage.create("a", "one");
  await storage.delete("a", first.revision);
  const second = await storage.create("a", "two");
  assert.equal(second.succeeded, true);
  assert.equal((await storage.get("a"))?.createRevision, second.revision);
  assert.equal((await storage.get("a", first.revision))?.value, "one");
});

Deno.test("update fails for an old revision, with what is there now", async () => {
  await using server = await startTestServer();
  const storage = new KubernetesStorage(server.client);
  const created = await storage.create("a", "one");
  const updated = await storage.update("a", "two", created.revision);
  assert.equal(updated.succeeded, true);
  assert.equal(updated.revision, created.revision + 1);
  const late = await storage.update("a", "three", created.revision);
  assert.deepEqual(
    [late.succeeded, late.revision, late.current?.value],
    [false, updated.revision, "two"],
  );
  assert.deepEqual(
    [late.current?.modRevision, late.current?.createRevision],
    [updated.revision, created.revision],
  );
  const early = await storage.update("a", "three", updated.revision + 1);
  assert.equal(early.succeeded, false, "a revision that is not there yet");
});

Deno.test("update of what is not there fails with nothing, and creates nothing", async () => {
  await using server = await startTestServer();
  const storage = new KubernetesStorage(server.client);
  const { revision } = await storage.create("a", "one");
  const missing = await storage.update("b", "x", revision);
  assert.deepEqual(missing, { succeeded: false, revision, current: undefined });
  assert.equal(await storage.count(), 1);
});

Deno.test("a write of another object is no conflict", async () => {
  await using server = await startTestServer();
  const storage = new KubernetesStorage(server.client);
  const a = await storage.create("a", "one");
  const b = await storage.create("b", "one");
  await storage.create("a/b", "below");
  const outcomes = await Promise.all([
    storage.update("a", "two", a.revision),
    storage.update("b", "two", b.revision),
  ]);
  assert.deepEqual(outcomes.map((o) => o.succeeded), [true, true]);
});

Deno.test("of writers with the same precondition exactly one succeeds", async () => {
  await using server = await startTestServer();
  const storage = new KubernetesStorage(server.client);
  const creations = await Promise.all(
    Array.from({ length: 20 }, (_, i) => storage.create("a", `${i}`)),
  );
  assert.equal(creations.filter((o) => o.succeeded).length, 1);
  const { modRevision } = (await storage.get("a"))!;
  const writes = await Promise.all(
    Array.from(
      { length: 20 },
      (_, i) =>
        i % 2 === 0
          ? storage.update("a", `update ${i}`, modRevision)
          : storage.delete("a", modRevision),
    ),
  );
  assert.equal(writes.filter((o) => o.succeeded).length, 1);
});

Deno.test("no guaranteed update is lost, and each failure has a reason", async () => {
  await using server = await startTestServer();
  const storage = new KubernetesStorage(server.client);
  await storage.create("counter", "0");
  const writers = 8;
  const rounds = 10;
  let attempts = 0;
  await Promise.all(Array.from({ length: writers }, async () => {
    for (let i = 0; i < rounds; i++) {
      attempts += await storage.guaranteedUpdate(
        "counter",
        (value) => `${Number(value) + 1}`,
      );
    }
  }));
  assert.equal((await storage.get("counter"))?.value, `${writers * rounds}`);
  const worst = writers * writers * rounds;
  assert.ok(attempts <= worst, "every failure is somebody else's success");
});

Deno.test("delete keeps to its precondition, and fails with what is there", async () => {
  await using server = await startTestServer();
  const storage = new KubernetesStorage(server.client);
  const created = await storage.create("a", "one");
  const updated = await storage.update("a", "two", created.revision);
  const late = await storage.delete("a", created.revision);
  assert.deepEqual([late.succeeded, late.current?.value], [false, "two"]);
  const deleted = await storage.delete("a", updated.revision);
  assert.deepEqual(deleted, {
    succeeded: true,
    revision: updated.revision + 1,
    current: undefined,
  });
  const again = await storage.delete("a", updated.revision);
  assert.deepEqual([again.succeeded, again.current], [false, undefined]);
});

Deno.test("get finds an object at each of its revisions", async () => {
  await using server = await startTestServer();
  const storage = new KubernetesStorage(server.client);
  const { revision } = await storage.create("a", "0");
  for (let i = 1; i < 5; i++) {
    await storage.update("a", `${i}`, revision + i - 1);
  }
  for (let i = 0; i < 5; i++) {
    assert.equal((await storage.get("a", revision + i))?.value, `${i}`);
  }
  assert.deepEqual(await failure(storage.get("a", revision + 1000)), {
    code: 11,
    message: "etcdserver: mvcc: required revision is a future revision",
  });
});

Deno.test("pages of a list are of one revision, however much is written meanwhile", async () => {
  await using server = await startTestServer();
  const storage = new KubernetesStorage(server.client);
  for (let i = 0; i < 25; i++) await storage.create(numbered(i), "old");
  const first = await storage.list({ limit: 10 });
  assert.deepEqual([first.count, first.more], [25, true]);
  const items = [...first.items];
  const remaining = [first.count - first.items.length];
  for (let more = first.more; more;) {
    const written = items.length;
    await storage.create(`${numbered(written)}-new`, "new");
    await storage.create(`z-${written}`, "new");
    const victim = (await storage.get(numbered(written + 3)))!;
    await storage.update(numbered(written + 3), "new", victim.modRevision);
    const gone = (await storage.get(numbered(written + 4)))!;
    await storage.delete(numbered(written + 4), gone.modRevision);
    const page = await storage.list({
      limit: 10,
      revision: first.revision,
      after: items.at(-1)!.key,
    });
    assert.equal(page.count, 25 - written, "what is left, this page included");
    assert.ok(page.revision > first.revision, "the header is of the present");
    items.push(...page.items);
    remaining.push(page.count - page.items.length);
    more = page.more;
  }
  assert.deepEqual(
    names(items, storage.prefix),
    Array.from({ length: 25 }, (_, i) => numbered(i)),
  );
  assert.ok(items.every(({ value }) => value === "old"));
  assert.deepEqual(remaining, [15, 5, 0]);
  assert.equal(await storage.count(), 25 + 4 - 2);
});

for (const limit of [1, 24, 25, 26]) {
  Deno.test(`a page of ${limit} of 25 objects knows whether there is more`, async () => {
    await using server = await startTestServer();
    const storage = new KubernetesStorage(server.client);
    for (let i = 0; i < 25; i++) await storage.create(numbered(i), "");
    const page = await storage.list({ limit });
    assert.equal(page.items.length, Math.min(limit, 25));
    assert.deepEqual([page.count, page.more], [25, limit < 25]);
    const last = page.items.at(-1)!.key;
    const next = await storage.list({ limit, after: last });
    assert.equal(next.count, Math.max(0, 25 - limit));
  });
}

Deno.test("a list goes on behind a compaction of older revisions, and fails behind one of its own", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const storage = new KubernetesStorage(client);
  for (let i = 0; i < 10; i++) await storage.create(numbered(i), "old");
  const { revision, items } = await storage.list({ limit: 4 });
  const next = { limit: 4, revision, after: items.at(-1)!.key };
  const { modRevision } = (await storage.get(numbered(5)))!;
  await storage.update(numbered(5), "new", modRevision);
  await client.kv.call("Compact", { revision });
  const page = await storage.list(next);
  assert.deepEqual(
    [names(page.items, storage.prefix), page.items[1]?.value, page.count],
    [[4, 5, 6, 7].map(numbered), "old", 6],
  );
  await client.kv.call("Compact", { revision: revision + 1 });
  assert.deepEqual(await failure(storage.list(next)), COMPACTED);
  const inconsistent = await storage.list({ limit: 4, after: next.after });
  assert.equal(inconsistent.items[1]?.value, "new", "the rest at the present");
});

Deno.test("of two apiservers' compactors one compacts each time, and neither the present", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const storage = new KubernetesStorage(client);
  const key = `compact_rev_key_${crypto.randomUUID()}`;
  const one = new ApiserverCompactor(client, key);
  const two = new ApiserverCompactor(client, key);
  const { revision } = await storage.create("a", "0");
  assert.equal(await one.round(), undefined, "the first time");
  assert.equal(await two.round(), undefined, "it sees the other's time");
  await storage.update("a", "1", revision);
  const compacted = await one.round();
  assert.equal(compacted, revision + 1, "the revision of its last round");
  assert.equal(await two.round(), undefined, "the other was faster");
  assert.deepEqual(await failure(storage.get("a", revision)), COMPACTED);
  assert.equal((await storage.get("a", compacted))?.value, "0");
  assert.equal((await storage.get("a"))?.value, "1");
  assert.ok((await two.round())! > compacted!, "it takes over");
});

Deno.test("RangeStream's parts are a list of one revision", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const storage = new KubernetesStorage(client);
  for (let i = 0; i < 40; i++) await storage.create(numbered(i), "x".repeat(i));
  const list = await storage.list();
  const { modRevision } = (await storage.get(numbered(7)))!;
  await storage.delete(numbered(7), modRevision);
  const parts: Message[] = [];
  for await (
    const part of client.kv.stream("RangeStream", {
      key: Buffer.from(storage.prefix),
      range_end: Buffer.from(storage.end),
      revision: list.revision,
    })
  ) parts.push(part.range_response);
  const keys = parts.flatMap(({ kvs }) =>
    kvs.map((kv: Message) => `${kv.key}`)
  );
  assert.deepEqual(keys, list.items.map(({ key }) => key));
  const last = parts.at(-1)!;
  assert.deepEqual(
    [last.count, last.more, Number(last.header.revision)],
    ["40", false, list.revision + 1],
  );
});

Deno.test("Status names a version that turns progress requests on", async () => {
  await using server = await startTestServer();
  const { version } = await server.client.maintenance.call("Status");
  const parts = /^(\d+)\.(\d+)\.(\d+)$/.exec(version)?.slice(1).map(Number);
  assert.ok(parts, `${version} is a semantic version`);
  const [major, minor, patch] = parts as [number, number, number];
  const order = major * 1e6 + minor * 1e3 + patch;
  assert.ok(order >= 3_005_013, "k8s.io/apiserver wants 3.5.13 at least");
});

Deno.test("calls that require a leader find one", async () => {
  await using server = await startTestServer();
  const metadata = new grpc.Metadata();
  metadata.set("hasleader", "true");
  const request = { key: Buffer.from(crypto.randomUUID()) };
  const answer = await server.client.kv.call("Range", request, {}, metadata);
  assert.equal(answer.count, "0");
});

for (
  const [path, expected] of [["/health", '"health":"true"'], ["/readyz", ""]]
) {
  Deno.test(`${path} says that the endpoint is well`, async () => {
    await using server = await startTestServer();
    const body = await new Promise<string>((resolve, reject) => {
      get(`http://${server.address}${path}`, (response) => {
        assert.equal(response.statusCode, 200);
        let text = "";
        response.on("data", (chunk) => text += chunk);
        response.on("end", () => resolve(text));
      }).on("error", reject);
    });
    assert.ok(body.includes(expected!), body);
  });
}

Deno.test("the prober's key that is not there is no error", async () => {
  await using server = await startTestServer();
  const { kvs, count } = await server.client.range("/registry/health");
  assert.deepEqual([kvs, count], [[], "0"]);
});
