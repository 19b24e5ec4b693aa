import assert from "node:assert/strict";
import { concatBytes, utf8 } from "../../../../src/base/bytes.ts";
import {
  CLIENT_PREFACE,
  ErrorCode,
  Flag,
  FrameType,
  SettingId,
} from "../../../../src/transport/http2/frame.ts";
import { ClientFrames, frame, uint32 } from "../../../support/h2_client.ts";
import { REQUEST, Session } from "../../../support/h2_session.ts";

const { Data, Headers, Priority, RstStream, Settings, PushPromise, Ping } =
  FrameType;
const { GoAway, WindowUpdate, Continuation } = FrameType;
const bytes = (n: number) => new Uint8Array(n);
const client = new ClientFrames();
const BLOCK = client.block(REQUEST);

/** An open request on stream 1, whose body is still to come. */
const OPEN_1 = client.headers(1, REQUEST, false);
const WHOLE_1 = client.headers(1, REQUEST, true);

/** What a client may not do, and what the connection dies of. The prefaces have been exchanged. */
const CONNECTION_ERRORS: [what: string, code: number, sent: Uint8Array[]][] = [
  ["DATA on stream 0", ErrorCode.ProtocolError, [frame(Data, 0, 0)]],
  ["DATA on an idle stream", ErrorCode.ProtocolError, [frame(Data, 0, 1)]],
  ["DATA on an even stream", ErrorCode.ProtocolError, [
    client.headers(3, REQUEST, true),
    frame(Data, 0, 2),
  ]],
  ["DATA with nothing but padding to come", ErrorCode.FrameSizeError, [
    OPEN_1,
    frame(Data, Flag.Padded, 1),
  ]],
  ["DATA with padding as long as the frame", ErrorCode.ProtocolError, [
    OPEN_1,
    frame(Data, Flag.Padded, 1, Uint8Array.of(2, 0)),
  ]],
  ["a frame above SETTINGS_MAX_FRAME_SIZE", ErrorCode.FrameSizeError, [
    OPEN_1,
    frame(Data, 0, 1, bytes(16_385)),
  ]],
  ["HEADERS on stream 0", ErrorCode.ProtocolError, [
    client.headers(0, REQUEST, true),
  ]],
  ["HEADERS on an even stream", ErrorCode.ProtocolError, [
    client.headers(2, REQUEST, true),
  ]],
  ["HEADERS below an earlier stream", ErrorCode.ProtocolError, [
    client.headers(5, REQUEST, true),
    client.headers(3, REQUEST, true),
  ]],
  ["HEADERS with padding as long as the rest", ErrorCode.ProtocolError, [
    frame(Headers, Flag.Padded | Flag.EndHeaders, 1, Uint8Array.of(1)),
  ]],
  ["HEADERS too short for its priority", ErrorCode.FrameSizeError, [
    frame(Headers, Flag.Priority | Flag.EndHeaders, 1, bytes(4)),
  ]],
  ["a header block that does not decode", ErrorCode.CompressionError, [
    client.headersOf(1, Uint8Array.of(0x80), true),
  ]],
  ["trailers that do not decode", ErrorCode.CompressionError, [
    OPEN_1,
    client.headersOf(1, Uint8Array.of(0x80), true),
  ]],
  ["another frame inside a header section", ErrorCode.ProtocolError, [
    frame(Headers, 0, 1, BLOCK),
    client.ping("12345678"),
  ]],
  ["CONTINUATION of another stream", ErrorCode.ProtocolError, [
    frame(Headers, 0, 1, BLOCK),
    frame(Continuation, Flag.EndHeaders, 3),
  ]],
  ["CONTINUATION without HEADERS", ErrorCode.ProtocolError, [
    OPEN_1,
    frame(Continuation, Flag.EndHeaders, 1),
  ]],
  ["PRIORITY on stream 0", ErrorCode.ProtocolError, [
    frame(Priority, 0, 0, bytes(5)),
  ]],
  ["PRIORITY of the wrong size, idle", ErrorCode.FrameSizeError, [
    frame(Priority, 0, 1, bytes(4)),
  ]],
  ["an idle stream that depends on itself", ErrorCode.ProtocolError, [
    frame(Priority, 0, 1, Uint8Array.of(0, 0, 0, 1, 0)),
  ]],
  ["RST_STREAM on stream 0", ErrorCode.ProtocolError, [
    client.rstStream(0, 8),
  ]],
  ["RST_STREAM on an idle stream", ErrorCode.ProtocolError, [
    client.rstStream(1, 8),
  ]],
  ["RST_STREAM of the wrong size", ErrorCode.FrameSizeError, [
    OPEN_1,
    frame(RstStream, 0, 1, bytes(3)),
  ]],
  ["SETTINGS on a stream", ErrorCode.ProtocolError, [frame(Settings, 0, 1)]],
  ["SETTINGS of the wrong size", ErrorCode.FrameSizeError, [
    frame(Settings, 0, 0, bytes(5)),
  ]],
  ["a SETTINGS ACK that says something", ErrorCode.FrameSizeError, [
    frame(Settings, Flag.Ack, 0, bytes(6)),
  ]],
  ["SETTINGS_ENABLE_PUSH of 2", ErrorCode.ProtocolError, [
    client.settings([SettingId.EnablePush, 2]),
  ]],
  ["SETTINGS_INITIAL_WINDOW_SIZE of 2^31", ErrorCode.FlowControlError, [
    client.settings([SettingId.InitialWindowSize, 2 ** 31]),
  ]],
  ["SETTINGS_MAX_FRAME_SIZE of 16383", ErrorCode.ProtocolError, [
    client.settings([SettingId.MaxFrameSize, 16_383]),
  ]],
  ["SETTINGS_MAX_FRAME_SIZE of 2^24", ErrorCode.ProtocolError, [
    client.settings([SettingId.MaxFrameSize, 2 ** 24]),
  ]],
  ["PUSH_PROMISE", ErrorCode.ProtocolError, [
    OPEN_1,
    frame(PushPromise, Flag.EndHeaders, 1, bytes(4)),
  ]],
  ["PING on a stream", ErrorCode.ProtocolError, [
    OPEN_1,
    frame(Ping, 0, 1, bytes(8)),
  ]],
  ["PING of 7 bytes", ErrorCode.FrameSizeError, [frame(Ping, 0, 0, bytes(7))]],
  ["PING of 9 bytes", ErrorCode.FrameSizeError, [frame(Ping, 0, 0, bytes(9))]],
  ["GOAWAY on a stream", ErrorCode.ProtocolError, [
    OPEN_1,
    frame(GoAway, 0, 1, bytes(8)),
  ]],
  ["GOAWAY too short", ErrorCode.FrameSizeError, [
    frame(GoAway, 0, 0, bytes(7)),
  ]],
  ["WINDOW_UPDATE of 0 on the connection", ErrorCode.ProtocolError, [
    client.windowUpdate(0, 0),
  ]],
  ["WINDOW_UPDATE of the wrong size", ErrorCode.FrameSizeError, [
    frame(WindowUpdate, 0, 0, bytes(3)),
  ]],
  ["WINDOW_UPDATE on an idle stream", ErrorCode.ProtocolError, [
    client.windowUpdate(1, 1),
  ]],
  ["a window of the connection above 2^31-1", ErrorCode.FlowControlError, [
    client.windowUpdate(0, 2 ** 31 - 1 - 65_535),
    client.windowUpdate(0, 1),
  ]],
  ["SETTINGS that lift a window above 2^31-1", ErrorCode.FlowControlError, [
    OPEN_1,
    client.windowUpdate(1, 2 ** 31 - 1 - 65_535),
    client.settings([SettingId.InitialWindowSize, 65_536]),
  ]],
  ["HEADERS on a stream that the client reset", ErrorCode.StreamClosed, [
    OPEN_1,
    client.rstStream(1, 8),
    client.headers(1, REQUEST, true),
  ]],
];

