import assert from "node:assert/strict";
import { utf8 } from "../../../src/base/bytes.ts";
import { DomainError } from "../../../src/base/errors.ts";
import { request, show, WatchFixture } from "./fixture.ts";

const BIG = "x".repeat(100_000);

Deno.test("WatchHub.committed() offers a batch as one response whose header names its last revision", () => {
  const f = new WatchFixture();
  const s = f.open();
  s.watch("a-c");
  f.history.commit(
    [{ key: "a", value: "1" }, { key: "b", value: "1" }],
    [{ key: "c", value: "no" }],
    [{ key: "a", value: undefined }],
    [{ key: "c", value: "no" }],
  );
  const [response, ...rest] = s.writer.take();
  assert.equal(rest.length, 0);
  assert.equal(show(response!.events), "a@2 b@2 -a@4");
  assert.equal(response!.revision, 4);
  const [, , tombstone] = response!.events;
  assert.equal(tombstone!.kv!.createRevision, 0);
  assert.equal(tombstone!.kv!.version, 0);
});

Deno.test("WatchHub.committed() sends a response for a key, a range and everything from a key on", () => {
  const f = new WatchFixture();
  const s = f.open();
  for (const range of ["b", "a-c", "b-", "\0-", "c", "bb-c", "b-b\0"]) {
    s.watch(range);
  }
  f.history.put("b");
  assert.deepEqual(
    s.writer.take().map((r) => r.watchId).sort(),
    [0, 1, 2, 3, 6],
  );
  f.history.put("bb");
  assert.deepEqual(
    s.writer.take().map((r) => r.watchId).sort(),
    [1, 2, 3, 5],
  );
});

Deno.test("WatchHub.committed() sends the same bytes to all watchers that look alike", () => {
  const f = new WatchFixture();
  const streams = Array.from({ length: 5 }, () => f.open());
  for (const s of streams) s.watch("k-l", { prevKv: true });
  const other = f.open();
  other.watch("k-l");
  f.history.put("k", "k");
  const [first] = streams.map((s) => s.writer.sent.at(-1)!);
  for (const s of streams) assert.equal(s.writer.sent.at(-1), first);
  assert.notEqual(other.writer.sent.at(-1), first);
  assert.equal(streams[0]!.events(), "k@2 | k@3(2)");
  assert.equal(other.events(), "k@2 | k@3");
});

Deno.test("watchers of one range and id are told apart by each of their options", () => {
  const options = [
    {},
    { prevKv: true },
    { fragment: true },
    { skipPuts: true },
    { skipDeletes: true },
  ];
  for (const order of [options, options.toReversed()]) {
    const f = new WatchFixture({ fragmentBytes: 1 });
    f.history.put("k", "l");
    const streams = order.map((more) => {
      const s = f.open();
      s.watch("k-m", more);
      return s;
    });
    f.history.commit([{ key: "k", value: "" }, { key: "l", value: undefined }]);
    assert.deepEqual(
      order.map((more, i) => [more, streams[i]!.events()]),
      order.map((more) => [
        more,
        {
          prevKv: "k@4(2) -l@4(3)",
          fragment: "k@4 | -l@4",
          skipPuts: "-l@4",
          skipDeletes: "k@4",
        }[Object.keys(more)[0]!] ?? "k@4 -l@4",
      ]),
    );
  }
});

Deno.test("watchers that look alike leave in any order, and those that stay get each event once", () => {
  for (
    const order of [[0, 1, 2, 3], [3, 2, 1, 0], [0, 3, 1, 2], [1, 0, 3, 2]]
  ) {
    const f = new WatchFixture();
    const streams = [0, 1, 2, 3].map(() => f.open());
    for (const s of streams) s.watch("k");
    for (const leaving of order) {
      f.history.put("k");
      for (const s of streams) {
        assert.equal(s.writer.take().length, s.stream.isClosed ? 0 : 1);
      }
      streams[leaving]!.stream.close();
    }
    f.assertEmpty();
  }
});

Deno.test("WatchHub.committed() cuts large batches between revisions, and the headers keep pace", () => {
  const f = new WatchFixture({ maxResponseBytes: 1000 });
  const s = f.open();
  s.watch("a-z");
  const put = (key: string, bytes: number) => ({
    key,
    value: "x".repeat(bytes),
  });
  f.history.commit(
    [put("a", 300), put("b", 300)],
    [put("c", 300)],
    [put("d", 300)],
    [put("e", 3000), put("f", 3000)],
    [put("g", 1)],
  );
  const responses = s.writer.take();
  assert.deepEqual(responses.map((r) => show(r.events)), [
    "a@2 b@2 c@3",
    "d@4",
    "e@5 f@5",
    "g@6",
  ]);
  assert.deepEqual(responses.map((r) => r.revision), [3, 4, 5, 6]);
  assert.ok(responses.every((r) => !r.fragment));
});

