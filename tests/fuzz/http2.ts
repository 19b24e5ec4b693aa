import assert from "node:assert/strict";
import { concatBytes, utf8 } from "../../src/base/bytes.ts";
import { ConnectionError } from "../../src/transport/http2/errors.ts";
import { Flag, FrameType } from "../../src/transport/http2/frame.ts";
import { frame, uint32 } from "../support/h2_client.ts";
import type { Random } from "../support/random.ts";
import {
  BOTH,
  DOWN,
  framed,
  GrpcSession,
  settle,
  UNARY,
} from "../unit/transport/grpc/grpc_session.ts";
import { type FuzzTarget, mutate, randomBytes } from "./target.ts";

const STEPS = 60;
const MAX_OUTPUT_BYTES = 8 << 20;

/**
 * gRPC over HTTP/2 without a socket: calls, control frames and what is none, damaged and cut anywhere. The connection
 * ends in an error of the protocol or goes on; no call is forgotten or ends twice, and nothing is left of them.
 */
export const HTTP2: FuzzTarget = {
  name: "http2",
  async run(random) {
    const session = new WatchedSession({
      maxReceiveBytes: 5_000,
      maxPartialBytes: 20_000,
    }, { window: random.pick([0, 10, 1_000, 1 << 30]) });
    session.down = async (request, _call, out) => {
      for (let i = 0; i < 5; i++) {
        out.send(request.repeat(20));
        await out.drained();
      }
    };
    for (let i = 0; i < STEPS && !session.connection.isClosed; i++) {
      receive(session, random, part(session, random));
      if (random.oneIn(8)) await settle();
      if (random.oneIn(20)) session.clock.advance(random.int(3_000));
    }
    session.connection.close();
    await settle();
    session.check();
  },
};

/** Knows how its connection ended. */
class WatchedSession extends GrpcSession {
  #closedWith: Error | undefined = undefined;
  #closes = 0;

  override close(error?: Error): void {
    this.#closes++;
    this.#closedWith = error;
  }

  check(): void {
    assert.ok(this.#closes <= 1, "closed once");
    if (this.#closedWith !== undefined) {
      assert.ok(this.#closedWith instanceof ConnectionError);
      assert.equal(this.#closedWith.cause, undefined, "an error of ours");
    }
    assert.equal(this.connection.openStreams, 0);
    assert.equal(this.connection.bufferedBytes, 0);
    assert.equal(this.server.activeCalls, 0);
    assert.equal(this.server.budget.usedBytes, 0);
    const { lines } = this.notes;
    const started = lines.filter((line) => line.startsWith("started"));
    assert.equal(2 * started.length, lines.length, "each call ends once");
    assert.ok(this.connection.bytesOut < MAX_OUTPUT_BYTES);
  }
}

/** Hands bytes over in pieces. */
function receive(
  { connection }: GrpcSession,
  random: Random,
  bytes: Uint8Array,
): void {
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + random.int(random.oneIn(3) ? 10 : bytes.length);
    connection.receive(bytes.slice(at, end));
    at = end;
  }
}

/** Something that a client may say, or may not. */
function part(session: GrpcSession, random: Random): Uint8Array {
  const whole = random.oneIn(4)
    ? anyFrame(random)
    : random.oneIn(3)
    ? control(session, random)
    : call(session, random);
  return random.oneIn(12) ? mutate(random, whole) : whole;
}

function call({ client }: GrpcSession, random: Random): Uint8Array {
  const id = random.oneIn(6) ? 1 + 2 * random.int(40) : client.nextId();
  const fields = [
    ...[":method", random.oneIn(20) ? "GET" : "POST", ":scheme", "http"],
    ...[":path", random.pick([UNARY, DOWN, BOTH, "/no/thing"])],
    ...["content-type", random.oneIn(20) ? "text/x" : "application/grpc"],
  ];
  if (random.oneIn(5)) fields.push("grpc-timeout", `${random.int(3_000)}m`);
  if (random.oneIn(8)) fields.push("grpc-encoding", "gzip");
  if (random.oneIn(20)) fields.push("content-length", `${random.int(100)}`);
  const encode = random.oneIn(2) ? "headers" : "indexedHeaders";
  const parts = [client[encode](id, fields, random.oneIn(10))];
  for (let i = random.int(4); i > 0; i--) {
    const body = random.oneIn(5)
      ? randomBytes(random, 300)
      : framed("m".repeat(random.int(2_000)), random.oneIn(8) ? 1 : 0);
    const bytes = random.oneIn(5) ? mutate(random, body) : body;
    parts.push(client.data(id, bytes, random.oneIn(3)));
  }
  if (random.oneIn(8)) parts.push(client.rstStream(id, random.int(14)));
  if (random.oneIn(10)) parts.push(client.headers(id, ["t", "u"], true));
  return concatBytes(...parts);
}

function control({ client }: GrpcSession, random: Random): Uint8Array {
  const id = random.int(60);
  switch (random.int(6)) {
    case 0:
      return client.settings([1 + random.int(7), random.int(70_000)]);
    case 1:
      return client.windowUpdate(id, random.pick([0, 1, 5_000, 2 ** 31 - 1]));
    case 2:
      return client.windowUpdate(0, 1 + random.int(10_000));
    case 3:
      return client.ping("12345678");
    case 4:
      return client.settingsAck();
    default:
      return frame(FrameType.Priority, 0, id, randomBytes(random, 6));
  }
}

function anyFrame(random: Random): Uint8Array {
  const type = random.int(12);
  const flags = random.pick([0, Flag.EndStream, Flag.EndHeaders, 0x2d, 0xff]);
  const payload = random.pick([
    randomBytes(random, 40),
    uint32(random.int(2 ** 31)),
    utf8("12345678"),
  ]);
  return frame(type, flags, random.int(40), payload);
}
