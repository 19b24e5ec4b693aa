import assert from "node:assert/strict";
import type {
  EtcdClient,
  Message,
  WatchClient,
} from "../support/etcd_client.ts";
import { eventually } from "../support/failure.ts";
import { describeEvent, KubernetesStorage } from "../support/kubernetes.ts";
import { Random } from "../support/random.ts";
import { startTestServer } from "../support/server.ts";

/** A store like the watch cache: a list, and what a watch says since. */
class WatchCache {
  readonly objects = new Map<string, string>();
  readonly revisions: number[] = [];
  /** Everything up to here is known. */
  revision = 0;

  constructor(
    readonly storage: KubernetesStorage,
    readonly watch: WatchClient,
  ) {}

  static async open(
    storage: KubernetesStorage,
    more: Message = {},
  ): Promise<WatchCache> {
    const cache = new WatchCache(storage, storage.client.openWatch());
    const list = await storage.list();
    for (const { key, value } of list.items) cache.objects.set(key, value);
    cache.revision = list.revision;
    const { created } = await cache.watch.create(
      storage.watchRequest(list.revision, more),
    );
    assert.equal(created, true);
    return cache;
  }

  /** Takes responses until everything up to `revision` is known. */
  async until(revision: number): Promise<void> {
    while (this.revision < revision) {
      const { header, events } = await this.watch.next();
      for (const event of events) this.#apply(event);
      this.revision = Math.max(this.revision, Number(header.revision));
    }
  }

  /** What is known is what a list of the same revision says. */
  async check(): Promise<void> {
    const { items } = await this.storage.list({ revision: this.revision });
    const listed = items.map(({ key, value }) => `${key}=${value}`);
    const known = [...this.objects].map(([key, value]) => `${key}=${value}`);
    assert.deepEqual(known.sort(), listed);
    assert.deepEqual(
      this.revisions,
      [...new Set(this.revisions)].sort((a, b) => a - b),
      "each revision once, in order",
    );
  }

  #apply(event: Message): void {
    const key = event.kv.key.toString();
    const mod = Number(event.kv.mod_revision);
    assert.ok(mod > this.revision, "nothing that was known already");
    this.revisions.push(mod);
    const before = this.objects.get(key);
    assert.equal(event.prev_kv?.value.toString(), before, "no gap");
    if (event.type === "DELETE") this.objects.delete(key);
    else this.objects.set(key, event.kv.value.toString());
  }
}

/** Creates, updates and deletes a few objects, over and over. */
async function churn(
  storage: KubernetesStorage,
  writes: number,
  seed: number,
): Promise<void> {
  const random = new Random(seed);
  for (let i = 0; i < writes; i++) {
    const name = `pod-${random.int(8)}`;
    const found = await storage.get(name);
    if (found === undefined) await storage.create(name, `${seed} ${i}`);
    else if (random.oneIn(3)) {
      await storage.delete(name, found.modRevision);
    } else await storage.update(name, `${seed} ${i}`, found.modRevision);
  }
}

Deno.test("watch has the previous object of each update and deletion", async () => {
  await using server = await startTestServer();
  const storage = new KubernetesStorage(server.client);
  const { revision } = await storage.create("a", "1");
  const watch = server.client.openWatch();
  await watch.create(storage.watchRequest(revision));
  const updated = await storage.update("a", "2", revision);
  const deleted = await storage.delete("a", updated.revision);
  await storage.create("a", "3");
  const events = await watch.events(3);
  assert.deepEqual(
    events.map((event) => describeEvent(event, storage.prefix)),
    ["~a=1→2", "-a=2", "+a=3"],
  );
  const [, deletion] = events;
  assert.deepEqual(
    [Number(deletion!.kv.mod_revision), deletion!.prev_kv.mod_revision],
    [deleted.revision, `${updated.revision}`],
    "a deleted object's version is that of its deletion",
  );
  await watch.cancel();
});

Deno.test("watch from the past has the previous objects, too", async () => {
  await using server = await startTestServer();
  const storage = new KubernetesStorage(server.client);
  let { revision } = await storage.create("a", "0");
  const start = revision;
  for (let i = 1; i <= 30; i++) {
    ({ revision } = await storage.update("a", `${i}`, revision));
  }
  await storage.delete("a", revision);
  const watch = server.client.openWatch();
  await watch.create(storage.watchRequest(start));
  const events = await watch.events(31);
  assert.deepEqual(
    events.map((event) => describeEvent(event, storage.prefix)),
    [
      ...Array.from({ length: 30 }, (_, i) => `~a=${i}→${i + 1}`),
      "-a=30",
    ],
  );
  await watch.cancel();
});