for (const [what, code, sent] of CONNECTION_ERRORS) {
  Deno.test(`Connection.receive() ends the connection with ${code} for ${what}`, () => {
    const session = Session.open();
    session.sent();
    const lines = session.receive(...sent);
    assert.match(lines.at(-1)!, new RegExp(`^GOAWAY \\d+ ${code} .`));
    assert.ok(session.closed instanceof Error);
    assert.ok(session.connection.isClosed);
    assert.deepEqual(session.receive(client.ping("12345678")), []);
  });
}

const STREAM_ERRORS: [what: string, code: number, sent: Uint8Array[]][] = [
  ["DATA after END_STREAM", ErrorCode.StreamClosed, [
    WHOLE_1,
    client.data(1, bytes(1), true),
  ]],
  ["HEADERS after END_STREAM", ErrorCode.StreamClosed, [
    WHOLE_1,
    client.headers(1, ["a", "b"], true),
  ]],
  ["DATA on a stream that the client reset", ErrorCode.StreamClosed, [
    OPEN_1,
    client.rstStream(1, 8),
    client.data(1, bytes(1), true),
  ]],
  ["trailers without END_STREAM", ErrorCode.ProtocolError, [
    OPEN_1,
    client.headers(1, ["a", "b"], false),
  ]],
  ["a pseudo-header in trailers", ErrorCode.ProtocolError, [
    OPEN_1,
    client.headers(1, [":path", "/"], true),
  ]],
  ["PRIORITY of the wrong size", ErrorCode.FrameSizeError, [
    OPEN_1,
    frame(Priority, 0, 1, bytes(6)),
  ]],
  ["PRIORITY on itself", ErrorCode.ProtocolError, [
    OPEN_1,
    frame(Priority, 0, 1, Uint8Array.of(0x80, 0, 0, 1, 0)),
  ]],
  ["HEADERS that depend on themselves", ErrorCode.ProtocolError, [
    frame(
      Headers,
      Flag.Priority | Flag.EndHeaders,
      1,
      concatBytes(uint32(1), Uint8Array.of(9), BLOCK),
    ),
  ]],
  ["WINDOW_UPDATE of 0", ErrorCode.ProtocolError, [
    OPEN_1,
    client.windowUpdate(1, 0),
  ]],
  ["a window above 2^31-1", ErrorCode.FlowControlError, [
    OPEN_1,
    client.windowUpdate(1, 2 ** 31 - 1 - 65_535),
    client.windowUpdate(1, 1),
  ]],
  ["less DATA than content-length", ErrorCode.ProtocolError, [
    client.headers(1, [...REQUEST, "content-length", "3"], false),
    client.data(1, bytes(2), true),
  ]],
  ["more DATA than content-length", ErrorCode.ProtocolError, [
    client.headers(1, [...REQUEST, "content-length", "3"], false),
    client.data(1, bytes(4), false),
  ]],
  ["trailers before the end of content-length", ErrorCode.ProtocolError, [
    client.headers(1, [...REQUEST, "content-length", "3"], false),
    client.headers(1, ["a", "b"], true),
  ]],
  ["no DATA but a content-length", ErrorCode.ProtocolError, [
    client.headers(1, [...REQUEST, "content-length", "3"], true),
  ]],
];

