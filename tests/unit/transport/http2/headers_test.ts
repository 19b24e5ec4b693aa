import assert from "node:assert/strict";
import { concatBytes } from "../../../../src/base/bytes.ts";
import { HeaderBlock } from "../../../../src/transport/http2/header_block.ts";
import {
  ErrorCode,
  Flag,
  FrameType,
} from "../../../../src/transport/http2/frame.ts";
import type { RequestHeaders } from "../../../../src/transport/http2/stream_handler.ts";
import { frame, ServerOutput } from "../../../support/h2_client.ts";
import { REQUEST, Session } from "../../../support/h2_session.ts";

/** A session that keeps the headers of its requests. */
class Headers extends Session {
  readonly seen: RequestHeaders[] = [];

  override onRequest(
    stream: Parameters<Session["onRequest"]>[0],
    headers: RequestHeaders,
    endStream: boolean,
  ): void {
    super.onRequest(stream, headers, endStream);
    this.seen.push(headers);
  }

  static ready(limits: ConstructorParameters<typeof Session>[0] = {}): Headers {
    const session = new Headers(limits);
    session.receive(session.client.preface());
    return session;
  }
}

Deno.test("Connection hands out the same headers for a block that repeats", () => {
  const session = Headers.ready();
  const { client } = session;
  const other = [...REQUEST, "a", "b"];
  for (let i = 0; i < 3; i++) {
    for (const fields of [REQUEST, other]) {
      session.receive(client.indexedHeaders(client.nextId(), fields, true));
    }
  }
  const { seen } = session;
  assert.notEqual(seen[2], seen[0], "the first blocks changed the table");
  assert.equal(seen[4], seen[2]);
  assert.equal(seen[5], seen[3]);
  assert.notEqual(seen[4], seen[5]);
  assert.deepEqual(seen[5]!.fields, ["a", "b"]);
});

Deno.test("Connection hands out values as they are, with spaces and tabs at their ends", () => {
  const session = Headers.ready();
  const { client } = session;
  const fields = ["a", " x", "b", "x\t", "authorization", "Bearer "];
  const block = [...REQUEST, ...fields];
  session.receive(client.indexedHeaders(client.nextId(), block, true));
  assert.deepEqual(session.seen[0]!.fields, fields);
});

Deno.test("Connection decodes a block anew when the table has changed", () => {
  const session = Headers.ready();
  const { client } = session;
  const send = (fields: readonly string[]) =>
    session.receive(client.indexedHeaders(client.nextId(), fields, true));
  send([...REQUEST, "x", "1"]);
  send([...REQUEST, "x", "1"]);
  // A size update to 0 and back empties the table; then the same index means another field.
  client.encoder.table.resize(0);
  client.encoder.table.resize(4096);
  const id = client.nextId();
  session.receive(
    client.headersOf(
      id,
      Uint8Array.of(0x20, 0x3f, 0xe1, 0x1f, ...client.block(REQUEST)),
      true,
    ),
  );
  send([...REQUEST, "x", "2"]);
  send([...REQUEST, "x", "2"]);
  const values = session.seen.map((h) => h.fields.at(-1));
  assert.deepEqual(values, ["1", "1", undefined, "2", "2"]);
});

Deno.test("Connection remembers more than eight different blocks correctly", () => {
  const session = Headers.ready();
  const { client } = session;
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 20; i++) {
      const fields = [...REQUEST, "x", String(i)];
      session.receive(client.headers(client.nextId(), fields, true));
      assert.equal(session.seen.at(-1)!.fields.at(-1), String(i));
    }
  }
});

Deno.test("Connection puts CONTINUATION frames together", () => {
  const session = Headers.ready({ maxContinuationFrames: 1000 });
  const fields = [...REQUEST, "long", "x".repeat(3000)];
  const block = session.client.block(fields);
  const parts = [frame(FrameType.Headers, Flag.EndStream, 1)];
  for (let at = 0; at < block.length; at += 7) {
    const last = at + 7 >= block.length ? Flag.EndHeaders : 0;
    parts.push(
      frame(FrameType.Continuation, last, 1, block.slice(at, at + 7)),
    );
  }
  session.receive(...parts);
  assert.deepEqual(session.seen[0]!.fields, ["long", "x".repeat(3000)]);
  assert.deepEqual(session.events, ["request 1 POST /s/m end"]);
});

