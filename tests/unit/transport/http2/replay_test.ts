import assert from "node:assert/strict";
import { concatBytes } from "../../../../src/base/bytes.ts";
import { SettingId } from "../../../../src/transport/http2/frame.ts";
import {
  bodyOf,
  HEAD,
  REQUEST,
  Session,
  TAIL,
} from "../../../support/h2_session.ts";

/** A whole session of a client: settings, calls, a large upload, resets and pings. */
function clientBytes(): Uint8Array {
  const { client } = new Session();
  const parts = [
    client.preface([SettingId.InitialWindowSize, 3000]),
    client.settingsAck(),
  ];
  for (let i = 0; i < 5; i++) {
    const id = client.nextId();
    parts.push(client.indexedHeaders(id, [...REQUEST, "a", "b"], false));
    parts.push(client.data(id, new Uint8Array(25).fill(i), true));
  }
  const upload = client.nextId();
  parts.push(client.headers(upload, REQUEST, false));
  for (let i = 0; i < 5; i++) {
    parts.push(client.data(upload, new Uint8Array(16_384).fill(i), false));
  }
  parts.push(client.headers(upload, ["t", "u"], true));
  parts.push(client.windowUpdate(upload, 2000));
  parts.push(client.windowUpdate(0, 100_000));
  parts.push(client.ping("12345678"));
  const cancelled = client.nextId();
  parts.push(client.headers(cancelled, REQUEST, false));
  parts.push(client.rstStream(cancelled, 8));
  parts.push(client.settings([SettingId.InitialWindowSize, 70_000]));
  return concatBytes(...parts);
}

/** What the server writes and tells if the client's bytes come in chunks of `size`. */
function replay(bytes: Uint8Array, size: number) {
  const session = new Session();
  session.onRequestEnd = (stream) =>
    stream.respond(HEAD, 4000, bodyOf(stream.id, 4000), TAIL);
  for (let at = 0; at < bytes.length; at += size) {
    // A fresh buffer per read, as the socket gives.
    session.connection.receive(bytes.slice(at, at + size));
  }
  // What it was about to send when the connection failed is not said any more, so this comes on its own.
  session.connection.receive(session.client.headers(2, REQUEST, true));
  return session;
}

Deno.test("Connection.receive() does the same however the client's bytes are split", () => {
  const bytes = clientBytes();
  const whole = replay(bytes, bytes.length);
  const answer = whole.sent();
  assert.match(answer.at(-1)!, /^GOAWAY 13 1 /);
  assert.equal(answer.filter((l) => l.includes("end grpc-status=0")).length, 6);
  for (const size of [1, 2, 7, 8, 9, 10, 1000, 16_384, 65_536]) {
    const session = replay(bytes, size);
    assert.deepEqual(session.events, whole.events);
    assert.deepEqual(byStream(session.sent()), byStream(answer));
  }
});

Deno.test("Connection.receive() never overwrites DATA that it handed out", () => {
  const { client } = new Session();
  const payload = Uint8Array.from({ length: 20_000 }, (_, i) => i * 7);
  const bytes = concatBytes(
    client.preface(),
    client.headers(1, REQUEST, false),
    client.data(1, payload.slice(0, 10_000), false),
    client.data(1, payload.slice(10_000), true),
    client.headers(3, REQUEST, false),
    client.data(3, new Uint8Array(16_000), true),
  );
  for (const size of [1, 700, 5000, bytes.length]) {
    const session = new Session();
    const views: Uint8Array[] = [];
    session.onData = (stream, chunk) => {
      if (stream.id === 1) views.push(chunk);
    };
    for (let at = 0; at < bytes.length; at += size) {
      session.connection.receive(bytes.slice(at, at + size));
    }
    assert.deepEqual(concatBytes(...views), payload);
  }
});

/**
 * Frames in order per stream, DATA lengths added up: how turns fall decides how the frames of streams mix and how
 * DATA is cut, and nothing else.
 */
function byStream(lines: readonly string[]): Record<string, string[]> {
  const streams: Record<string, string[]> = {};
  for (const line of lines) {
    const [type, id] = line.split(" ");
    const isStream = type === "DATA" || type === "HEADERS";
    const list = streams[isStream ? id! : type!] ??= [];
    const last = list.at(-1);
    if (type === "DATA" && last?.startsWith("DATA")) {
      const sum = Number(last.split(" ").at(-1)) +
        Number(line.split(" ").at(-1));
      list[list.length - 1] = `DATA ${id} ${sum}`;
    } else list.push(line);
  }
  return streams;
}