Deno.test("a watcher with fragment gets one large revision in parts below the limit, in order", () => {
  const f = new WatchFixture({ fragmentBytes: 1000 });
  const whole = f.open();
  const parts = f.open();
  whole.watch("a-z");
  parts.watch("a-z", { fragment: true, id: 300 });
  const put = (key: string, bytes: number) => ({
    key,
    value: "x".repeat(bytes),
  });
  f.history.commit([
    put("a", 400),
    put("b", 400),
    put("c", 400),
    put("d", 5000),
    put("e", 400),
  ]);
  const received = parts.writer.take();
  assert.deepEqual(received.map((r) => [show(r.events), r.fragment]), [
    ["a@2 b@2", true],
    ["c@2", true],
    ["d@2", true],
    ["e@2", false],
  ]);
  for (const { bytes, events, revision, watchId } of received) {
    assert.ok(bytes < 1000 || events.length === 1);
    assert.deepEqual([revision, watchId], [2, 300]);
  }
  assert.equal(whole.events(), "a@2 b@2 c@2 d@2 e@2");
});

Deno.test("a fragment is as large as the limit allows, and not a byte larger", () => {
  const value = "x".repeat(400);
  const size = (() => {
    const f = new WatchFixture();
    const s = f.open();
    s.watch("a-z", { fragment: true });
    f.history.commit([{ key: "a", value }, { key: "b", value }]);
    return s.writer.take()[0]!.bytes;
  })();
  for (const [limit, count] of [[size + 1, 1], [size, 2]] as const) {
    const f = new WatchFixture({ fragmentBytes: limit });
    const s = f.open();
    s.watch("a-z", { fragment: true });
    f.history.commit([{ key: "a", value }, { key: "b", value }]);
    assert.equal(s.writer.take().length, count, `limit ${limit}`);
  }
});

Deno.test("a part that is not the last stays below the limit, and not a byte more than it must", () => {
  const partsAt = (fragmentBytes: number) => {
    const f = new WatchFixture({ fragmentBytes });
    const s = f.open();
    s.watch("a-z", { fragment: true });
    f.history.commit(
      ["a", "b", "c"].map((key) => ({ key, value: "x".repeat(400) })),
    );
    return s.writer.take();
  };
  const size = partsAt(1000)[0]!.bytes;
  const shape = (limit: number) => partsAt(limit).map((r) => r.events.length);
  assert.deepEqual(shape(size + 1), [2, 1]);
  assert.deepEqual(shape(size), [1, 1, 1]);
});

Deno.test("filtered events produce no response at all", async () => {
  const f = new WatchFixture();
  const s = f.open();
  s.watch("k", { skipPuts: true, id: 1 });
  s.watch("k", { skipDeletes: true, id: 2 });
  s.watch("k", { skipDeletes: true, skipPuts: true, id: 3 });
  f.history.put("k", "k");
  f.history.delete("k");
  const seen = () => s.writer.take().map((r) => [r.watchId, show(r.events)]);
  assert.deepEqual(seen(), [[2, "k@2"], [2, "k@3"], [1, "-k@4"]]);
  s.watch("k", { skipPuts: true, id: 4, startRevision: 2 });
  s.watch("k", { skipDeletes: true, skipPuts: true, id: 5, startRevision: 2 });
  await f.settle();
  assert.deepEqual(seen(), [[4, "-k@4"]]);
});

Deno.test("WatchStream.create() picks ids from 0 on and skips those in use; ids are not used twice", () => {
  const f = new WatchFixture();
  const s = f.open();
  assert.equal(s.watch("a", { id: 1 }), 1);
  assert.deepEqual(["a", "a", "a"].map((key) => s.watch(key)), [0, 2, 3]);
  s.cancel(2);
  assert.equal(s.watch("a"), 4);
  assert.equal(s.watch("a", { id: 2 }), 2);
  assert.equal(s.watch("a", { id: -9 }), -9);
  const other = f.open();
  assert.equal(other.watch("a"), 0);
});

Deno.test("WatchStream.create() refuses duplicates, empty ranges and too many watchers, silently", () => {
  const f = new WatchFixture({ maxWatchersPerStream: 2 });
  const s = f.open();
  s.watch("a", { id: 5 });
  const create = (range: string, id = 0) =>
    s.stream.create(request(range, { id }));
  assert.equal(create("a", 5), "duplicateId");
  assert.equal(create("b-a"), "emptyRange");
  assert.equal(create("a-a"), "emptyRange");
  assert.equal(create("b-a", 5), "emptyRange");
  assert.equal(s.writer.take().length, 0);
  s.watch("a");
  assert.equal(create("a"), "tooManyWatchers");
  s.cancel(0);
  s.watch("a");
  s.stream.close();
  f.assertEmpty();
});

