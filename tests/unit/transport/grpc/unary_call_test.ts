import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { concatBytes, utf8 } from "../../../../src/base/bytes.ts";
import { DomainError } from "../../../../src/base/errors.ts";
import type { Call } from "../../../../src/transport/grpc/service.ts";
import { StatusError } from "../../../../src/transport/grpc/status.ts";
import {
  framed,
  GrpcSession,
  settle,
  statusOf,
  UNARY,
} from "./grpc_session.ts";

Deno.test("UnaryCall answers with headers, one message and trailers", () => {
  const session = new GrpcSession();
  session.unary = (request, _call, bytes) => `${request} of ${bytes}`;
  const answer = session.ask("hällo");
  assert.deepEqual(answer, {
    fields: {
      ":status": "200",
      "content-type": "application/grpc",
      "grpc-status": "0",
    },
    messages: ["hällo of 6"],
    sections: 2,
    isEnded: true,
    resetCode: undefined,
  });
});

Deno.test("UnaryCall takes an empty message", () => {
  const session = new GrpcSession();
  session.unary = (request, _call, bytes) => `<${request}> ${bytes}`;
  assert.deepEqual(session.ask("").messages, ["<> 0"]);
});

Deno.test("UnaryCall gathers a message from many frames, and its END_STREAM from another", () => {
  const session = new GrpcSession();
  const bytes = framed("in pieces");
  const data = [...bytes].map((byte) => Uint8Array.of(byte));
  assert.deepEqual(session.answer(session.call({ data })).messages, [
    "in pieces",
  ]);
  const id = session.call({ data: [bytes], isOpen: true });
  assert.equal(session.answer(id).isEnded, false);
  session.send(id, new Uint8Array(0), true);
  assert.deepEqual(session.answer(id).messages, ["in pieces"]);
});

Deno.test("UnaryCall is complete with a trailer section", () => {
  const session = new GrpcSession();
  const id = session.call({ data: [framed("x")], isOpen: true });
  session.connection.receive(session.client.headers(id, ["a", "b"], true));
  assert.deepEqual(session.answer(id).messages, ["x"]);
});

Deno.test("UnaryCall takes a message compressed with gzip, and answers without compression", () => {
  const session = new GrpcSession();
  session.unary = (request, _call, bytes) => `${request} ${bytes}`;
  const data = [framed(gzipSync(utf8("packed")), 1)];
  const id = session.call({ fields: ["grpc-encoding", "gzip"], data });
  assert.deepEqual(session.answer(id).messages, ["packed 6"]);
  assert.equal(session.answer(id).fields["grpc-encoding"], undefined);
});

for (
  const [what, data, expected] of [
    [
      "no message",
      [],
      "13 cardinality violation: received no request message from " +
      "non-client-streaming RPC",
    ],
    [
      "two messages",
      [concatBytes(framed("a"), framed("b"))],
      "13 cardinality violation: received multiple request messages for " +
      "non-client-streaming RPC",
    ],
    ["half a prefix", [Uint8Array.of(0, 0)], "13 unexpected EOF"],
    ["half a message", [framed("abc").subarray(0, 7)], "13 unexpected EOF"],
    [
      "more than a message",
      [concatBytes(framed("a"), Uint8Array.of(0))],
      "13 unexpected EOF",
    ],
    [
      "a message that does not decode",
      [framed("!")],
      "13 grpc: error unmarshalling request: bad text",
    ],
    [
      "a flag that means nothing",
      [framed("a", 7)],
      "13 grpc: received unexpected payload format 7",
    ],
    [
      "a compressed message without an encoding",
      [framed("a", 1)],
      "13 grpc: compressed flag set with identity or empty encoding",
    ],
  ] as const
) {
  Deno.test(`UnaryCall refuses ${what}, in one section`, () => {
    const session = new GrpcSession();
    session.unary = () => assert.fail("handled");
    const answer = session.answer(session.call({ data }));
    assert.equal(statusOf(answer), expected);
    assert.equal(answer.fields[":status"], "200");
    assert.equal(answer.sections, 1);
    assert.equal(session.server.activeCalls, 0);
  });
}

Deno.test("UnaryCall takes a message of the limit and refuses a larger one, whole or not", () => {
  const session = new GrpcSession({ maxReceiveBytes: 10 });
  assert.deepEqual(session.ask("0123456789").messages, ["0123456789"]);
  const expected = "8 grpc: received message larger than max (11 vs. 10)";
  assert.equal(statusOf(session.ask("0123456789a")), expected);
  const data = [framed("0123456789a").subarray(0, 5)];
  const answer = session.answer(session.call({ data, isOpen: true }));
  assert.equal(statusOf(answer), expected);
  assert.equal(answer.resetCode, 0, "the rest is of no interest");
});

Deno.test("UnaryCall sends an answer of the limit, and an error instead of a larger one", () => {
  const session = new GrpcSession({ maxSendBytes: 10 });
  assert.deepEqual(session.ask("0123456789").messages, ["0123456789"]);
  assert.equal(
    statusOf(session.ask("0123456789a")),
    "8 grpc: trying to send message larger than max (11 vs. 10)",
  );
});

Deno.test("UnaryCall sends a large answer as the windows open", () => {
  const session = new GrpcSession({}, { window: 10 });
  session.unary = () => "x".repeat(100_000);
  const id = session.call({ data: [framed("a")] });
  assert.equal(statusOf(session.answer(id)), "open");
  session.connection.receive(session.client.windowUpdate(id, 1 << 20));
  assert.equal(session.answer(id).messages[0]!.length, 100_000);
  assert.equal(statusOf(session.answer(id)), "0");
});