Deno.test("Connection bounds CONTINUATION frames, empty ones included", () => {
  for (const [frames, isClosed] of [[32, false], [33, true]] as const) {
    const session = Headers.ready();
    session.receive(frame(FrameType.Headers, 0, 1));
    for (let i = 0; i < frames; i++) {
      session.receive(frame(FrameType.Continuation, 0, 1));
    }
    assert.equal(session.connection.isClosed, isClosed);
  }
});

Deno.test("Connection bounds the bytes of an unfinished header section", () => {
  const session = Headers.ready({ maxHeaderListBytes: 30_000 });
  session.receive(frame(FrameType.Headers, 0, 1, new Uint8Array(16_000)));
  session.receive(frame(FrameType.Continuation, 0, 1, new Uint8Array(14_000)));
  assert.equal(session.connection.isClosed, false);
  const lines = session.receive(
    frame(FrameType.Continuation, 0, 1, new Uint8Array(1)),
  );
  assert.deepEqual(lines.at(-1), "GOAWAY 0 11 header section too large");
});

Deno.test("Connection resets a stream whose fields exceed the limit, and no other", () => {
  // 4 pseudo-headers of REQUEST: 7+4, 7+4, 5+4, 10+4 and 32 each.
  const size = 45 + 4 * 32;
  const fits = [...REQUEST, "a", "x".repeat(1000 - size - 33)];
  const tooLong = [...REQUEST, "a", "x".repeat(1000 - size - 32)];
  const session = Headers.ready({ maxHeaderListBytes: 1000 });
  session.receive(session.client.headers(1, fits, true));
  assert.equal(session.seen.length, 1);
  const lines = session.receive(session.client.headers(3, tooLong, true));
  assert.deepEqual(lines, [`RST_STREAM 3 ${ErrorCode.EnhanceYourCalm}`]);
  session.request(true, 5);
  assert.equal(session.seen.length, 2);
});

Deno.test("Connection ends with a section whose fields are much more than the limit", () => {
  // Index 2 is ":method: GET": 42 bytes decoded. The first one that exceeds 16,000 bytes is number 381.
  for (const [fields, isClosed] of [[380, false], [381, true]] as const) {
    const session = Headers.ready({ maxHeaderListBytes: 1000 });
    const block = new Uint8Array(fields).fill(0x82);
    session.receive(session.client.headersOf(1, block, true));
    assert.equal(session.connection.isClosed, isClosed);
    assert.equal(session.seen.length, 0);
  }
});

Deno.test("Connection keeps its HPACK table in step when it refuses a request", () => {
  const session = Headers.ready({ maxConcurrentStreams: 1 });
  const { client } = session;
  session.request(false, 1);
  // The refused block puts a field into the table that the next one uses.
  const lines = session.receive(
    client.indexedHeaders(3, [...REQUEST, "x", "y"], true),
  );
  assert.deepEqual(lines, [`RST_STREAM 3 ${ErrorCode.RefusedStream}`]);
  session.receive(client.rstStream(1, 8));
  session.receive(client.indexedHeaders(5, [...REQUEST, "x", "y"], true));
  assert.deepEqual(session.seen.at(-1)!.fields, ["x", "y"]);
});

Deno.test("ServerStream.sendHeaders() splits a block that exceeds the peer's frame size", () => {
  const session = Session.open();
  const value = "~".repeat(40_000); // thirteen bits each when coded: sent as they are
  const block = new HeaderBlock([":status", "200", "long", value]);
  session.onRequestEnd = (stream) => stream.sendHeaders(block, true);
  const before = session.writes.length;
  session.request(true);
  const written = concatBytes(...session.writes.slice(before));
  const frames = new ServerOutput().frames(written);
  assert.deepEqual(
    frames.map((f) => [f.type, f.flags, f.payload.length]),
    [
      [FrameType.Headers, Flag.EndStream, 16_384],
      [FrameType.Continuation, 0, 16_384],
      [
        FrameType.Continuation,
        Flag.EndHeaders,
        block.literalBytes.length - 2 * 16_384,
      ],
    ],
  );
  const whole = concatBytes(...frames.map((f) => f.payload));
  assert.deepEqual(whole, block.literalBytes);
});