Deno.test("WatchStream.refuse() answers created and canceled at once, for no watcher", () => {
  const f = new WatchFixture();
  f.history.put("a");
  const s = f.open();
  s.stream.refuse("because");
  const [r] = s.writer.take();
  assert.deepEqual(
    [r!.created, r!.canceled, r!.watchId, r!.cancelReason, r!.revision],
    [true, true, -1, "because", 2],
  );
  assert.equal(r!.compactRevision, 0);
});

Deno.test("WatchStream.cancel() answers without a reason and nothing follows; an unknown id is ignored", async () => {
  const f = new WatchFixture();
  const s = f.open();
  f.history.put("a");
  const live = s.watch("a");
  const past = s.watch("a", { startRevision: 2 });
  const future = s.watch("a", { startRevision: 9 });
  for (const id of [live, past, future, 99, live]) s.cancel(id);
  assert.deepEqual(
    s.writer.take().map((r) => [
      r.watchId,
      r.canceled,
      r.created,
      r.cancelReason,
      r.revision,
    ]),
    [live, past, future].map((id) => [id, true, false, "", 2]),
  );
  await f.settle();
  f.history.put("a", "a", "a", "a", "a", "a", "a", "a");
  await f.settle();
  assert.equal(s.events(), "");
  s.stream.close();
  f.assertEmpty();
});

Deno.test("a watcher with a start in the past catches up inclusively and goes on live", async () => {
  const f = new WatchFixture();
  f.history.put("a", "b", "a", "a");
  const s = f.open();
  s.watch("a", { startRevision: 4 });
  s.watch("a", { startRevision: 5 });
  assert.equal(s.events(), "", "created comes first, events later");
  await f.settle();
  assert.deepEqual(
    s.writer.take().map((r) => [r.watchId, show(r.events), r.revision]),
    [[0, "a@4 a@5", 5], [1, "a@5", 5]],
  );
  f.history.put("a");
  assert.equal(s.events(), "a@6 | a@6");
  assert.equal(f.hub.stats.slowWatchers, 0);
});

Deno.test("a header while catching up names the page's last revision, not the store's newest", async () => {
  const f = new WatchFixture({ catchUpBytes: 1 });
  f.history.put("a", "b", "a", "b");
  const s = f.open();
  s.watch("a", { startRevision: 2 });
  await f.settle();
  assert.deepEqual(
    s.writer.take().map((r) => [show(r.events), r.revision]),
    [["a@2", 2], ["a@4", 4]],
  );
});

Deno.test("a commit while history is being read is neither lost nor seen twice", async () => {
  const f = new WatchFixture();
  f.history.put("a", "a");
  f.history.asyncBefore = 100;
  const s = f.open();
  s.watch("a", { startRevision: 2 });
  s.watch("a");
  await f.settle();
  f.history.put("a");
  assert.equal(f.hub.stats.slowWatchers, 1);
  f.history.pending.shift()!.answer();
  f.history.put("a");
  await f.answerAll();
  f.history.put("a");
  const seen = [0, 0];
  for (const { watchId, events } of s.writer.take()) {
    for (const { kv } of events) {
      const expected = seen[watchId] || (watchId === 0 ? 2 : 4);
      assert.equal(kv!.modRevision, expected);
      seen[watchId] = expected + 1;
    }
  }
  assert.deepEqual(seen, [7, 7]);
});

Deno.test("a watcher with a start in the future is silent until then, and not synced before", async () => {
  const f = new WatchFixture();
  const s = f.open();
  s.watch("a", { startRevision: 4 });
  f.history.put("a", "a");
  s.stream.requestProgress();
  assert.equal(s.events(), "");
  f.history.put("a");
  assert.equal(s.events(), "a@4");
  s.stream.requestProgress();
  assert.deepEqual(s.writer.take().map((r) => [r.watchId, r.revision]), [
    [-1, 4],
  ]);
  s.watch("a", { startRevision: 6 });
  f.history.commit(
    [{ key: "a", value: "" }],
    [{ key: "a", value: "" }],
    [{ key: "a", value: "" }],
  );
  await f.settle();
  assert.deepEqual(
    s.writer.take().map((r) => [r.watchId, show(r.events)]),
    [[0, "a@5 a@6 a@7"], [1, "a@6 a@7"]],
  );
});

Deno.test("a watcher whose start is the next revision gets no progress before that revision", () => {
  const f = new WatchFixture();
  const s = f.open();
  s.watch("a", { startRevision: 2 });
  s.stream.requestProgress();
  assert.equal(s.writer.take().length, 0);
  f.history.put("b");
  s.stream.requestProgress();
  assert.deepEqual(s.writer.take().map((r) => r.revision), [2]);
});