Deno.test("UnaryCall ends with the status of what its handler throws or rejects with", async () => {
  const session = new GrpcSession();
  session.unary = () => {
    throw new StatusError(9, "100% nö");
  };
  const thrown = session.ask("a");
  assert.equal(statusOf(thrown), "9 100% nö");
  assert.equal(thrown.sections, 1);
  session.unary = () => Promise.reject(new DomainError("noLeader"));
  const rejected = session.ask("a");
  await settle();
  assert.equal(statusOf(rejected), "14 noLeader");
});

Deno.test("UnaryCall answers when its promise is resolved", async () => {
  const session = new GrpcSession();
  const { promise, resolve } = Promise.withResolvers<string>();
  session.unary = () => promise;
  const answer = session.ask("a");
  await settle();
  assert.equal(statusOf(answer), "open");
  resolve("later");
  await settle();
  assert.deepEqual(answer.messages, ["later"]);
  assert.equal(statusOf(answer), "0");
});

Deno.test("UnaryCall whose answer does not encode is reset, and the connection lives on", () => {
  const session = new GrpcSession();
  session.unary = (request) => request === "bad" ? "!" : request;
  assert.equal(session.ask("bad").resetCode, 2);
  assert.match(String(session.errors[0]), /does not encode/);
  assert.deepEqual(session.ask("good").messages, ["good"]);
  assert.equal(session.server.activeCalls, 0);
});

Deno.test("UnaryCall tells its handler of path, peer, metadata and deadline", () => {
  const session = new GrpcSession();
  session.clock.advance(1000);
  let seen: Call | undefined;
  session.unary = (request, call) => {
    seen = call;
    return request;
  };
  session.ask("a", {
    fields: ["grpc-timeout", "250m", "k", "1", "k", "2", "b-bin", "AP8"],
  });
  assert.equal(seen!.path, UNARY);
  assert.equal(seen!.peer, "127.0.0.1:7");
  assert.equal(seen!.deadlineMs, 1250);
  assert.equal(seen!.metadata("k"), "1");
  assert.equal(seen!.metadata("b-bin"), "\x00\xff");
  assert.equal(seen!.metadata("none"), undefined);
  assert.equal(seen!.isCancelled, false);
  session.ask("a");
  assert.equal(seen!.deadlineMs, Infinity);
});

Deno.test("UnaryCall is cancelled by its deadline, and a late answer changes nothing", async () => {
  const session = new GrpcSession();
  const { promise, resolve } = Promise.withResolvers<string>();
  let seen: Call | undefined;
  session.unary = (_request, call) => {
    seen = call;
    return promise;
  };
  const answer = session.ask("a", { fields: ["grpc-timeout", "1S"] });
  const { signal } = seen!;
  session.clock.advance(999);
  assert.equal(statusOf(answer), "open");
  assert.equal(signal.aborted, false);
  session.clock.advance(51);
  await settle();
  assert.equal(statusOf(answer), "4 context deadline exceeded");
  assert.equal(seen!.isCancelled, true);
  assert.equal(signal.aborted, true);
  resolve("late");
  await settle();
  assert.deepEqual(answer.messages, []);
  assert.equal(session.server.activeCalls, 0);
});

Deno.test("UnaryCall that never gets its message ends at its deadline", async () => {
  const session = new GrpcSession();
  const id = session.call({ isOpen: true, fields: ["grpc-timeout", "1S"] });
  session.clock.advance(1050);
  await settle();
  assert.equal(statusOf(session.answer(id)), "4 context deadline exceeded");
  assert.equal(session.server.activeCalls, 0);
});

Deno.test("UnaryCall is cancelled by RST_STREAM, and what its handler says then is not even mapped", async () => {
  const session = new GrpcSession();
  const { promise, reject } = Promise.withResolvers<string>();
  let seen: Call | undefined;
  session.unary = (_request, call) => {
    seen = call;
    return promise;
  };
  const id = session.call({ data: [framed("abc")] });
  session.reset(id);
  assert.equal(seen!.isCancelled, true);
  assert.equal(seen!.signal.aborted, true, "made after the fact");
  reject(new Error("gone"));
  await settle();
  assert.deepEqual(session.errors, []);
  assert.equal(session.answer(id).sections, 0);
  assert.deepEqual(session.notes.lines, [
    `started ${UNARY}`,
    `handled ${UNARY} 1 0 3 0`,
  ]);
});

Deno.test("UnaryCall is cancelled when the connection is lost", () => {
  const session = new GrpcSession();
  let seen: Call | undefined;
  session.unary = (_request, call) => {
    seen = call;
    return new Promise(() => {});
  };
  session.call({ data: [framed("a")] });
  session.connection.close();
  assert.equal(seen!.isCancelled, true);
  assert.equal(session.server.activeCalls, 0);
});

Deno.test("UnaryCall gives the whole receive window back", () => {
  const session = new GrpcSession();
  // 40 MiB through a connection window of 16 MiB: it would stall after a few.
  const message = "x".repeat(1 << 20);
  for (let i = 0; i < 40; i++) {
    const whole = framed(message);
    const data = [];
    for (let at = 0; at < whole.length; at += 16_384) {
      data.push(whole.subarray(at, at + 16_384));
    }
    const id = session.call({ data: data.slice(0, 10), isOpen: true });
    for (const chunk of data.slice(10, -1)) session.send(id, chunk);
    session.send(id, data.at(-1)!, true);
    assert.equal(session.answer(id).messages[0]!.length, message.length);
  }
  assert.equal(session.server.budget.usedBytes, 0);
});
