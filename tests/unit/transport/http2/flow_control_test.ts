import assert from "node:assert/strict";
import { FrameType, SettingId } from "../../../../src/transport/http2/frame.ts";
import { ReceiveWindow } from "../../../../src/transport/http2/flow_control.ts";
import { frame } from "../../../support/h2_client.ts";
import { bodyOf, HEAD, Session, TAIL } from "../../../support/h2_session.ts";

const BIG = 2 ** 31 - 1;

/** A session whose client takes `connection` bytes in all and `stream` bytes per stream. */
function sessionWith(
  stream: number,
  connection: number,
  limits: ConstructorParameters<typeof Session>[0] = {},
): Session {
  const session = Session.open(limits, [SettingId.InitialWindowSize, stream]);
  session.receive(session.client.windowUpdate(0, connection - 65_535));
  return session;
}

/** DATA bytes of a stream in `lines`. */
function dataBytes(lines: readonly string[], id: number): number {
  let bytes = 0;
  for (const line of lines) {
    const match = /^DATA (\d+)(?: end)? (\d+)$/.exec(line);
    if (match !== null && Number(match[1]) === id) bytes += Number(match[2]);
  }
  return bytes;
}

const END = "HEADERS 1 end grpc-status=0";

Deno.test("ReceiveWindow.release() announces when half of the window is free", () => {
  const window = new ReceiveWindow(100);
  assert.ok(window.take(100, 0));
  assert.ok(!window.take(1, 0));
  assert.equal(window.release(49), 0);
  assert.equal(window.release(1), 50);
  assert.equal(window.release(50), 50);
  assert.ok(window.take(100, 0));
});

Deno.test("ReceiveWindow.take() may go below by the slack", () => {
  const window = new ReceiveWindow(10);
  assert.ok(!window.take(16, 5));
  assert.ok(window.take(15, 5));
  assert.ok(!window.take(1, 5));
});

Deno.test("ServerStream.respond() fits exactly into the windows, or is cut at them", () => {
  for (const [stream, connection] of [[1000, BIG], [BIG, 70_000]] as const) {
    const room = Math.min(stream, connection);
    for (const length of [room - 1, room, room + 1]) {
      const session = sessionWith(stream, connection);
      session.onRequestEnd = (s) =>
        s.respond(HEAD, length, bodyOf(7, length), TAIL);
      session.request(true);
      const lines = session.sent();
      assert.equal(dataBytes(lines, 1), Math.min(length, room));
      assert.equal(lines.includes(END), length <= room);
      assert.equal(
        session.connection.bufferedBytes,
        Math.max(0, length - room),
      );
      if (length <= room) continue;
      const id = stream < connection ? 1 : 0;
      const more = session.receive(session.client.windowUpdate(id, 1));
      assert.deepEqual(more, ["DATA 1 1", END]);
      assert.equal(session.connection.openStreams, 0);
    }
  }
});

Deno.test("ServerStream.respond() sends frames of at most 16 KiB, whatever the peer takes", () => {
  for (const length of [16_384, 16_385, 100_000]) {
    const session = sessionWith(BIG, BIG);
    session.receive(
      session.client.settings([SettingId.MaxFrameSize, 1_000_000]),
    );
    session.onRequestEnd = (s) =>
      s.respond(HEAD, length, bodyOf(7, length), TAIL);
    session.request(true);
    const lines = session.sent().filter((l) => l.startsWith("DATA"));
    assert.equal(lines.length, Math.ceil(length / 16_384));
    assert.equal(dataBytes(lines, 1), length);
  }
});

Deno.test("ServerStream.respond() of nothing needs no window", () => {
  const session = sessionWith(0, 65_536);
  session.onRequestEnd = (s) => s.respond(HEAD, 0, bodyOf(0, 0), TAIL);
  session.request(true);
  assert.deepEqual(session.sent().slice(-3), [
    "HEADERS 1 :status=200",
    "DATA 1 0",
    END,
  ]);
});