Deno.test("watch of a prefix hears of nothing else", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const storage = new KubernetesStorage(client);
  const { revision } = await storage.create("a", "1");
  const watch = client.openWatch();
  await watch.create(storage.watchRequest(revision));
  const neighbour = storage.prefix.slice(0, -1);
  for (const key of [neighbour, `${neighbour}-b/a`, storage.end, "/registry"]) {
    await client.put(key);
  }
  await storage.create("b", "1");
  assert.deepEqual(
    (await watch.next()).events.map((e: Message) =>
      describeEvent(e, storage.prefix)
    ),
    ["+b=1"],
  );
  await watch.cancel();
});

Deno.test("list and watch have no gap and no repetition under concurrent writes", async () => {
  await using server = await startTestServer();
  const storage = new KubernetesStorage(server.client);
  const writing = Promise.all(
    [1, 2, 3].map((seed) => churn(storage, 80, seed)),
  );
  const caches: WatchCache[] = [];
  for (let i = 0; i < 10; i++) {
    caches.push(await WatchCache.open(storage));
    await storage.create(`own-${i}`, "x");
  }
  await writing;
  const { revision } = await storage.create("last", "x");
  for (const cache of caches) {
    await cache.until(revision);
    await cache.check();
    await cache.watch.cancel();
  }
});

Deno.test("list and watch go on while the apiserver compacts what it has seen", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const storage = new KubernetesStorage(client);
  const cache = await WatchCache.open(storage);
  for (let round = 0; round < 5; round++) {
    await churn(storage, 30, round);
    const { revision } = await storage.create(`round-${round}`, "x");
    await cache.until(revision);
    await client.kv.call("Compact", { revision });
  }
  await cache.check();
  await cache.watch.cancel();
});

Deno.test("watch from before a compaction is told so, with the revision to list from", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const storage = new KubernetesStorage(client);
  const first = await storage.create("a", "1");
  const second = await storage.update("a", "2", first.revision);
  const third = await storage.update("a", "3", second.revision);
  await client.kv.call("Compact", { revision: third.revision });
  const watch = client.openWatch();
  await watch.create(storage.watchRequest(first.revision));
  const canceled = await watch.next();
  assert.deepEqual(
    [canceled.canceled, Number(canceled.compact_revision), canceled.events],
    [true, third.revision, []],
  );
  await watch.create(storage.watchRequest(third.revision));
  await storage.update("a", "4", third.revision);
  assert.deepEqual(
    (await watch.next()).events.map((e: Message) =>
      describeEvent(e, storage.prefix)
    ),
    ["~a=3→4"],
    "the version that the compaction kept",
  );
  await watch.cancel();
});

/** Opens `count` watches on one stream, as an apiserver has them for its resources. */
async function openWatches(
  client: EtcdClient,
  count: number,
): Promise<{ watch: WatchClient; storages: KubernetesStorage[] }> {
  const watch = client.openWatch();
  const storages = Array.from(
    { length: count },
    () => new KubernetesStorage(client),
  );
  const revision = await client.revision();
  for (const storage of storages) {
    await watch.create(storage.watchRequest(revision));
  }
  return { watch, storages };
}

Deno.test("a progress request after a write is answered behind it, for all of a stream's watches", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const { watch, storages } = await openWatches(client, 100);
  for (let round = 0; round < 20; round++) {
    const storage = storages[(round * 7) % storages.length]!;
    const { revision } = await storage.create(`${round}`, "x");
    watch.send({ progress_request: {} });
    let seen = 0;
    for (;;) {
      const { watch_id, header, events } = await watch.next();
      seen += events.length;
      if (watch_id !== "-1") continue;
      assert.ok(Number(header.revision) >= revision, "a consistent read");
      assert.equal(events.length, 0);
      break;
    }
    assert.equal(seen, 1, "the event came before the progress");
  }
  await watch.cancel();
});