const without = (name: string) => {
  const at = REQUEST.indexOf(name);
  return REQUEST.filter((_, i) => i !== at && i !== at + 1);
};
const MALFORMED: [what: string, fields: readonly string[]][] = [
  ["no :method", without(":method")],
  ["no :scheme", without(":scheme")],
  ["no :path", without(":path")],
  ["an empty :path", [...without(":path"), ":path", ""]],
  [":method twice", [...REQUEST, ":method", "POST"]],
  [":scheme twice", [...REQUEST, ":scheme", "http"]],
  [":path twice", [...REQUEST, ":path", "/"]],
  [":authority twice", [...REQUEST, ":authority", "host"]],
  ["an unknown pseudo-header", [...REQUEST, ":what", "x"]],
  ["a response's pseudo-header", [...REQUEST, ":status", "200"]],
  ["a pseudo-header behind a field", [
    ...without(":path"),
    "a",
    "b",
    ":path",
    "/",
  ]],
  ["an upper-case name", [...REQUEST, "X-Test", "x"]],
  ["an empty name", [...REQUEST, "", "x"]],
  ["a name with a space", [...REQUEST, "a b", "x"]],
  ["a name that is not ASCII", [...REQUEST, "\xe9", "x"]],
  ["a value with a line feed", [...REQUEST, "a", "x\ny"]],
  ["a value with a NUL", [...REQUEST, "a", "x\0y"]],
  ["connection", [...REQUEST, "connection", "close"]],
  ["keep-alive", [...REQUEST, "keep-alive", "1"]],
  ["proxy-connection", [...REQUEST, "proxy-connection", "close"]],
  ["transfer-encoding", [...REQUEST, "transfer-encoding", "chunked"]],
  ["upgrade", [...REQUEST, "upgrade", "h2c"]],
  ["te other than trailers", [...REQUEST, "te", "gzip"]],
  ["content-length that is no number", [...REQUEST, "content-length", "+1"]],
  ["two content-lengths", [
    ...REQUEST,
    "content-length",
    "1",
    "content-length",
    "2",
  ]],
  ["CONNECT with a :path", [
    ":method",
    "CONNECT",
    ":path",
    "/",
    ":authority",
    "h",
  ]],
];
for (const [what, fields] of MALFORMED) {
  STREAM_ERRORS.push([what, ErrorCode.ProtocolError, [
    client.headers(1, fields, false),
  ]]);
}