Deno.test("ServerStream.respond() resets its stream when the body cannot be written", () => {
  const session = sessionWith(BIG, BIG);
  for (const length of [10, 100_000]) {
    const stream = session.request(true);
    const body = {
      writeTo: () => {
        throw new Error("no");
      },
    };
    assert.throws(() => stream.respond(HEAD, length, body, TAIL), /no/);
    session.connection.flush();
    assert.deepEqual(session.sent().slice(-2), [
      `HEADERS ${stream.id} :status=200`,
      `RST_STREAM ${stream.id} 2`,
    ]);
    assert.ok(stream.isClosed);
  }
  session.onRequestEnd = (s) => s.respond(HEAD, 3, bodyOf(7, 3), TAIL);
  session.request(true);
  assert.deepEqual(session.sent().slice(-2), [
    "DATA 5 3",
    "HEADERS 5 end grpc-status=0",
  ]);
});

Deno.test("A large body arrives whole under small windows, byte for byte", () => {
  const session = sessionWith(1000, 66_000);
  const body = Uint8Array.from({ length: 200_000 }, (_, i) => i % 251);
  session.onRequestEnd = (s) =>
    s.respond(
      HEAD,
      body.length,
      { writeTo: (out, at) => out.set(body, at) },
      TAIL,
    );
  const seen: number[] = [];
  const { client } = session;
  session.request(true);
  for (let round = 0; session.connection.openStreams > 0; round++) {
    assert.ok(round < 1000);
    session.receive(client.windowUpdate(1, 700), client.windowUpdate(0, 700));
  }
  const bytes = session.written;
  for (let at = 0; at < bytes.length;) {
    const length = bytes[at]! << 16 | bytes[at + 1]! << 8 | bytes[at + 2]!;
    if (bytes[at + 3] === FrameType.Data) {
      seen.push(...bytes.subarray(at + 9, at + 9 + length));
    }
    at += 9 + length;
  }
  assert.deepEqual(Uint8Array.from(seen), body);
});

Deno.test("SETTINGS_INITIAL_WINDOW_SIZE can make a window negative, which must be filled first", () => {
  const session = sessionWith(1000, BIG);
  session.onRequestEnd = (s) => s.respond(HEAD, 1500, bodyOf(7, 1500), TAIL);
  session.request(true);
  assert.equal(dataBytes(session.sent(), 1), 1000);
  const { client } = session;
  const settings = (size: number) =>
    session.receive(client.settings([SettingId.InitialWindowSize, size]));
  assert.deepEqual(settings(400), ["SETTINGS ack"]); // -600
  assert.deepEqual(session.receive(client.windowUpdate(1, 600)), []);
  assert.deepEqual(session.receive(client.windowUpdate(1, 1)), ["DATA 1 1"]);
  assert.deepEqual(settings(500), ["SETTINGS ack", "DATA 1 100"]);
  assert.deepEqual(settings(10_000), ["SETTINGS ack", "DATA 1 399", END]);
});

Deno.test("SETTINGS that close the window of a stream in line take it out of the line", () => {
  const session = sessionWith(1000, 66_000);
  session.onRequestEnd = (s) =>
    s.respond(HEAD, 70_000, bodyOf(7, 70_000), TAIL);
  session.request(true);
  session.receive(session.client.windowUpdate(1, 100_000));
  session.sent();
  // The connection's window is used up, the stream waits in line; then its own window closes too.
  const lines = session.receive(
    session.client.settings([SettingId.InitialWindowSize, 0]),
    session.client.rstStream(1, 8),
    session.client.windowUpdate(0, 100_000),
  );
  assert.deepEqual(lines, ["SETTINGS ack"]);
  assert.equal(session.connection.bufferedBytes, 0);
});

Deno.test("Connection gives windows back once half is consumed, and none of a stream that ended", () => {
  const session = Session.open({
    initialWindowSize: 70_000,
    connectionWindowSize: 100_000,
  });
  const { client } = session;
  const part = new Uint8Array(10_000);
  session.request(false);
  session.sent();
  const sent: string[][] = [];
  for (let i = 1; i <= 10; i++) {
    sent.push(session.receive(client.data(1, part, i === 10)));
  }
  assert.deepEqual(
    sent,
    [
      [],
      [],
      [],
      ["WINDOW_UPDATE 1 40000"],
      ["WINDOW_UPDATE 0 50000"],
      [],
      [],
      ["WINDOW_UPDATE 1 40000"],
      [],
      ["WINDOW_UPDATE 0 50000"],
    ],
  );
});