Deno.test("a start below the compact revision is created, then canceled with that revision and header 0", async () => {
  const f = new WatchFixture();
  f.history.put("a", "a", "a");
  f.history.compact(3);
  const s = f.open();
  s.watch("a", { startRevision: 2 });
  s.watch("a", { startRevision: 3 });
  await f.settle();
  const [canceled, events, ...rest] = s.writer.take();
  assert.equal(rest.length, 0);
  assert.deepEqual([
    canceled!.watchId,
    canceled!.canceled,
    canceled!.compactRevision,
    canceled!.cancelReason,
    canceled!.revision,
  ], [0, true, 3, "", 0]);
  assert.equal(show(events!.events), "a@3 a@4");
  assert.equal(f.hub.stats.watchers, 1);
});

Deno.test("WatchStream.cancel() of a watcher that compaction ended is answered once", async () => {
  const f = new WatchFixture();
  f.history.put("a", "a", "a");
  f.history.compact(4);
  const s = f.open();
  s.watch("a", { startRevision: 2, id: 5 });
  await f.answerAll();
  assert.equal(s.writer.take()[0]!.compactRevision, 4);
  s.cancel(5);
  s.cancel(5);
  assert.deepEqual(
    s.writer.take().map((r) => [r.watchId, r.canceled, r.compactRevision]),
    [[5, true, 0]],
  );
  // Of many, the newest are remembered; an id that is taken again is a watcher's.
  for (let i = 0; i < 1025; i++) s.watch("a", { startRevision: 2, id: 10 + i });
  await f.answerAll();
  s.watch("a", { id: 11 });
  s.writer.take();
  for (const id of [10, 11, 11, 12]) s.cancel(id);
  assert.deepEqual(s.writer.take().map((r) => r.watchId), [11, 12]);
});

Deno.test("compaction that overtakes a read cancels those below it and serves the others", async () => {
  const f = new WatchFixture();
  f.history.put("a", "a", "a");
  f.history.asyncBefore = 100;
  const s = f.open();
  s.watch("a", { startRevision: 2 });
  s.watch("a", { startRevision: 4 });
  await f.settle();
  f.history.compact(4);
  await f.answerAll();
  const [canceled, events] = s.writer.take();
  assert.deepEqual([canceled!.watchId, canceled!.compactRevision], [0, 4]);
  assert.deepEqual([events!.watchId, show(events!.events)], [1, "a@4"]);
  assert.equal(f.log.messages("warn").length, 0);
});

Deno.test("a stream that is not read holds bounded bytes, lets its watcher go, and gets everything once it drains", async () => {
  const f = new WatchFixture({ maxStreamBufferBytes: 256 << 10 });
  const s = f.open();
  const fast = f.open();
  s.watch("k");
  fast.watch("k");
  s.writer.isReading = false;
  for (let i = 0; i < 500; i++) {
    f.history.commit([{ key: "k", value: BIG }]);
  }
  await f.settle();
  assert.ok(s.writer.maxBufferedBytes < (256 << 10) + 110_000);
  assert.equal(f.hub.stats.slowWatchers, 1);
  assert.ok(f.hub.stats.pendingRevisions > 490);
  assert.equal(f.history.reads, 0, "a slow watcher does not read history");
  assert.equal(fast.writer.take().length, 500);
  while (f.hub.stats.slowWatchers > 0) {
    s.writer.drain();
    await f.settle();
  }
  assert.ok(s.writer.maxBufferedBytes < (256 << 10) + (1 << 20) + 110_000);
  f.history.put("k");
  const revisions = s.writer.take().flatMap((r) =>
    r.events.map((e) => e.kv!.modRevision)
  );
  assert.deepEqual(
    revisions,
    Array.from({ length: 501 }, (_, i) => i + 2),
  );
});

Deno.test("a watcher that is made on a full stream waits for it to drain before it reads history", async () => {
  const f = new WatchFixture();
  f.history.put("a");
  const s = f.open();
  s.writer.isReading = false;
  s.writer.bufferedBytes = 2 << 20;
  s.watch("a", { startRevision: 2 });
  await f.settle();
  assert.equal(f.history.reads, 0);
  s.writer.drain();
  await f.settle();
  assert.equal(s.events(), "a@2");
});

