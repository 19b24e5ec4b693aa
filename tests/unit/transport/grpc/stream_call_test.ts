import assert from "node:assert/strict";
import { concatBytes, utf8 } from "../../../../src/base/bytes.ts";
import { DomainError } from "../../../../src/base/errors.ts";
import type {
  Call,
  MessageReceiver,
  MessageWriter,
} from "../../../../src/transport/grpc/service.ts";
import { StatusError } from "../../../../src/transport/grpc/status.ts";
import {
  BOTH,
  DOWN,
  framed,
  GrpcSession,
  settle,
  statusOf,
} from "./grpc_session.ts";

const EOF = new Uint8Array(0);

/** Duplex calls of a session, and what their receivers were told. */
class Duplex {
  readonly events: string[] = [];
  call: Call | undefined = undefined;
  out: MessageWriter<string> | undefined = undefined;

  constructor(session: GrpcSession) {
    session.both = (call, out): MessageReceiver<string> => {
      this.call = call;
      this.out = out;
      this.events.push("open");
      return {
        onMessage: (message) => void this.events.push(message),
        onHalfClose: () => void this.events.push("half-close"),
        onCancel: () => void this.events.push("cancel"),
      };
    };
  }
}

Deno.test("ServerStreamCall sends messages, and OK when its handler resolves", async () => {
  const session = new GrpcSession();
  session.down = async (request, _call, out) => {
    out.send(`${request} 1`);
    await Promise.resolve();
    out.sendEncoded(utf8(`${request} 2`));
  };
  const id = session.call({ path: DOWN, data: [framed("n")] });
  await settle();
  const answer = session.answer(id);
  assert.deepEqual(answer.messages, ["n 1", "n 2"]);
  assert.equal(statusOf(answer), "0");
  assert.equal(answer.sections, 2);
});

Deno.test("ServerStreamCall without messages sends its status alone, as grpc-go", async () => {
  const session = new GrpcSession();
  const id = session.call({ path: DOWN, data: [framed("n")] });
  await settle();
  assert.equal(session.answer(id).sections, 1);
  assert.equal(statusOf(session.answer(id)), "0");
});

Deno.test("ServerStreamCall ends with an error before and behind messages", async () => {
  const session = new GrpcSession();
  session.down = () => Promise.reject(new DomainError("compacted"));
  const before = session.call({ path: DOWN, data: [framed("n")] });
  session.down = (_request, _call, out) => {
    out.send("one");
    throw new StatusError(8, "enough");
  };
  const behind = session.call({ path: DOWN, data: [framed("n")] });
  await settle();
  assert.equal(statusOf(session.answer(before)), "14 compacted");
  assert.equal(session.answer(before).sections, 1);
  assert.equal(statusOf(session.answer(behind)), "8 enough");
  assert.deepEqual(session.answer(behind).messages, ["one"]);
  assert.equal(session.answer(behind).sections, 2);
});

Deno.test("ServerStreamCall starts when the request is complete", async () => {
  const session = new GrpcSession();
  let started = 0;
  session.down = () => {
    started++;
    return Promise.resolve();
  };
  const id = session.call({ path: DOWN, data: [framed("n")], isOpen: true });
  await settle();
  assert.equal(started, 0);
  session.send(id, EOF, true);
  await settle();
  assert.equal(started, 1);
});

for (
  const [what, data, expected] of [
    ["no message", [], /received no request message/],
    [
      "two messages",
      [concatBytes(framed("a"), framed("b"))],
      /received multiple request messages/,
    ],
    ["half a message", [framed("abc").subarray(0, 6)], /13 unexpected EOF/],
    [
      "a message that does not decode",
      [framed("!")],
      /13 grpc: failed to unmarshal the received message: bad text/,
    ],
  ] as const
) {
  Deno.test(`ServerStreamCall refuses ${what}`, () => {
    const session = new GrpcSession();
    session.down = () => assert.fail("handled");
    const id = session.call({ path: DOWN, data });
    assert.match(statusOf(session.answer(id)), expected);
    assert.equal(session.server.activeCalls, 0);
  });
}

Deno.test("ServerStreamCall is cancelled by a reset; its writer does nothing any more", async () => {
  const session = new GrpcSession();
  let call: Call | undefined;
  let out: MessageWriter<string> | undefined;
  const { promise, reject } = Promise.withResolvers<void>();
  session.down = (_request, c, o) => {
    call = c;
    out = o;
    return promise;
  };
  const id = session.call({ path: DOWN, data: [framed("n")] });
  session.reset(id);
  assert.equal(call!.isCancelled, true);
  assert.equal(call!.signal.aborted, true);
  assert.equal(out!.isEnded, true);
  out!.send("late");
  out!.end();
  reject(new Error("interrupted"));
  await settle();
  assert.deepEqual(session.errors, []);
  assert.equal(session.answer(id).sections, 0);
});

