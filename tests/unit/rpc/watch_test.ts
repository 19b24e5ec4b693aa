import assert from "node:assert/strict";
import { text, utf8 } from "../../../src/base/bytes.ts";
import {
  newWatchCancelRequest,
  newWatchCreateRequest,
  newWatchProgressRequest,
  newWatchRequest,
  type WatchCreateRequest,
  type WatchRequest,
  WatchRequestCodec,
  type WatchResponse,
  WatchResponseCodec,
} from "../../../src/pb/etcdserverpb.ts";
import { watchMethod, type WatchPermissions } from "../../../src/rpc/watch.ts";
import type {
  MessageReceiver,
  MessageWriter,
} from "../../../src/transport/grpc/service.ts";
import { DomainError } from "../../../src/base/errors.ts";
import { Code, type Status } from "../../../src/transport/grpc/status.ts";
import { callOf } from "../../support/call.ts";
import { FakeWriter, type Received } from "../watch/fake_writer.ts";
import { show, WatchFixture } from "../watch/fixture.ts";

const COMPACTED = "etcdserver: mvcc: required revision has been compacted";
const DENIED =
  "rpc error: code = PermissionDenied desc = etcdserver: permission denied";

const CALL = callOf("/etcdserverpb.Watch/Watch");

/** A gRPC writer around the fake one. */
class FakeCallWriter extends FakeWriter
  implements MessageWriter<WatchResponse> {
  status: Status | undefined = undefined;
  isEnded = false;

  send(): void {
    throw new Error("responses are sent encoded");
  }

  end(status?: Status): void {
    this.isEnded = true;
    this.status = status;
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }
}

/** One Watch call, as the transport drives it. */
class WatchCallFixture extends WatchFixture {
  readonly writer = new FakeCallWriter();
  readonly receiver: MessageReceiver<WatchRequest>;

  constructor(permissions: WatchPermissions = { requireRead: () => {} }) {
    super({ maxStreamBufferBytes: 64 << 10, maxUnreadControlBytes: 1000 });
    this.history.put("a", "b");
    this.receiver = watchMethod(this.hub, permissions).open(CALL, this.writer);
  }

  create(init: Partial<WatchCreateRequest>): Received[] {
    return this.send({ createRequest: newWatchCreateRequest(init) });
  }

  cancel(watchId: bigint): Received[] {
    return this.send({ cancelRequest: newWatchCancelRequest({ watchId }) });
  }

  requestProgress(): Received[] {
    return this.send({ progressRequest: newWatchProgressRequest() });
  }

  send(init: Partial<WatchRequest>): Received[] {
    this.receiver.onMessage(newWatchRequest(init));
    return this.writer.take();
  }
}

Deno.test("watchMethod() is the Watch method of etcd's API", () => {
  const method = watchMethod(new WatchFixture().hub, { requireRead: () => {} });
  assert.equal(method.path, "/etcdserverpb.Watch/Watch");
  assert.equal(method.kind, "duplex");
  assert.equal(method.request, WatchRequestCodec);
  assert.equal(method.response, WatchResponseCodec);
});

Deno.test("Watch refuses a bad create request with one response, and the stream lives on", () => {
  const f = new WatchCallFixture();
  const key = utf8("a");
  f.create({ key, watchId: 7n });
  const cases: [Partial<WatchCreateRequest>, string][] = [
    [{ key, startRevision: -1 }, COMPACTED],
    [{ key, startRevision: -1, watchId: 7n }, COMPACTED],
    [
      { key, watchId: 7n },
      "mvcc: duplicate watch ID provided on the WatchStream",
    ],
    [{ key: utf8("b"), rangeEnd: key }, "mvcc: watcher range is empty"],
    [{ key, rangeEnd: key, watchId: 7n }, "mvcc: watcher range is empty"],
  ];
  for (const [init, reason] of cases) {
    const [r, ...rest] = f.create(init);
    assert.equal(rest.length, 0);
    assert.deepEqual(
      [r!.created, r!.canceled, r!.watchId, r!.cancelReason, r!.revision],
      [true, true, -1, reason, 3],
    );
    assert.equal(r!.compactRevision, 0);
  }
  assert.equal(f.create({ key })[0]!.watchId, 0);
  assert.equal(f.hub.stats.watchers, 2);
});