Deno.test("a revision's fragments are not torn apart by a stream that fills up", async () => {
  const f = new WatchFixture({
    maxStreamBufferBytes: 64 << 10,
    maxResponseBytes: 100_000,
    fragmentBytes: 120_000,
  });
  const s = f.open();
  s.watch("a-z", { fragment: true });
  s.writer.isReading = false;
  const big = (key: string) => ({ key, value: BIG });
  f.history.commit([big("a"), big("b"), big("c")], [big("d"), big("e")]);
  assert.equal(f.hub.stats.slowWatchers, 1);
  assert.deepEqual(
    s.writer.take().map((r) => [show(r.events), r.fragment]),
    [["a@2", true], ["b@2", true], ["c@2", false]],
  );
  s.writer.drain();
  await f.settle();
  assert.deepEqual(
    s.writer.take().map((r) => [show(r.events), r.fragment]),
    [["d@3", true], ["e@3", false]],
  );
});

Deno.test("a client that keeps asking without reading loses its stream", () => {
  const f = new WatchFixture({
    maxStreamBufferBytes: 64 << 10,
    maxUnreadControlBytes: 10_000,
  });
  const s = f.open();
  s.writer.isReading = false;
  let asked = 0;
  for (; s.errors.length === 0 && asked < 100_000; asked++) {
    s.stream.create(request("a"));
  }
  assert.deepEqual(s.errors.map((e) => e.kind), ["tooManyRequests"]);
  assert.ok(s.writer.maxBufferedBytes < (64 << 10) + 10_200);
  f.assertEmpty();
  s.stream.create(request("a"));
  s.cancel(0);
  s.stream.requestProgress();
  f.assertEmpty();
});

Deno.test("a client that reads now and then may ask as often as it likes", () => {
  const f = new WatchFixture({
    maxStreamBufferBytes: 64 << 10,
    maxUnreadControlBytes: 10_000,
  });
  const s = f.open();
  s.writer.isReading = false;
  let drains = 0;
  for (let i = 0; i < 20_000; i++) {
    s.stream.refuse("no");
    if (s.writer.bufferedBytes < (64 << 10) + 6000) continue;
    s.writer.drain();
    drains++;
  }
  assert.ok(drains > 2);
  assert.equal(s.errors.length, 0);
});

Deno.test("prev_kv that has to be fetched holds back only those who want it, in order", async () => {
  const f = new WatchFixture();
  const s = f.open();
  const plain = f.open();
  s.watch("k", { prevKv: true });
  plain.watch("k");
  f.history.put("k");
  assert.equal(s.events(), "k@2");
  f.history.fetchesPrevious = true;
  f.history.put("k");
  f.history.put("k");
  assert.equal(plain.events(), "k@2 | k@3 | k@4");
  await f.settle();
  assert.equal(s.events(), "");
  await f.answerAll();
  assert.equal(s.events(), "k@3(2) k@4(3)");
  assert.equal(f.hub.stats.slowWatchers, 0);
  f.history.fetchesPrevious = false;
  f.history.delete("k");
  assert.equal(s.events(), "-k@5(4)");
});

Deno.test("prev_kv works while catching up, whether it has to be fetched or not", async () => {
  for (const fetches of [false, true]) {
    const f = new WatchFixture();
    f.history.put("a", "b", "a", "b");
    f.history.fetchesPrevious = fetches;
    const s = f.open();
    s.watch("a", { prevKv: true, startRevision: 2 });
    s.watch("b", { prevKv: true, startRevision: 2 });
    s.watch("b", { startRevision: 2 });
    await f.answerAll();
    assert.deepEqual(
      s.writer.take().map((r) => [r.watchId, show(r.events)]).sort(),
      [[0, "a@2 a@4(2)"], [1, "b@3 b@5(3)"], [2, "b@3 b@5"]],
    );
    assert.equal(f.history.previousReads, fetches ? 1 : 0);
  }
});

Deno.test("progress notices come once per interval, to synced and quiet watchers only", async () => {
  const f = new WatchFixture({ progressIntervalMs: 1600 });
  const s = f.open();
  const quiet = s.watch("quiet", { progressNotify: true });
  const busy = s.watch("busy", { progressNotify: true });
  s.watch("other");
  s.watch("quiet", { progressNotify: true, startRevision: 99 });
  f.clock.advance(1600);
  f.history.put("busy", "other");
  s.writer.take();
  f.clock.advance(1600);
  assert.deepEqual(
    s.writer.take().map((r) => [r.watchId, r.revision, r.events.length]),
    [[quiet, 3, 0]],
  );
  f.clock.advance(1600);
  assert.deepEqual(
    s.writer.take().map((r) => r.watchId).sort(),
    [quiet, busy],
  );
  f.history.asyncBefore = 100;
  s.watch("quiet", { progressNotify: true, startRevision: 2 });
  await f.settle();
  f.clock.advance(1600);
  assert.deepEqual(
    s.writer.take().map((r) => r.watchId).sort(),
    [quiet, busy],
  );
  s.stream.close();
  f.clock.advance(16_000);
  assert.equal(s.writer.take().length, 0);
});