Deno.test("Connection accepts DATA up to the stream's window and resets beyond", () => {
  const session = Session.open({ initialWindowSize: 70_000 });
  session.consumes = false;
  const { client } = session;
  session.request(false);
  session.sent();
  for (let i = 0; i < 4; i++) {
    session.receive(client.data(1, new Uint8Array(16_000), false));
  }
  assert.deepEqual(
    session.receive(client.data(1, new Uint8Array(6_000), false)),
    [],
  );
  assert.deepEqual(session.receive(client.data(1, new Uint8Array(1), false)), [
    "RST_STREAM 1 3",
  ]);
  assert.equal(session.events.at(-1), "reset 1 3");
});

Deno.test("Connection accepts DATA up to its own window and fails beyond", () => {
  for (const extra of [0, 1]) {
    const session = Session.open({
      initialWindowSize: 70_000,
      connectionWindowSize: 80_000,
    });
    session.consumes = false;
    const { client } = session;
    for (const id of [1, 3]) {
      session.request(false, id);
      for (let i = 0; i < 4; i++) {
        session.receive(client.data(id, new Uint8Array(10_000), false));
      }
    }
    session.sent();
    const lines = session.receive(client.data(3, new Uint8Array(extra), true));
    assert.equal(session.connection.isClosed, extra === 1);
    assert.equal(
      lines.at(-1)?.startsWith("GOAWAY 3 3 "),
      extra === 1 || undefined,
    );
  }
});

Deno.test("Connection accepts the default window until its smaller one is acknowledged", () => {
  const session = new Session({ initialWindowSize: 100 });
  session.consumes = false;
  const { client } = session;
  session.receive(client.preface());
  session.request(false);
  session.sent();
  assert.deepEqual(
    session.receive(client.data(1, new Uint8Array(10_000), false)),
    [],
  );
  session.receive(client.settingsAck());
  assert.deepEqual(session.receive(client.data(1, new Uint8Array(1), false)), [
    "RST_STREAM 1 3",
  ]);
  session.request(false, 3);
  assert.deepEqual(
    session.receive(client.data(3, new Uint8Array(100), false)),
    [],
  );
});

Deno.test("Connection gives back the window of what nobody will consume", () => {
  const limits = { connectionWindowSize: 80_000, initialWindowSize: 80_000 };
  const part = new Uint8Array(10_000);

  // A stream that is reset with DATA unconsumed, and DATA that comes afterwards.
  const reset = Session.open(limits);
  reset.consumes = false;
  const stream = reset.request(false);
  reset.receive(reset.client.data(1, part, false));
  reset.sent();
  stream.reset(8);
  const lines = [1, 2, 3].flatMap(() =>
    reset.receive(reset.client.data(1, part, false))
  );
  assert.deepEqual(lines, ["RST_STREAM 1 8", "WINDOW_UPDATE 0 40000"]);
  stream.consumed(10_000); // too late, and not counted twice
  assert.deepEqual(reset.receive(reset.client.data(1, part, false)), []);

  // Padding.
  const padded = Session.open(limits);
  padded.consumes = false;
  padded.request(false);
  padded.sent();
  const payload = new Uint8Array(256);
  payload[0] = 255;
  let updates: string[] = [];
  for (let i = 0; i < 200; i++) {
    updates = updates.concat(
      padded.receive(frame(FrameType.Data, 8, 1, payload)),
    );
  }
  // The length byte and 255 bytes of padding each: 40,192 is the first multiple of 256 above half of the windows.
  assert.deepEqual(updates, ["WINDOW_UPDATE 0 40192", "WINDOW_UPDATE 1 40192"]);
});

Deno.test("ServerStream.consumed() of more than was received is our mistake", () => {
  const session = Session.open();
  session.consumes = false;
  const stream = session.request(false);
  session.receive(session.client.data(1, new Uint8Array(10), false));
  assert.throws(() => stream.consumed(11));
  stream.consumed(10);
});