for (const [what, code, sent] of STREAM_ERRORS) {
  Deno.test(`Connection.receive() resets one stream with ${code} for ${what}`, () => {
    const session = Session.open();
    const other = session.client.headers(3, REQUEST, true);
    const lines = session.receive(...sent, client.ping("12345678"));
    assert.ok(lines.includes(`RST_STREAM 1 ${code}`), lines.join("; "));
    assert.equal(lines.at(-1), "PING ack 12345678", "the connection goes on");
    session.receive(other);
    assert.equal(session.events.at(-1), "request 3 POST /s/m end");
    const resets = session.events.filter((e) => e.startsWith("reset 1"));
    const wasOpen = session.streams.has(1);
    assert.equal(resets.length, wasOpen ? 1 : 0);
  });
}

Deno.test("Connection.receive() accepts what is only just right", () => {
  const session = Session.open();
  const request = [
    ...REQUEST,
    "te",
    "trailers",
    "content-length",
    "3",
    "a",
    "",
    "b",
    "x y\xff",
  ];
  const lines = session.receive(
    frame(
      Headers,
      Flag.Priority | Flag.Padded | Flag.EndHeaders,
      1,
      concatBytes(
        Uint8Array.of(7),
        uint32(3),
        Uint8Array.of(9),
        client.block(request),
        bytes(7),
      ),
    ),
    frame(
      Data,
      Flag.Padded,
      1,
      concatBytes(Uint8Array.of(2), utf8("abc"), bytes(2)),
    ),
    client.headers(1, ["t", "u"], true),
    frame(Priority, 0, 1, bytes(5)),
    frame(Priority, 0, 99, bytes(5)),
    frame(0xee, 0xff, 77, bytes(3)),
    frame(GoAway, 0, 0, bytes(8)),
    client.rstStream(1, 8),
    client.windowUpdate(1, 0), // on a closed stream it means nothing
    client.settings([SettingId.MaxFrameSize, 2 ** 24 - 1], [77, 1]),
    client.settings([SettingId.InitialWindowSize, 2 ** 31 - 1]),
  );
  assert.deepEqual(lines.slice(-2), ["SETTINGS ack", "SETTINGS ack"]);
  assert.equal(session.closed, "no");
  assert.deepEqual(session.events, [
    "request 1 POST /s/m",
    "data 1 3",
    "trailers 1 t=u",
    "reset 1 8",
  ]);
});

Deno.test("Connection.receive() takes the host for a missing :authority", () => {
  const session = Session.open();
  let authority = "";
  session.onRequest = (_stream, headers) => authority = headers.authority;
  const fields = [...without(":authority"), "host", "example"];
  session.receive(client.headers(1, fields, true));
  assert.equal(authority, "example");
});

Deno.test("Connection.receive() refuses a wrong preface", () => {
  const session = new Session();
  const lines = session.receive(utf8("PRI * HTTP/1.1\r\n\r\n"));
  assert.match(lines.at(-1)!, /^GOAWAY 0 1 invalid connection preface$/);
});

Deno.test("Connection.receive() wants SETTINGS first", () => {
  for (const first of [client.ping("12345678"), client.settingsAck()]) {
    const session = new Session();
    const lines = session.receive(CLIENT_PREFACE, first);
    assert.match(lines.at(-1)!, /^GOAWAY 0 1 first frame is not SETTINGS$/);
  }
});

Deno.test("Connection closes when the preface does not come in time", () => {
  const session = new Session();
  session.receive(CLIENT_PREFACE);
  session.clock.advance(19_999);
  assert.deepEqual(session.sent(), []);
  session.clock.advance(1);
  assert.deepEqual(session.sent(), [
    "GOAWAY 0 1 no connection preface in time",
  ]);
  assert.ok(session.closed instanceof Error);
});

Deno.test("Connection.receive() turns an exception of the handler into INTERNAL_ERROR", () => {
  const session = Session.open();
  const cause = new Error("broken handler");
  session.onRequestEnd = () => {
    throw cause;
  };
  const lines = session.receive(WHOLE_1);
  assert.equal(lines.at(-1), "GOAWAY 1 2 internal error");
  assert.equal((session.closed as Error).cause, cause);
  assert.deepEqual(session.events.at(-1), "reset 1 2");
});