Deno.test("events from history put a progress notice off as others do", async () => {
  const f = new WatchFixture({ progressIntervalMs: 1600 });
  f.history.put("a");
  const s = f.open();
  s.watch("a", { startRevision: 2, progressNotify: true });
  await f.settle();
  assert.equal(s.events(), "a@2");
  f.clock.advance(1600);
  assert.equal(s.writer.take().length, 0);
  f.clock.advance(1600);
  assert.equal(s.writer.take().length, 1);
});

Deno.test("no timer runs once nobody wants progress", () => {
  const f = new WatchFixture({ progressIntervalMs: 1600 });
  const after = f.clock.after.bind(f.clock);
  let timers = 0;
  f.clock.after = (delayMs, fire) => {
    timers++;
    return after(delayMs, fire);
  };
  const s = f.open();
  for (let i = 0; i < 3; i++) s.watch("a", { progressNotify: true });
  f.clock.advance(1600);
  assert.ok(timers > 10);
  for (const id of [0, 2, 1]) s.cancel(id);
  timers = 0;
  f.clock.advance(16_000);
  assert.equal(timers, 0);
});

Deno.test("progress notices are at most a tenth late, and never early", () => {
  for (const random of [0, 0.999]) {
    const f = new WatchFixture({
      progressIntervalMs: 1000,
      random: () => random,
    });
    const s = f.open();
    s.watch("k", { progressNotify: true });
    f.clock.advance(1100);
    s.writer.take();
    let count = 0;
    for (let ms = 0; ms < 11_000; ms++) {
      f.clock.advance(1);
      count += s.writer.take().length;
    }
    assert.equal(count, random === 0 ? 11 : 10);
  }
});

Deno.test("a full stream is sent no progress notices", () => {
  const f = new WatchFixture({ progressIntervalMs: 1000 });
  const s = f.open();
  s.watch("k", { progressNotify: true });
  s.writer.isReading = false;
  s.writer.bufferedBytes = 2 << 20;
  f.clock.advance(5000);
  assert.equal(s.writer.take().length, 0);
});

Deno.test("WatchStream.requestProgress() answers behind all events, only if all watchers are synced", async () => {
  const f = new WatchFixture();
  const s = f.open();
  s.stream.requestProgress();
  assert.equal(s.writer.take().length, 0, "no watcher, no answer");
  s.watch("a");
  f.history.put("a", "b");
  s.stream.requestProgress();
  assert.deepEqual(
    s.writer.take().map((r) => [r.watchId, r.revision, show(r.events)]),
    [[0, 2, "a@2"], [-1, 3, ""]],
  );
  f.history.asyncBefore = 100;
  const behind = s.watch("z", { startRevision: 2 });
  await f.settle();
  s.stream.requestProgress();
  assert.equal(s.writer.take().length, 0, "not while one is behind");
  await f.answerAll();
  assert.equal(s.writer.take().length, 0, "and not later of itself");
  s.stream.requestProgress();
  assert.deepEqual(
    s.writer.take().map((r) => [r.watchId, r.revision]),
    [[-1, 3]],
    "a watcher without events gets synced, too",
  );
  s.cancel(behind);
});

Deno.test("WatchStream.close() leaves nothing behind, in whatever state the watchers are", async () => {
  const f = new WatchFixture({ maxStreamBufferBytes: 64 << 10 });
  f.history.put("a", "b");
  const s = f.open();
  s.watch("a");
  s.watch("a-z", { progressNotify: true, prevKv: true });
  s.watch("a", { startRevision: 50 });
  s.writer.isReading = false;
  f.history.commit([{ key: "a", value: BIG }]);
  f.history.commit([{ key: "a", value: BIG }]);
  f.history.asyncBefore = 100;
  s.stream.create(request("b-c", { startRevision: 2 }));
  await f.settle();
  const other = f.open();
  other.watch("b", { startRevision: 2, progressNotify: true });
  await f.settle();
  assert.equal(f.hub.stats.watchers, 5);
  s.stream.close();
  other.stream.close();
  s.stream.close();
  f.assertEmpty();
  await f.answerAll();
  f.assertEmpty();
  f.history.put("a", "b");
  f.assertEmpty();
});