Deno.test("DuplexCall takes messages as they come and sends without being asked", () => {
  const session = new GrpcSession();
  const duplex = new Duplex(session);
  const id = session.call({ path: BOTH, isOpen: true });
  assert.deepEqual(duplex.events, ["open"]);
  const two = concatBytes(framed("one"), framed("two"));
  session.send(id, two.subarray(0, 10));
  assert.deepEqual(duplex.events, ["open", "one"]);
  session.send(id, two.subarray(10));
  assert.deepEqual(duplex.events, ["open", "one", "two"]);
  duplex.out!.send("a");
  session.connection.flush();
  assert.deepEqual(session.answer(id).messages, ["a"]);
  session.send(id, EOF, true);
  assert.equal(duplex.events.at(-1), "half-close");
  duplex.out!.send("b");
  duplex.out!.end();
  session.connection.flush();
  assert.deepEqual(session.answer(id).messages, ["a", "b"]);
  assert.equal(statusOf(session.answer(id)), "0");
});

Deno.test("DuplexCall whose headers end the stream is opened and half-closed", () => {
  const session = new GrpcSession();
  const duplex = new Duplex(session);
  session.call({ path: BOTH });
  assert.deepEqual(duplex.events, ["open", "half-close"]);
});

Deno.test("DuplexCall that its handler ends is not cancelled, and takes no more", () => {
  const session = new GrpcSession();
  const duplex = new Duplex(session);
  const id = session.call({ path: BOTH, isOpen: true });
  duplex.out!.end({ code: 8, message: "full" });
  session.connection.flush();
  assert.equal(statusOf(session.answer(id)), "8 full");
  session.send(id, framed("late"));
  session.reset(id);
  assert.deepEqual(duplex.events, ["open"]);
  assert.equal(duplex.call!.isCancelled, false);
  assert.equal(session.server.activeCalls, 0);
});

Deno.test("DuplexCall stops reading a chunk in which its handler ends it", () => {
  const session = new GrpcSession();
  const seen: string[] = [];
  session.both = (_call, out) => ({
    onMessage(message) {
      seen.push(message);
      out.end();
    },
    onHalfClose: () => seen.push("half-close"),
    onCancel: () => seen.push("cancel"),
  });
  session.call({ path: BOTH, data: [concatBytes(framed("a"), framed("b"))] });
  assert.deepEqual(seen, ["a"]);
});

for (
  const [what, data, expected] of [
    [
      "a message that does not decode",
      framed("!"),
      "13 grpc: failed to unmarshal the received message: bad text",
    ],
    [
      "a flag that means nothing",
      framed("a", 2),
      "13 grpc: received unexpected payload format 2",
    ],
    [
      "a message that is too large",
      Uint8Array.of(0, 0, 32, 0, 1),
      "8 grpc: received message larger than max (2097153 vs. 2097152)",
    ],
  ] as const
) {
  Deno.test(`DuplexCall ends with ${what}, and tells its handler once`, () => {
    const session = new GrpcSession();
    const duplex = new Duplex(session);
    const id = session.call({ path: BOTH, isOpen: true });
    session.send(id, data);
    assert.equal(statusOf(session.answer(id)), expected);
    assert.deepEqual(duplex.events, ["open", "cancel"]);
    assert.equal(duplex.call!.isCancelled, true);
  });
}

Deno.test("DuplexCall that ends inside a message ends with an error", () => {
  const session = new GrpcSession();
  const duplex = new Duplex(session);
  const id = session.call({ path: BOTH, data: [framed("abc").subarray(0, 7)] });
  assert.equal(statusOf(session.answer(id)), "13 unexpected EOF");
  assert.deepEqual(duplex.events, ["open", "cancel"]);
});

Deno.test("DuplexCall ends with the error of a handler that throws, in open() and later", () => {
  const session = new GrpcSession();
  session.both = () => {
    throw new StatusError(7, "not you");
  };
  const refused = session.call({ path: BOTH, isOpen: true });
  assert.equal(statusOf(session.answer(refused)), "7 not you");
  const cancelled: string[] = [];
  session.both = () => ({
    onMessage() {
      throw new DomainError("noLeader");
    },
    onHalfClose() {
      throw new DomainError("noSpace");
    },
    onCancel: () => cancelled.push("cancel"),
  });
  const failing = session.call({ path: BOTH, data: [framed("a")] });
  assert.equal(statusOf(session.answer(failing)), "14 noLeader");
  const closing = session.call({ path: BOTH });
  assert.equal(statusOf(session.answer(closing)), "14 noSpace");
  assert.equal(cancelled.length, 2);
  assert.equal(session.server.activeCalls, 0);
});