Deno.test("Watch asks for permission with the range as it is meant, and tells the reason", () => {
  const asked: string[] = [];
  const f = new WatchCallFixture({
    requireRead: (call, { key, rangeEnd }) => {
      assert.equal(call, CALL);
      asked.push(`${text(key)}..${text(rangeEnd)}`);
      if (text(key) === "secret") throw new DomainError("permissionDenied");
    },
  });
  const [r] = f.create({ key: utf8("secret"), rangeEnd: utf8("secreu") });
  assert.deepEqual(
    [r!.created, r!.canceled, r!.watchId, r!.cancelReason],
    [true, true, -1, DENIED],
  );
  f.create({});
  assert.deepEqual(asked, ["secret..secreu", "\0.."]);
  assert.equal(f.hub.stats.watchers, 1);
});

Deno.test("Watch takes an empty key for the smallest one, and a range end of 0 for no end", () => {
  const f = new WatchCallFixture();
  const zero = new Uint8Array(1);
  f.create({ watchId: 1n });
  f.create({ rangeEnd: zero, watchId: 2n });
  f.create({ key: utf8("b"), rangeEnd: zero, watchId: 3n });
  const seenBy = (key: string) => {
    f.history.put(key);
    return f.writer.take().map((r) => r.watchId).sort();
  };
  assert.deepEqual(seenBy("\0"), [1, 2]);
  assert.deepEqual(seenBy("a"), [2]);
  assert.deepEqual(seenBy("z"), [2, 3]);
});

Deno.test("Watch passes all options on", async () => {
  const f = new WatchCallFixture();
  f.create({ key: utf8("a"), filters: [0], prevKv: true, watchId: 1n });
  f.create({ key: utf8("a"), filters: [1], watchId: 2n });
  f.create({ key: utf8("b"), startRevision: 2, watchId: 3n });
  f.create({
    key: utf8("c"),
    rangeEnd: utf8("d"),
    fragment: true,
    watchId: 4n,
  });
  f.create({ key: utf8("z"), progressNotify: true, watchId: 5n });
  f.history.put("a");
  f.history.delete("a");
  f.history.commit(["c1", "c2", "c3"].map((key) => ({
    key,
    value: "x".repeat(1 << 20),
  })));
  await f.settle();
  f.clock.advance(11 * 60 * 1000);
  assert.deepEqual(
    f.writer.take().map((r) => [r.watchId, show(r.events), r.fragment]),
    [
      [2, "a@4", false],
      [1, "-a@5(4)", false],
      [4, "c1@6", true],
      [4, "c2@6", true],
      [4, "c3@6", false],
      [3, "b@3", false],
      [5, "", false],
    ],
  );
});

Deno.test("Watch cancels, answers progress requests, and ignores what it does not know", () => {
  const f = new WatchCallFixture();
  assert.equal(f.requestProgress().length, 0);
  assert.equal(f.send({}).length, 0);
  assert.equal(f.cancel(0n).length, 0);
  f.create({ key: utf8("a") });
  const [progress] = f.requestProgress();
  assert.deepEqual([progress!.watchId, progress!.revision], [-1, 3]);
  const [canceled] = f.cancel(0n);
  assert.deepEqual(
    [canceled!.watchId, canceled!.canceled, canceled!.cancelReason],
    [0, true, ""],
  );
  f.history.put("a");
  assert.equal(f.writer.take().length, 0);
});

Deno.test("Watch goes on after the client's half-close", () => {
  const f = new WatchCallFixture();
  f.create({ key: utf8("a") });
  f.receiver.onHalfClose();
  f.history.put("a");
  assert.equal(show(f.writer.take()[0]!.events), "a@4");
  assert.equal(f.writer.isEnded, false);
  f.receiver.onCancel();
  f.assertEmpty();
});

Deno.test("Watch leaves nothing behind when the client goes away", async () => {
  const f = new WatchCallFixture();
  for (const startRevision of [0, 1, 99]) {
    f.create({ key: utf8("a"), startRevision, progressNotify: true });
    f.create({ rangeEnd: new Uint8Array(1), startRevision, prevKv: true });
  }
  assert.equal(f.hub.stats.watchers, 6);
  f.receiver.onCancel();
  f.assertEmpty();
  await f.settle();
  f.history.put("a");
  f.clock.advance(3600_000);
  assert.equal(f.writer.take().length, 0);
});

Deno.test("Watch ends with the status of what went wrong", () => {
  const f = new WatchCallFixture();
  f.writer.isReading = false;
  for (let i = 0; i < 10_000 && !f.writer.isEnded; i++) {
    f.create({ key: utf8("a") });
  }
  assert.deepEqual(f.writer.status, {
    code: Code.ResourceExhausted,
    message: "etcdserver: too many requests",
  });
  f.assertEmpty();

  const stopped = new WatchCallFixture();
  stopped.create({ key: utf8("a") });
  stopped.hub.close();
  assert.deepEqual(stopped.writer.status, {
    code: Code.Unavailable,
    message: "etcdserver: server stopped",
  });
  stopped.assertEmpty();
});