Deno.test("progress never runs ahead of events, whoever writes meanwhile", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const { watch, storages } = await openWatches(client, 10);
  let written = 0;
  let isWriting = true;
  const writing = Promise.all(storages.map(async (storage, i) => {
    for (let n = 0; n < 40; n++) {
      await storage.create(`${i}-${n}`, "x");
      written++;
    }
  })).finally(() => isWriting = false);
  let progress = 0;
  let received = 0;
  const take = async () => {
    const { watch_id, header, events } = await watch.next();
    for (const event of events) {
      assert.ok(
        Number(event.kv.mod_revision) > progress,
        "promised to be past",
      );
    }
    received += events.length;
    if (watch_id !== "-1") return;
    progress = Number(header.revision);
  };
  while (isWriting) {
    watch.send({ progress_request: {} });
    await take();
  }
  await writing;
  while (received < written) await take();
  assert.equal(received, 400);
  const revision = await client.revision();
  watch.send({ progress_request: {} });
  while (progress < revision) await take();
  await watch.cancel();
});

Deno.test("a watch of a resource without objects hears of progress: bookmarks", async () => {
  await using server = await startTestServer({
    watchProgressNotifyIntervalMs: 100,
  });
  const { client } = server;
  const storage = new KubernetesStorage(client);
  const cache = await WatchCache.open(storage, { progress_notify: true });
  const { header } = await client.put(`elsewhere-${crypto.randomUUID()}`);
  await cache.until(Number(header.revision));
  assert.deepEqual(cache.revisions, [], "no event");
  const { revision } = await storage.create("a", "1");
  await cache.until(revision);
  await cache.check();
  await cache.watch.cancel();
});

Deno.test("a lease holds a thousand events, and takes them with it in one revision", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const storage = new KubernetesStorage(client);
  const { ID } = await client.lease.call("LeaseGrant", { TTL: 3600 });
  await Promise.all(
    Array.from(
      { length: 1000 },
      (_, i) => storage.create(`event-${i}`, "x", ID),
    ),
  );
  const kept = await storage.create("kept", "x");
  const moved = (await storage.get("event-0"))!;
  assert.equal(moved.lease, ID);
  await storage.update("event-0", "y", moved.modRevision);
  const cache = await WatchCache.open(storage);
  const { header } = await client.lease.call("LeaseRevoke", { ID });
  await eventually("they are gone", async () => await storage.count() === 2);
  const events = await cache.watch.events(999);
  assert.deepEqual(
    new Set(events.map((e) => `${e.type} ${e.kv.mod_revision}`)),
    new Set([`DELETE ${header.revision}`]),
  );
  assert.ok(events.every((e) => e.prev_kv.lease === ID));
  assert.equal((await storage.get("event-0"))?.lease, "0", "it had left");
  assert.ok((await storage.get("kept"))!.modRevision === kept.revision);
  await cache.watch.cancel();
});

Deno.test("an update that moves an event to another lease outlives the first", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const storage = new KubernetesStorage(client);
  const grant = async () =>
    (await client.lease.call("LeaseGrant", { TTL: 3600 })).ID;
  const [one, two] = [await grant(), await grant()];
  const { revision } = await storage.create("event", "1", one);
  await storage.update("event", "2", revision, two);
  await client.lease.call("LeaseRevoke", { ID: one });
  assert.equal((await storage.get("event"))?.lease, two);
  await client.lease.call("LeaseRevoke", { ID: two });
  assert.equal(await storage.get("event"), undefined);
});

Deno.test("a watch that is cancelled leaves the others of its stream alone", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const { watch, storages } = await openWatches(client, 2);
  const [one, two] = storages as [KubernetesStorage, KubernetesStorage];
  watch.send({ cancel_request: { watch_id: 0 } });
  assert.equal((await watch.next()).canceled, true);
  await one.create("a", "1");
  await two.create("b", "1");
  const { watch_id, events } = await watch.next();
  assert.deepEqual(
    [watch_id, events.map((e: Message) => describeEvent(e, two.prefix))],
    ["1", ["+b=1"]],
  );
  await watch.cancel();
});

Deno.test("watch from the compacted revision has its events without the objects that compaction took", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const storage = new KubernetesStorage(client);
  const first = await storage.create("a", "1");
  const second = await storage.update("a", "2", first.revision);
  await client.kv.call("Compact", { revision: second.revision });
  await storage.update("a", "3", second.revision);
  const watch = client.openWatch();
  await watch.create(storage.watchRequest(first.revision));
  const events = await watch.events(2);
  assert.deepEqual(
    events.map((event) => describeEvent(event, storage.prefix)),
    ["~a=undefined→2", "~a=2→3"],
  );
  await watch.cancel();
});
