import assert from "node:assert/strict";
import { concatBytes, text, utf8 } from "../../../../src/base/bytes.ts";
import {
  OutgoingCall,
  type OutgoingCallListener,
} from "../../../../src/transport/grpc/outgoing_call.ts";
import { Code, type Status } from "../../../../src/transport/grpc/status.ts";
import {
  CLIENT_PREFACE,
  Flag,
  FrameType,
  readUint32,
  SettingId,
} from "../../../../src/transport/http2/frame.ts";
import { HeaderBlock } from "../../../../src/transport/http2/header_block.ts";
import { Decoder } from "../../../../src/transport/http2/hpack/decoder.ts";
import { frame, uint32 } from "../../../support/h2_client.ts";

const OK_HEAD = [":status", "200", "content-type", "application/grpc"];

Deno.test("OutgoingCall begins with preface, settings and headers", () => {
  const f = new Fixture();
  const bytes = concatBytes(...f.written);
  assert.deepEqual(bytes.subarray(0, CLIENT_PREFACE.length), CLIENT_PREFACE);
  const types = f.frames().map(({ type }) => type);
  assert.deepEqual(types, [
    FrameType.Settings,
    FrameType.WindowUpdate,
    FrameType.Headers,
  ]);
  const fields = fieldsOf(f.frames()[2]!.payload);
  assert.equal(fields[":path"], "/a/B");
  assert.equal(fields[":authority"], "db:2379");
  assert.equal(fields["te"], "trailers");
  assert.equal(fields["x-secret"], "s");
});

Deno.test("OutgoingCall hands over messages, however their bytes come", () => {
  const answer = concatBytes(
    headers(OK_HEAD),
    data(concatBytes(message("one"), message(""), message("t"))),
    data(message("three").subarray(0, 7)),
    data(message("three").subarray(7)),
    data(
      concatBytes(Uint8Array.of(3), message("padded"), new Uint8Array(3)),
      Flag.Padded,
    ),
    headers(["grpc-status", "0"], true),
  );
  for (const size of [1, 2, 7, 64, answer.length]) {
    const f = new Fixture();
    for (let at = 0; at < answer.length; at += size) {
      f.call.receive(answer.slice(at, at + size));
    }
    assert.deepEqual(f.messages, ["one", "", "t", "three", "padded"]);
    assert.deepEqual(f.ends, [{ code: Code.Ok, message: "" }]);
    assert.equal(f.call.isOver, true);
  }
});

Deno.test("OutgoingCall reads headers in parts, and a status that is all there is", () => {
  const f = new Fixture();
  const fields = [
    ...OK_HEAD,
    "grpc-status",
    "9",
    "grpc-message",
    "caf%C3%A9 50%25",
  ];
  const block = new HeaderBlock(fields).literalBytes;
  f.receive(
    frame(FrameType.Headers, Flag.EndStream, 1, block.subarray(0, 10)),
    frame(FrameType.Continuation, 0, 1, block.subarray(10, 20)),
    frame(FrameType.Continuation, Flag.EndHeaders, 1, block.subarray(20)),
  );
  assert.deepEqual(f.ends, [{ code: 9, message: "café 50%" }]);
});

Deno.test("OutgoingCall.send() waits for the server's windows", () => {
  const f = new Fixture();
  f.call.send(new Uint8Array(70_000));
  f.call.send(utf8("next"));
  assert.equal(f.sentBytes(), 65_535);
  assert.equal(f.call.unsentBytes, 70_005 + 9 - 65_535);
  f.receive(frame(FrameType.WindowUpdate, 0, 0, uint32(1 << 20)));
  assert.equal(f.sentBytes(), 65_535, "the stream's is still used up");
  f.receive(settings(SettingId.InitialWindowSize, 65_545));
  assert.equal(f.sentBytes(), 65_545);
  f.receive(frame(FrameType.WindowUpdate, 0, 1, uint32(1 << 20)));
  assert.equal(f.sentBytes(), 70_005 + 9);
  assert.equal(f.call.unsentBytes, 0);
  for (const { type, payload } of f.frames()) {
    if (type === FrameType.Data) assert.ok(payload.length <= 16_384);
  }
});

Deno.test("OutgoingCall gives windows back, acknowledges settings and answers pings", () => {
  const f = new Fixture();
  f.receive(headers(OK_HEAD), settings(SettingId.MaxFrameSize, 16_384));
  const ping = utf8("12345678");
  f.receive(frame(FrameType.Ping, 0, 0, ping));
  f.receive(frame(FrameType.Ping, Flag.Ack, 0, ping));
  const after = f.frames().slice(3);
  assert.deepEqual(after.map(({ type, flags }) => [type, flags]), [
    [FrameType.Settings, Flag.Ack],
    [FrameType.Ping, Flag.Ack],
  ]);
  assert.deepEqual(after[1]!.payload, ping);
  const big = data(new Uint8Array(16_384));
  f.receive(data(Uint8Array.of(0, 0x10, 0, 0, 0)));
  for (let i = 0; i < 4096; i++) f.receive(big);
  const updates = f.frames().slice(5);
  assert.deepEqual(updates.map(({ type }) => type), [
    FrameType.WindowUpdate,
    FrameType.WindowUpdate,
  ]);
});

