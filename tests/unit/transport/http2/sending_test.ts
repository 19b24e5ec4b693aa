import assert from "node:assert/strict";
import { concatBytes } from "../../../../src/base/bytes.ts";
import { FrameType, SettingId } from "../../../../src/transport/http2/frame.ts";
import { ServerOutput } from "../../../support/h2_client.ts";
import {
  bodyOf,
  HEAD,
  REQUEST,
  Session,
  TAIL,
} from "../../../support/h2_session.ts";

const BIG = 2 ** 31 - 1;

/** A session whose client has opened its windows. */
function wide(limits: ConstructorParameters<typeof Session>[0] = {}): Session {
  const session = Session.open(limits, [SettingId.InitialWindowSize, BIG]);
  session.receive(session.client.windowUpdate(0, BIG - 65_535));
  return session;
}

/** Lets the microtasks that are queued now run. */
function turn(): Promise<void> {
  return Promise.resolve();
}

Deno.test("Connection writes the answers of one chunk in one piece", () => {
  const session = wide();
  session.onRequestEnd = (s) => s.respond(HEAD, 100, bodyOf(7, 100), TAIL);
  const before = session.writes.length;
  const { client } = session;
  const requests: Uint8Array[] = [];
  for (let i = 0; i < 50; i++) {
    requests.push(client.headers(client.nextId(), REQUEST, true));
  }
  const lines = session.receive(...requests);
  assert.equal(session.writes.length - before, 1);
  assert.equal(lines.length, 150);
  assert.equal(lines.at(-1), "HEADERS 99 end grpc-status=0");
  assert.equal(session.connection.bytesOut, session.written.length);
  assert.ok(session.connection.isIdle);
});

Deno.test("Connection writes what is sent later once per turn", async () => {
  const session = wide();
  const streams = [1, 3, 5].map((id) => session.request(true, id));
  session.sent();
  const before = session.writes.length;
  for (const stream of streams) {
    stream.respond(HEAD, 10, bodyOf(7, 10), TAIL);
  }
  assert.equal(session.writes.length, before);
  await turn();
  assert.equal(session.writes.length, before + 1);
  assert.equal(session.sent().length, 9);
});

Deno.test("ServerStream sends headers, messages and trailers in order", async () => {
  const session = wide();
  const stream = session.request(true);
  session.sent();
  stream.sendHeaders(HEAD, false);
  stream.sendData(new Uint8Array(10));
  stream.sendData(new Uint8Array(0));
  stream.sendData(new Uint8Array(40_000));
  stream.sendData(new Uint8Array(20));
  stream.sendTrailers(TAIL);
  assert.ok(stream.isClosed);
  assert.equal(stream.bufferedBytes, 40_020);
  stream.sendData(new Uint8Array(30));
  stream.sendTrailers(TAIL);
  await turn();
  assert.deepEqual(session.sent(), [
    "HEADERS 1 :status=200",
    "DATA 1 10",
    "DATA 1 16384",
    "DATA 1 16384",
    "DATA 1 7252",
    "HEADERS 1 end grpc-status=0",
  ]);
  assert.equal(stream.bufferedBytes, 0);
});

Deno.test("ServerStream.sendData() sends a prefix and what many streams share as one piece", async () => {
  const session = wide();
  const shared = new Uint8Array(20_000).fill(7);
  const prefix = Uint8Array.of(1, 2, 3, 4, 5);
  const streams = [1, 3].map((id) => session.request(true, id));
  const before = session.written.length;
  for (const stream of streams) {
    stream.sendHeaders(HEAD, false);
    stream.sendData(shared.subarray(0, 10), prefix);
    stream.sendData(shared, prefix);
    assert.equal(stream.bufferedBytes, 20_005);
  }
  await turn();
  const frames = new ServerOutput().frames(session.written.subarray(before));
  for (const { id } of streams) {
    const data = frames.filter((f) => f.type === FrameType.Data && f.id === id);
    assert.deepEqual(data.map((f) => f.payload.length), [15, 16_384, 3_621]);
    assert.deepEqual(
      concatBytes(...data.map((f) => f.payload)),
      concatBytes(prefix, shared.subarray(0, 10), prefix, shared),
    );
  }
});