Deno.test("a stream that closes while a commit is offered disturbs no other", () => {
  for (const victim of [0, 1, 2, 3]) {
    const f = new WatchFixture();
    const streams = Array.from({ length: 4 }, () => f.open());
    for (const s of streams) {
      s.watch("a-c", { id: 3 });
      s.watch("a-c", { id: 4 });
      s.watch("b");
    }
    streams[1]!.writer.onSend = () => {
      if (streams[victim]!.stream.isClosed) return;
      streams[victim]!.stream.close();
      streams[victim]!.writer.onSend = () => {
        assert.equal(victim, 1, "a closed stream is sent nothing more");
      };
    };
    f.history.commit([{ key: "a", value: "" }, { key: "b", value: "" }]);
    streams.forEach((s, i) => {
      s.writer.onSend = () => {};
      if (i !== victim) assert.equal(s.writer.take().length, 3);
    });
    f.history.put("b");
    streams.forEach((s, i) => {
      if (i !== victim) assert.equal(s.writer.take().length, 3);
      s.stream.close();
    });
    f.assertEmpty();
  }
});

Deno.test("reading history is tried again after a failure, and the streams end when it goes on failing", async () => {
  const f = new WatchFixture({ maxReadAttempts: 3 });
  f.history.put("a");
  f.history.failure = new Error("the disk is on fire");
  const s = f.open();
  s.watch("a", { startRevision: 2 });
  await f.settle();
  f.clock.advance(99);
  await f.settle();
  assert.equal(f.history.reads, 1);
  f.history.failure = undefined;
  f.clock.advance(1);
  await f.settle();
  assert.equal(s.events(), "a@2");
  assert.equal(f.log.messages("warn").length, 1);

  f.history.failure = new Error("the disk is on fire");
  const other = f.open();
  other.watch("a", { startRevision: 2 });
  other.watch("a");
  for (let i = 0; i < 5; i++) {
    await f.settle();
    f.clock.advance(1000);
  }
  assert.deepEqual(other.errors.map((e) => e.kind), ["unhealthy"]);
  assert.equal(f.log.messages("error").length, 1);
  assert.equal(s.errors.length, 0);
  assert.equal(f.hub.stats.watchers, 1);
});

Deno.test("a rejected, an endless and a standing read count as failures", async () => {
  const f = new WatchFixture({ readTimeoutMs: 1000 });
  f.history.put("a");
  f.history.asyncBefore = 100;
  const s = f.open();
  s.watch("a", { startRevision: 2 });
  await f.settle();
  f.history.pending.shift()!.fail(new Error("gone"));
  await f.settle();
  f.clock.advance(100);
  await f.settle();
  const endless = f.history.pending.shift()!;
  f.clock.advance(1000);
  await f.settle();
  f.clock.advance(200);
  await f.settle();
  endless.answer();
  await f.settle();
  assert.equal(s.events(), "", "what comes too late is not used");
  f.history.pending.shift()!.answer();
  await f.settle();
  assert.equal(s.events(), "a@2");
  assert.equal(f.log.messages("warn").length, 2);
  f.history.eventsAfter = (rev) => ({ events: [], throughRevision: rev });
  s.watch("a", { startRevision: 2 });
  await f.settle();
  assert.equal(f.log.messages("warn").length, 3);
});

Deno.test("a read that succeeds makes up for failures before it", async () => {
  const f = new WatchFixture({ maxReadAttempts: 2, catchUpBytes: 1 });
  f.history.put("a", "b", "c");
  const s = f.open();
  f.history.asyncBefore = 100;
  s.watch("a", { startRevision: 2 });
  s.watch("c", { startRevision: 4 });
  for (const _ of [1, 2]) {
    await f.settle();
    f.history.pending.shift()!.fail(new Error("gone"));
    await f.settle();
    f.clock.advance(100);
    await f.settle();
    f.history.pending.shift()!.answer();
  }
  await f.answerAll();
  assert.equal(s.errors.length, 0);
  assert.equal(f.log.messages("warn").length, 2);
  assert.deepEqual(s.events().split(" | ").sort(), ["a@2", "c@4"]);
});

Deno.test("previous values that cannot be fetched are tried again", async () => {
  const f = new WatchFixture();
  const s = f.open();
  s.watch("k", { prevKv: true });
  f.history.fetchesPrevious = true;
  f.history.put("k");
  f.history.pending.shift()!.fail(new Error("gone"));
  await f.settle();
  f.history.pending.shift()!.fail(new Error("still gone"));
  await f.settle();
  f.clock.advance(100);
  await f.answerAll();
  assert.equal(s.events(), "k@2");
});

Deno.test("commits that were not announced are read from history", async () => {
  const f = new WatchFixture();
  const s = f.open();
  s.watch("a");
  f.history.put("a");
  f.history.append([{ key: "a", value: "unannounced" }]);
  s.stream.requestProgress();
  assert.deepEqual(
    s.writer.take().map((r) => [show(r.events), r.revision]),
    [["a@2", 2], ["", 2]],
    "progress does not overtake what was not announced",
  );
  f.history.put("a");
  await f.settle();
  assert.equal(s.events(), "a@3 a@4");
  f.history.append([{ key: "a", value: "unannounced" }]);
  f.open().watch("b");
  await f.settle();
  assert.equal(s.events(), "a@5", "a newcomer shows that there is more");
  f.history.put("a");
  assert.equal(s.events(), "a@6");
});