for (
  const [what, frames, message] of [
    ["a reset", [frame(FrameType.RstStream, 0, 1, uint32(8))], /reset.*8/],
    [
      "GOAWAY before it was seen",
      [frame(FrameType.GoAway, 0, 0, concatBytes(uint32(0), uint32(2)))],
      /goes away: 2/,
    ],
    ["an end without trailers", [
      headers(OK_HEAD),
      data(new Uint8Array(0), Flag.EndStream),
    ], /without a status/],
    ["trailers without a status", [
      headers(OK_HEAD),
      headers(["a", "b"], true),
    ], /without a status/],
    ["another kind of server", [headers([":status", "404"])], /HTTP 404/],
    ["a frame that is too large", [
      Uint8Array.of(0x7f, 0, 0, 0, 0, 0, 0, 0, 1),
    ], /exceeds/],
    ["headers that make no sense", [
      frame(FrameType.Headers, Flag.EndHeaders, 1, Uint8Array.of(0xff)),
    ], /./],
    ["headers without end", [
      frame(FrameType.Headers, 0, 1, new Uint8Array(16_384)),
      ...Array(4).fill(
        frame(FrameType.Continuation, 0, 1, new Uint8Array(16_384)),
      ),
    ], /too large/],
    ["a message of another format", [
      headers(OK_HEAD),
      data(Uint8Array.of(9, 0, 0, 0, 0)),
    ], /payload format/],
  ] as const
) {
  Deno.test(`OutgoingCall ends with ${what}, once`, () => {
    const f = new Fixture();
    f.receive(...frames);
    f.call.lost("again");
    f.receive(headers(["grpc-status", "0"], true));
    assert.equal(f.ends.length, 1);
    assert.equal(f.ends[0]!.code, Code.Unavailable);
    assert.match(f.ends[0]!.message, message);
  });
}

Deno.test("OutgoingCall is not ended by a GOAWAY that lets it finish", () => {
  const f = new Fixture();
  const last = concatBytes(uint32(1), uint32(0));
  f.receive(frame(FrameType.GoAway, 0, 0, last));
  assert.equal(f.call.isOver, false);
});

Deno.test("OutgoingCall.cancel() resets the stream, and nothing more is heard or sent", () => {
  const f = new Fixture();
  f.call.cancel();
  f.call.cancel();
  f.call.send(utf8("x"));
  f.receive(headers(OK_HEAD), data(message("x")));
  f.call.lost("gone");
  const after = f.frames().slice(3);
  assert.deepEqual(after.map(({ type }) => type), [FrameType.RstStream]);
  assert.deepEqual([f.messages, f.ends], [[], []]);
});

class Fixture implements OutgoingCallListener {
  readonly written: Uint8Array[] = [];
  readonly messages: string[] = [];
  readonly ends: Status[] = [];
  readonly call = new OutgoingCall({
    scheme: "http",
    authority: "db:2379",
    path: "/a/B",
    metadata: { "x-secret": "s" },
  }, this);

  write(bytes: Uint8Array): void {
    this.written.push(bytes);
  }

  onMessage(message: Uint8Array): void {
    this.messages.push(text(message));
  }

  onEnd(status: Status): void {
    this.ends.push(status);
  }

  receive(...frames: readonly Uint8Array[]): void {
    for (const bytes of frames) this.call.receive(bytes.slice());
  }

  /** What was written, behind the preface. */
  frames() {
    const bytes = concatBytes(...this.written).subarray(CLIENT_PREFACE.length);
    const found: { type: number; flags: number; payload: Uint8Array }[] = [];
    for (let at = 0; at < bytes.length;) {
      const length = readUint32(bytes, at) >>> 8;
      const payload = bytes.subarray(at + 9, at + 9 + length);
      found.push({ type: bytes[at + 3]!, flags: bytes[at + 4]!, payload });
      at += 9 + length;
    }
    return found;
  }

  /** Bytes of DATA. */
  sentBytes(): number {
    return this.frames().filter(({ type }) => type === FrameType.Data)
      .reduce((sum, { payload }) => sum + payload.length, 0);
  }
}

function headers(fields: readonly string[], endStream = false): Uint8Array {
  const flags = Flag.EndHeaders | (endStream ? Flag.EndStream : 0);
  const block = new HeaderBlock(fields).literalBytes;
  return frame(FrameType.Headers, flags, 1, block);
}

function data(payload: Uint8Array, flags = 0): Uint8Array {
  return frame(FrameType.Data, flags, 1, payload);
}

function settings(id: number, value: number): Uint8Array {
  const payload = concatBytes(Uint8Array.of(0, id), uint32(value));
  return frame(FrameType.Settings, 0, 0, payload);
}

function message(content: string): Uint8Array {
  const bytes = utf8(content);
  return concatBytes(Uint8Array.of(0), uint32(bytes.length), bytes);
}

function fieldsOf(block: Uint8Array): Record<string, string> {
  const fields: Record<string, string> = {};
  new Decoder(4096).decode(block, 0, block.length, {
    field: (name, value) => void (fields[name] = value),
  });
  return fields;
}