Deno.test("DuplexCall ends at its deadline, with what was sent before", async () => {
  const session = new GrpcSession();
  const duplex = new Duplex(session);
  const fields = ["grpc-timeout", "100m"];
  const id = session.call({ path: BOTH, isOpen: true, fields });
  duplex.out!.send("before");
  session.clock.advance(151);
  await settle();
  const answer = session.answer(id);
  assert.equal(statusOf(answer), "4 context deadline exceeded");
  assert.deepEqual(answer.messages, ["before"]);
  assert.deepEqual(duplex.events, ["open", "cancel"]);
});

Deno.test("DuplexCall is cancelled by RST_STREAM and by the loss of the connection, once", () => {
  const session = new GrpcSession();
  const first = new Duplex(session);
  const id = session.call({ path: BOTH, isOpen: true });
  const second = new Duplex(session);
  session.call({ path: BOTH, isOpen: true });
  session.reset(id);
  assert.deepEqual(first.events, ["open", "cancel"]);
  assert.deepEqual(second.events, ["open"]);
  session.connection.close();
  assert.deepEqual(first.events, ["open", "cancel"]);
  assert.deepEqual(second.events, ["open", "cancel"]);
  assert.equal(session.server.activeCalls, 0);
});

Deno.test("StreamWriter.bufferedBytes, drained() and onDrain follow flow control", async () => {
  const session = new GrpcSession({}, { window: 0 });
  const duplex = new Duplex(session);
  const id = session.call({ path: BOTH, isOpen: true });
  const { out } = duplex;
  let drains = 0;
  out!.onDrain = () => drains++;
  await out!.drained();
  out!.send("x".repeat(100_000));
  assert.equal(out!.bufferedBytes, 100_005);
  let isDrained = false;
  const drained = out!.drained().then(() => isDrained = true);
  // 65,537 bytes stay.
  session.connection.receive(
    session.client.windowUpdate(id, 100_005 - 65_537),
  );
  await settle();
  assert.deepEqual([isDrained, drains], [false, 0]);
  session.connection.receive(session.client.windowUpdate(id, 1));
  await drained;
  assert.equal(drains, 1);
  assert.equal(out!.bufferedBytes, 65_536);
});

Deno.test("StreamWriter.drained() rejects when the call is cancelled", async () => {
  const session = new GrpcSession({}, { window: 0 });
  const duplex = new Duplex(session);
  const id = session.call({ path: BOTH, isOpen: true });
  duplex.out!.send("x".repeat(100_000));
  const drained = duplex.out!.drained();
  session.reset(id);
  await assert.rejects(drained, DomainError);
  await assert.rejects(duplex.out!.drained(), DomainError);
});

Deno.test("StreamWriter.end() puts the trailers behind what is queued", () => {
  const session = new GrpcSession({}, { window: 10 });
  const duplex = new Duplex(session);
  const id = session.call({ path: BOTH, isOpen: true });
  duplex.out!.send("x".repeat(100));
  duplex.out!.end();
  session.connection.flush();
  assert.equal(statusOf(session.answer(id)), "open");
  session.connection.receive(session.client.windowUpdate(id, 1000));
  assert.equal(session.answer(id).messages[0]!.length, 100);
  assert.equal(statusOf(session.answer(id)), "0");
});

Deno.test("StreamWriter takes a message of the limit and throws for a larger one", () => {
  const session = new GrpcSession({ maxSendBytes: 10 });
  const duplex = new Duplex(session);
  session.call({ path: BOTH, isOpen: true });
  duplex.out!.send("0123456789");
  const tooLarge = {
    message: "grpc: trying to send message larger than max (11 vs. 10)",
  };
  assert.throws(() => duplex.out!.send("0123456789a"), tooLarge);
  assert.throws(() => duplex.out!.sendEncoded(new Uint8Array(11)), tooLarge);
  assert.equal(duplex.out!.isEnded, false);
});

Deno.test("DuplexCall holds the window of a client back that does not read, and gives it back", () => {
  const session = new GrpcSession({}, { window: 0 });
  session.both = (_call, out) => ({
    onMessage(message) {
      out.send(message);
    },
    onHalfClose: () => {},
    onCancel: () => {},
  });
  const id = session.call({ path: BOTH, isOpen: true });
  const message = framed("x".repeat(16_000));
  // 1 MiB is answered, and what is left of the window then may still come. A client that goes on breaks the rules.
  let sent = 0;
  while (session.answer(id).resetCode === undefined) {
    session.send(id, message);
    sent += message.length;
    assert(sent < 4 << 20, "never held back");
  }
  assert(sent > 1 << 20, String(sent));
  assert.equal(session.answer(id).resetCode, 3);

  const polite = session.call({ path: BOTH, isOpen: true });
  let left = sent - message.length;
  for (; left > 0; left -= message.length) session.send(polite, message);
  assert.equal(session.answer(polite).resetCode, undefined);
  session.connection.receive(session.client.windowUpdate(polite, 1 << 30));
  for (let i = 0; i < 60; i++) session.send(polite, message);
  assert.equal(session.answer(polite).resetCode, undefined);
});
