import assert from "node:assert/strict";
import type { Http2Limits } from "../../../../src/transport/http2/limits.ts";
import { HEAD, Session } from "../../../support/h2_session.ts";

const HOUR = 3_600_000;

/** How many pings, `apartMs` from each other, a client gets through before it is told off; at most 20. */
function pingsUntilGoAway(
  apartMs: number,
  limits: Partial<Http2Limits> = {},
  prepare: (session: Session) => void = () => {},
): number {
  const session = Session.open({ pingIntervalMs: 0, ...limits });
  prepare(session);
  for (let pings = 1; pings <= 20; pings++) {
    const lines = session.receive(session.client.ping("12345678"));
    assert.equal(lines.at(0), "PING ack 12345678");
    if (session.connection.isClosed) {
      assert.match(lines.at(-1)!, /^GOAWAY \d 11 too_many_pings$/);
      return pings;
    }
    session.clock.advance(apartMs);
  }
  return Infinity;
}

Deno.test("A client without streams may ping every two hours", () => {
  assert.equal(pingsUntilGoAway(2 * HOUR - 1), 4);
  assert.equal(pingsUntilGoAway(2 * HOUR), Infinity);
});

Deno.test("A client with a stream may ping every five seconds", () => {
  const open = (session: Session) => void session.request(false);
  assert.equal(pingsUntilGoAway(4_999, {}, open), 4);
  assert.equal(pingsUntilGoAway(5_000, {}, open), Infinity);
});

Deno.test("permitPingWithoutStream lets a client without streams ping every five seconds", () => {
  const limits = { permitPingWithoutStream: true };
  assert.equal(pingsUntilGoAway(4_999, limits), 4);
  assert.equal(pingsUntilGoAway(5_000, limits), Infinity);
});

Deno.test("An answer between pings forgives the strikes", () => {
  const session = Session.open();
  const stream = session.request(true);
  stream.sendHeaders(HEAD, false);
  for (let i = 0; i < 20; i++) {
    // One that is free, and two strikes.
    for (let j = 0; j < 3; j++) {
      session.receive(session.client.ping("12345678"));
    }
    stream.sendData(new Uint8Array(1));
  }
  assert.equal(session.connection.isClosed, false);
  for (let j = 0; j < 4; j++) session.receive(session.client.ping("12345678"));
  assert.equal(session.connection.openStreams, 0);
});

Deno.test("Connection pings a silent client, and closes if it stays silent", () => {
  const session = Session.open();
  session.clock.advance(2 * HOUR - 1);
  assert.deepEqual(session.sent(), []);
  session.clock.advance(1);
  assert.deepEqual(session.sent(), ["PING stele ka"]);
  session.clock.advance(19_999);
  assert.deepEqual(session.sent(), []);
  session.clock.advance(1);
  assert.deepEqual(session.sent(), ["GOAWAY 0 0 keepalive ping timed out"]);
  assert.ok(session.closed instanceof Error);
});

Deno.test("Connection counts the client's silence from its last byte", () => {
  const session = Session.open();
  session.clock.advance(HOUR);
  session.request(false);
  session.clock.advance(2 * HOUR - 1);
  assert.ok(!session.sent().includes("PING stele ka"));
  session.clock.advance(1);
  assert.deepEqual(session.sent(), ["PING stele ka"]);
  session.clock.advance(10);
  const { client } = session;
  session.receive(client.pingAck(new TextEncoder().encode("stele ka")));
  session.clock.advance(2 * HOUR - 1);
  assert.deepEqual(session.sent(), []);
  session.clock.advance(1);
  assert.deepEqual(session.sent(), ["PING stele ka"]);
});

Deno.test("pingIntervalMs of 0 turns pings off", () => {
  const session = Session.open({ pingIntervalMs: 0 });
  session.clock.advance(100 * HOUR);
  assert.deepEqual(session.sent(), []);
});