Deno.test("ServerStream.sendHeaders() twice is our mistake, DATA before HEADERS too", () => {
  const stream = wide().request(true);
  assert.throws(() => stream.sendData(new Uint8Array(1)));
  assert.throws(() => stream.sendTrailers(TAIL));
  stream.sendHeaders(HEAD, false);
  assert.throws(() => stream.sendHeaders(HEAD, false));
});

Deno.test("ServerStream that answers before the request has ended asks the client to stop", () => {
  const session = wide();
  const stream = session.request(false);
  session.sent();
  stream.sendHeaders(HEAD, true);
  session.connection.flush();
  assert.deepEqual(session.sent(), [
    "HEADERS 1 end :status=200",
    "RST_STREAM 1 0",
  ]);
  // What the client sent meanwhile is ignored.
  const { client } = session;
  assert.deepEqual(
    session.receive(
      client.data(1, new Uint8Array(10), false),
      client.windowUpdate(1, 10),
      client.headers(1, ["t", "u"], true),
      client.rstStream(1, 8),
    ),
    [],
  );
  assert.deepEqual(session.events, ["request 1 POST /s/m"]);
});

Deno.test("Streams with much to send take turns of one frame", async () => {
  const session = wide();
  const [a, b, c] = [1, 3, 5].map((id) => session.request(true, id));
  session.sent();
  for (const stream of [a!, b!]) {
    stream.respond(HEAD, 50_000, bodyOf(7, 50_000), TAIL);
  }
  c!.respond(HEAD, 100, bodyOf(7, 100), TAIL);
  await turn();
  const lines = session.sent().filter((l) => l.startsWith("DATA"));
  assert.deepEqual(lines, [
    "DATA 5 100",
    "DATA 1 16384",
    "DATA 3 16384",
    "DATA 1 16384",
    "DATA 3 16384",
    "DATA 1 16384",
    "DATA 3 16384",
    "DATA 1 848",
    "DATA 3 848",
  ]);
});

Deno.test("Streams share what there is of the connection's window", async () => {
  const session = Session.open({}, [SettingId.InitialWindowSize, BIG]);
  const streams = [1, 3, 5].map((id) => session.request(true, id));
  for (const stream of streams) {
    stream.respond(HEAD, 60_000, bodyOf(7, 60_000), TAIL);
  }
  await turn();
  session.sent();
  for (let i = 0; i < 2; i++) {
    const lines = [1, 2, 3].flatMap(() =>
      session.receive(session.client.windowUpdate(0, 1000))
    );
    const ids = lines.map((l) => l.split(" ")[1]);
    assert.deepEqual(ids.toSorted(), ["1", "3", "5"]);
  }
});

Deno.test("Connection keeps DATA queued while the socket is full, and control frames go on", async () => {
  const session = wide({ maxUnsentBytes: 1000 });
  session.queuedBytes = 1001;
  const stream = session.request(true);
  session.receive(session.client.ping("12345678"));
  stream.respond(HEAD, 500, bodyOf(7, 500), TAIL);
  await turn();
  assert.ok(session.sent().includes("HEADERS 1 :status=200"));
  assert.equal(stream.bufferedBytes, 500);
  assert.deepEqual(session.receive(session.client.ping("abcdefgh")), [
    "PING ack abcdefgh",
  ]);
  session.queuedBytes = 1000;
  session.connection.socketDrained();
  assert.deepEqual(session.sent(), [
    "DATA 1 500",
    "HEADERS 1 end grpc-status=0",
  ]);
});

Deno.test("Connection stops in the middle of a large body when the socket fills", async () => {
  const session = wide({ maxUnsentBytes: 100_000 });
  session.write = (bytes) => {
    session.writes.push(bytes);
    session.queuedBytes += bytes.length;
  };
  const stream = session.request(true);
  stream.respond(HEAD, 1_000_000, bodyOf(7, 1_000_000), TAIL);
  await turn();
  for (let rounds = 0; session.connection.openStreams > 0; rounds++) {
    assert.ok(rounds < 20);
    assert.ok(session.queuedBytes < 100_000 + 2 * 65_536);
    session.queuedBytes = 0;
    session.connection.socketDrained();
  }
  const lines = session.sent().filter((l) => l.startsWith("DATA"));
  assert.equal(lines.length, Math.ceil(1_000_000 / 16_384));
});