Deno.test("watchers that are behind share pages, and none is held up by the one that is furthest", async () => {
  const f = new WatchFixture({ catchUpBytes: 2000 });
  for (let i = 0; i < 300; i++) f.history.put("a", "b");
  const s = f.open();
  for (let i = 0; i < 100; i++) {
    s.watch(i % 2 === 0 ? "a" : "b", { startRevision: 560 + (i % 10) });
  }
  const alone = f.history.pages;
  assert.equal(alone, 0);
  await f.settle();
  assert.equal(f.hub.stats.slowWatchers, 0);
  assert.ok(f.history.pages < 10, `${f.history.pages} pages`);

  f.history.asyncBefore = 500;
  const far = f.open();
  far.watch("a", { startRevision: 2 });
  await f.settle();
  const near = f.open();
  near.watch("a", { startRevision: 600 });
  await f.settle();
  assert.equal(near.events(), "a@600");
  assert.equal(far.events(), "");
});

Deno.test("catching up goes on after the event loop had its turn, and reaches the end", async () => {
  const f = new WatchFixture();
  for (let i = 0; i < 2000; i++) f.history.put("k");
  const streams = Array.from({ length: 200 }, () => f.open());
  streams.forEach((s, i) => s.watch("k", { startRevision: 2 + i }));
  await Promise.resolve();
  const { slowWatchers } = f.hub.stats;
  assert.ok(slowWatchers > 0, "not all in one turn");
  for (let i = 0; i < 100 && f.hub.stats.slowWatchers > 0; i++) {
    await f.settle();
  }
  streams.forEach((s, i) => {
    const revisions = s.writer.take().flatMap((r) =>
      r.events.map((e) => e.kv!.modRevision)
    );
    assert.deepEqual(
      revisions,
      Array.from({ length: 2000 - i }, (_, j) => 2 + i + j),
    );
  });
});

Deno.test("a commit among 10,000 watched keys costs what it does among 100", () => {
  const costOf = (keys: number) => {
    const f = new WatchFixture();
    const streams = Array.from({ length: 100 }, () => f.open());
    for (let i = 0; i < keys; i++) streams[i % 100]!.watch(`key ${i}`);
    let sent = 0;
    for (const s of streams) s.writer.onSend = () => sent++;
    const commits = 500;
    let best = Infinity;
    for (let round = 1; round <= 6; round++) {
      const start = performance.now();
      for (let i = 0; i < commits; i++) {
        f.history.commit([{ key: `key ${i * 3 % keys}`, value: "v" }]);
      }
      best = Math.min(best, performance.now() - start);
      assert.equal(sent, commits * round);
    }
    assert.equal(f.hub.stats.interests, keys);
    for (const s of streams) s.stream.close();
    f.assertEmpty();
    return best;
  };
  const few = costOf(100);
  const many = costOf(10_000);
  assert.ok(many < few * 20, `${many} ms against ${few} ms`);
});

Deno.test("WatchHub.close() ends all streams and reads no more", async () => {
  const f = new WatchFixture();
  f.history.put("a");
  f.history.asyncBefore = 100;
  const streams = [f.open(), f.open()];
  streams[0]!.watch("a", { progressNotify: true });
  streams[1]!.watch("a", { startRevision: 2 });
  await f.settle();
  f.hub.close();
  assert.deepEqual(
    streams.map((s) => s.errors.map((e) => e.kind)),
    [["stopped"], ["stopped"]],
  );
  f.assertEmpty();
  await f.answerAll();
  f.clock.advance(1e6);
  assert.deepEqual(streams.map((s) => s.writer.take().length), [0, 0]);
});

Deno.test("a compacted error that compaction does not explain counts as a failure", async () => {
  const f = new WatchFixture();
  f.history.put("a");
  f.history.failure = new DomainError("compacted");
  const s = f.open();
  s.watch("a", { startRevision: 2 });
  await f.settle();
  assert.equal(f.log.messages("warn").length, 1);
  assert.equal(f.hub.stats.watchers, 1);
});

Deno.test("a watcher's range does not change with the request's buffer", () => {
  const f = new WatchFixture();
  const s = f.open();
  const start = utf8("a");
  s.stream.create({
    ...request("a"),
    range: { start, end: undefined, isSingle: true },
  });
  start[0] = 0x7a;
  f.history.put("z", "a");
  s.writer.take();
  s.stream.close();
  f.assertEmpty();
});
