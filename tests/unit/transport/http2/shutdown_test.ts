import assert from "node:assert/strict";
import { utf8 } from "../../../../src/base/bytes.ts";
import { bodyOf, HEAD, Session, TAIL } from "../../../support/h2_session.ts";

const FIRST = ["GOAWAY 2147483647 0 shutdown", "PING stele go"];
const ACK = utf8("stele go");

Deno.test("Connection.shutdown() lets streams finish, those included that come before the ping's answer", async () => {
  const session = Session.open();
  const before = session.request(true, 1);
  session.sent();
  session.connection.shutdown(60_000);
  assert.deepEqual(session.sent(), FIRST);
  const meanwhile = session.request(true, 3);
  assert.deepEqual(session.receive(session.client.pingAck(ACK)), [
    "GOAWAY 3 0 shutdown",
  ]);
  assert.equal(session.closed, "no");
  session.request(true, 5);
  assert.deepEqual(session.sent(), [], "it was told that 5 will not be served");
  for (const stream of [before, meanwhile]) {
    stream.respond(HEAD, 10, bodyOf(7, 10), TAIL);
  }
  await Promise.resolve();
  assert.equal(session.sent().at(-1), "HEADERS 3 end grpc-status=0");
  assert.equal(session.closed, "yes");
  assert.deepEqual(session.events, [
    "request 1 POST /s/m end",
    "request 3 POST /s/m end",
  ]);
});

Deno.test("Connection.shutdown() ignores DATA and trailers of streams above the last", () => {
  const session = Session.open();
  const { client } = session;
  session.request(false, 1);
  session.connection.shutdown(60_000);
  session.receive(client.pingAck(ACK));
  session.request(false, 3);
  session.receive(
    client.data(3, new Uint8Array(10), false),
    client.headers(3, ["t", "u"], true),
    client.rstStream(3, 8),
    client.windowUpdate(3, 1),
  );
  assert.equal(session.closed, "no");
  assert.deepEqual(session.sent(), []);
});

Deno.test("Connection.shutdown() closes an idle connection when the ping is answered", () => {
  const session = Session.open();
  let closed = 0;
  session.connection.onClosed = () => closed++;
  session.connection.shutdown(60_000);
  assert.deepEqual(session.sent(), FIRST);
  assert.equal(closed, 0);
  session.receive(session.client.pingAck(utf8("12345678")));
  assert.equal(closed, 0, "that was another ping");
  const lines = session.receive(session.client.pingAck(ACK));
  assert.deepEqual(lines, ["GOAWAY 0 0 shutdown"]);
  assert.equal(session.closed, "yes");
  assert.equal(closed, 1);
});

Deno.test("Connection.shutdown() does not wait for the ping's answer for ever", async () => {
  const session = Session.open();
  session.connection.shutdown(60_000);
  session.sent();
  session.clock.advance(4_999);
  await Promise.resolve();
  assert.deepEqual(session.sent(), []);
  session.clock.advance(1);
  await Promise.resolve();
  assert.deepEqual(session.sent(), ["GOAWAY 0 0 shutdown"]);
  assert.equal(session.closed, "yes");
});

Deno.test("Connection.shutdown() ends what is open after the grace", () => {
  const session = Session.open();
  session.request(false, 1);
  session.connection.shutdown(60_000);
  session.receive(session.client.pingAck(ACK));
  session.clock.advance(59_999);
  assert.equal(session.connection.openStreams, 1);
  session.clock.advance(1);
  assert.equal(session.closed, "yes");
  assert.equal(session.events.at(-1), "reset 1 8");
});

Deno.test("Connection.shutdown() without grace ends at once", () => {
  const session = Session.open();
  session.request(false, 1);
  session.sent();
  session.connection.shutdown(0);
  assert.deepEqual(session.sent(), ["GOAWAY 1 0 shutdown"]);
  assert.equal(session.closed, "yes");
  session.connection.shutdown(0);
});

Deno.test("Connection.shutdown() before the preface ends at once", () => {
  const session = new Session();
  session.connection.shutdown(60_000);
  assert.equal(session.sent().at(-1), "GOAWAY 0 0 shutdown");
  assert.equal(session.closed, "yes");
});