Deno.test("StreamReceiver.onDrain() comes when the queue falls to the low-water mark", () => {
  const session = Session.open({ lowWaterBytes: 1000 }, [
    SettingId.InitialWindowSize,
    0,
  ]);
  const stream = session.request(true);
  stream.sendHeaders(HEAD, false);
  stream.sendData(new Uint8Array(1000));
  const grow = (n: number) =>
    session.receive(session.client.windowUpdate(1, n));
  grow(1);
  const drains = () => session.events.filter((e) => e === "drain 1").length;
  assert.equal(drains(), 0, "it was never above");
  stream.sendData(new Uint8Array(1000)); // 1999
  grow(998);
  assert.equal(stream.bufferedBytes, 1001);
  assert.equal(drains(), 0);
  grow(1);
  assert.equal(drains(), 1);
  grow(500);
  assert.equal(drains(), 1);
  session.onDrained = (s) => s.sendData(new Uint8Array(3000));
  stream.sendData(new Uint8Array(600)); // 1100
  grow(200);
  assert.equal(drains(), 2);
  assert.equal(stream.bufferedBytes, 3900);
});

Deno.test("ServerStream.reset() drops what is queued and tells the receiver once", async () => {
  const session = Session.open();
  const stream = session.request(false);
  stream.sendHeaders(HEAD, false);
  stream.sendData(new Uint8Array(100_000));
  await turn();
  session.sent();
  assert.equal(session.connection.bufferedBytes, 100_000 - 65_535);
  stream.reset(8);
  stream.reset(8);
  await turn();
  assert.deepEqual(session.sent(), ["RST_STREAM 1 8"]);
  assert.equal(session.connection.bufferedBytes, 0);
  assert.equal(stream.bufferedBytes, 0);
  assert.equal(session.connection.openStreams, 0);
  assert.deepEqual(session.events.slice(1), ["drain 1", "reset 1 8"]);
  stream.sendData(new Uint8Array(1));
  stream.sendTrailers(TAIL);
  await turn();
  assert.deepEqual(session.sent(), []);
});

Deno.test("Connection tells a receiver of the client's RST_STREAM, also while the end is queued", async () => {
  const session = Session.open();
  session.request(true).respond(HEAD, 100_000, bodyOf(7, 100_000), TAIL);
  await turn();
  session.sent();
  assert.deepEqual(session.receive(session.client.rstStream(1, 8)), []);
  assert.deepEqual(session.events.slice(1), ["reset 1 8"]);
  assert.equal(session.connection.bufferedBytes, 0);
});

Deno.test("Connection.close() resets all receivers and sends nothing more", () => {
  const session = wide();
  const streams = [1, 3].map((id) => session.request(false, id));
  session.sent();
  let closed = 0;
  session.connection.onClosed = () => closed++;
  session.connection.close();
  session.connection.close();
  assert.equal(closed, 1);
  assert.deepEqual(session.events.slice(2), ["reset 1 8", "reset 3 8"]);
  assert.equal(session.connection.openStreams, 0);
  for (const stream of streams) {
    assert.ok(stream.isClosed);
    stream.respond(HEAD, 10, bodyOf(7, 10), TAIL);
    stream.consumed(1);
    stream.reset(8);
  }
  session.connection.flush();
  assert.deepEqual(session.sent(), []);
  assert.equal(session.closed, "no", "the socket is gone already");
});

Deno.test("Connection refuses streams above maxConcurrentStreams, and takes them again", () => {
  const session = wide({ maxConcurrentStreams: 2 });
  session.request(false, 1);
  session.request(false, 3);
  session.sent();
  session.request(false, 5);
  assert.deepEqual(session.sent(), ["RST_STREAM 5 7"]);
  session.receive(session.client.rstStream(1, 8));
  session.request(false, 7);
  assert.equal(session.events.at(-1), "request 7 POST /s/m");
  assert.equal(session.connection.openStreams, 2);
});

Deno.test("Connection refuses streams while the client does not read what it asked for", async () => {
  const session = Session.open({ maxBufferedBytes: 10_000 });
  const answer = 65_535 + 10_001;
  session.request(true).respond(HEAD, answer, bodyOf(7, answer), TAIL);
  await turn();
  session.sent();
  session.request(true);
  assert.deepEqual(session.sent(), ["RST_STREAM 3 7"]);
  session.receive(
    session.client.windowUpdate(0, 1),
    session.client.windowUpdate(1, 1),
  );
  session.request(true);
  assert.equal(session.events.at(-1), "request 5 POST /s/m end");
});
