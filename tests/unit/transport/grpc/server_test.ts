import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import {
  BOTH,
  DOWN,
  framed,
  GrpcSession,
  settle,
  statusOf,
  UNARY,
} from "./grpc_session.ts";

Deno.test("GrpcServer refuses what is not gRPC with an HTTP status and a gRPC one", () => {
  const session = new GrpcSession();
  const answer = session.ask("a", { contentType: "text/plain" });
  assert.equal(answer.fields[":status"], "415");
  assert.equal(answer.fields["content-type"], "text/plain; charset=utf-8");
  assert.equal(
    statusOf(answer),
    '3 invalid gRPC request content-type "text/plain"',
  );
  assert.equal(answer.sections, 1);
  assert.deepEqual(answer.messages, []);
  const get = session.answer(session.call({ method: "GET" }));
  assert.equal(get.fields[":status"], "405");
});

Deno.test("GrpcServer answers what is not gRPC at its end, or when it grows long", () => {
  const session = new GrpcSession();
  const other = { contentType: "text/plain", isOpen: true };
  const short = session.call({ ...other, data: [new Uint8Array(10)] });
  assert.equal(session.answer(short).isEnded, false);
  session.send(short, new Uint8Array(10), true);
  assert.equal(session.answer(short).fields[":status"], "415");
  assert.equal(session.answer(short).resetCode, undefined);

  const kibibytes = (count: number) =>
    Array.from({ length: count / 16 }, () => new Uint8Array(16 << 10));
  const long = session.call({ ...other, data: kibibytes(64) });
  assert.equal(session.answer(long).isEnded, false);
  session.send(long, new Uint8Array(1), false);
  assert.equal(session.answer(long).fields[":status"], "415");
  assert.equal(session.answer(long).resetCode, 0);
});

Deno.test("GrpcServer lets a client whose call is refused send no more", () => {
  const session = new GrpcSession();
  const id = session.call({ path: "/no.Such/Method", isOpen: true });
  assert.equal(statusOf(session.answer(id)), "12 unknown service no.Such");
  assert.equal(session.answer(id).resetCode, 0);
  assert.deepEqual(session.notes.lines, []);
});

Deno.test("GrpcServer names a service that is known and a method that is not", () => {
  const session = new GrpcSession();
  assert.equal(
    statusOf(session.ask("a", { path: "/test.Echo/Nothing" })),
    "12 unknown method Nothing for service test.Echo",
  );
});

Deno.test("GrpcServer tells which encodings it takes", () => {
  const session = new GrpcSession();
  const answer = session.ask("a", { fields: ["grpc-encoding", "br"] });
  assert.equal(answer.fields["grpc-status"], "12");
  assert.equal(answer.fields["grpc-accept-encoding"], "gzip");
});

Deno.test("GrpcServer sends texts that are no ASCII", () => {
  const session = new GrpcSession();
  const answer = session.ask("a", { path: "/caf\xc3\xa9/X" }); // headers are latin1
  assert.equal(statusOf(answer), "12 unknown service caf\xe9");
});

Deno.test("GrpcServer keeps the calls of headers apart that come in turn", () => {
  const session = new GrpcSession();
  session.unary = (request, call) =>
    `${request} ${call.metadata("k")} ${call.deadlineMs}`;
  for (let i = 0; i < 3; i++) {
    const fields = ["k", "1", "grpc-timeout", "1S"];
    assert.deepEqual(session.ask("a", { fields }).messages, ["a 1 1000"]);
    assert.deepEqual(session.ask("b").messages, ["b undefined Infinity"]);
  }
});

Deno.test("GrpcServer tells its observer of each call's code, time and bytes", async () => {
  const session = new GrpcSession();
  session.ask("four");
  session.ask("!");
  const slow = Promise.withResolvers<string>();
  session.unary = () => slow.promise;
  session.ask("abc");
  session.clock.advance(30);
  slow.resolve("12345");
  session.down = (_request, _call, out) => {
    out.send("one");
    out.send("three");
    return Promise.resolve();
  };
  session.call({ path: DOWN, data: [framed("xy")] });
  const duplex = session.call({
    path: BOTH,
    data: [framed("a"), framed("bc")],
  });
  await settle();
  assert.equal(statusOf(session.answer(duplex)), "0");
  assert.deepEqual(session.notes.lines, [
    `started ${UNARY}`,
    `handled ${UNARY} 0 0 4 4`,
    `started ${UNARY}`,
    `handled ${UNARY} 13 0 1 0`,
    `started ${UNARY}`,
    `started ${DOWN}`,
    `started ${BOTH}`,
    `handled ${BOTH} 0 0 0 0`,
    `handled ${UNARY} 0 30 3 5`,
    `handled ${DOWN} 0 0 0 0`,
  ]);
  assert.deepEqual(Object.fromEntries(session.notes.streams), {
    [DOWN]: { messagesIn: 1, bytesIn: 2, messagesOut: 2, bytesOut: 8 },
    [BOTH]: { messagesIn: 2, bytesIn: 3, messagesOut: 2, bytesOut: 3 },
  });
});

Deno.test("GrpcServer.activeCalls counts calls under way", async () => {
  const session = new GrpcSession();
  const waiting = Promise.withResolvers<string>();
  session.unary = () => waiting.promise;
  session.ask("a");
  const id = session.call({ path: BOTH, isOpen: true });
  assert.equal(session.server.activeCalls, 2);
  session.reset(id);
  assert.equal(session.server.activeCalls, 1);
  waiting.resolve("b");
  await settle();
  assert.equal(session.server.activeCalls, 0);
});

Deno.test("GrpcServer.beginDrain() refuses new calls and lets those under way finish", async () => {
  const session = new GrpcSession();
  const waiting = Promise.withResolvers<string>();
  session.unary = () => waiting.promise;
  const before = session.ask("a");
  session.server.beginDrain();
  assert.equal(statusOf(session.ask("b")), "14 stopped");
  const stream = session.call({ path: BOTH, isOpen: true });
  assert.equal(statusOf(session.answer(stream)), "14 stopped");
  waiting.resolve("done");
  await settle();
  assert.deepEqual(before.messages, ["done"]);
  assert.equal(session.server.activeCalls, 0);
});

Deno.test("GrpcServer.beginDrain() leaves no timer behind the last call", async () => {
  for (const isUnderWay of [false, true]) {
    const session = new GrpcSession();
    const { clock } = session;
    const every = clock.every.bind(clock);
    let timers = 0;
    clock.every = (ms, fire) => {
      const timer = every(ms, fire);
      timers++;
      return {
        cancel: () => {
          timers--;
          timer.cancel();
        },
      };
    };
    const fields = ["grpc-timeout", "10S"];
    const waiting = Promise.withResolvers<string>();
    session.unary = () => isUnderWay ? waiting.promise : "b";
    session.ask("a", { fields });
    assert.equal(timers, 1);
    session.server.beginDrain();
    assert.equal(timers, isUnderWay ? 1 : 0);
    waiting.resolve("b");
    await settle();
    assert.equal(timers, 0);
  }
});

Deno.test("GrpcServer.stopStreams() ends streams, behind what they have sent, and no unary calls", async () => {
  const session = new GrpcSession();
  const cancelled: string[] = [];
  session.both = (_call, out) => {
    out.send("hello");
    return {
      onMessage: () => {},
      onHalfClose: () => {},
      onCancel: () => cancelled.push("cancel"),
    };
  };
  session.down = (_request, { signal }) =>
    new Promise((resolve) =>
      signal.addEventListener("abort", () => {
        cancelled.push("abort");
        resolve();
      })
    );
  const waiting = Promise.withResolvers<string>();
  session.unary = () => waiting.promise;
  const duplex = session.call({ path: BOTH, isOpen: true });
  const down = session.call({ path: DOWN, data: [framed("a")] });
  const unary = session.ask("a");
  session.server.stopStreams();
  session.connection.flush();
  await settle();
  assert.equal(statusOf(session.answer(duplex)), "14 stopped");
  assert.deepEqual(session.answer(duplex).messages, ["hello"]);
  assert.equal(statusOf(session.answer(down)), "14 stopped");
  assert.deepEqual(cancelled.sort(), ["abort", "cancel"]);
  assert.equal(statusOf(unary), "open");
  assert.equal(session.server.activeCalls, 1);
  waiting.resolve("done");
  await settle();
  assert.equal(statusOf(unary), "0");
});

Deno.test("GrpcServer bounds what all messages in parts hold together", () => {
  const session = new GrpcSession({ maxPartialBytes: 9_000 });
  const part = framed("x".repeat(6000)).subarray(0, 5000);
  const first = session.call({ data: [part], isOpen: true });
  const second = session.call({ data: [part], isOpen: true });
  assert.equal(statusOf(session.answer(first)), "open");
  assert.equal(
    statusOf(session.answer(second)),
    "8 grpc: too many messages are being received at once",
  );
  session.reset(first);
  assert.equal(session.server.budget.usedBytes, 0);
});

for (const path of [UNARY, DOWN]) {
  Deno.test(`GrpcServer bounds what messages hold that are whole in requests that are not: ${path}`, async () => {
    const session = new GrpcSession({ maxPartialBytes: 100_000 });
    const text = "x".repeat(60_000);
    const small = framed(gzipSync(text), 1);
    assert(small.length < 200);
    const fields = ["grpc-encoding", "gzip"];
    const open = { path, fields, data: [small], isOpen: true };
    const first = session.call(open);
    assert.equal(session.server.budget.usedBytes, 60_000);
    assert.equal(
      statusOf(session.answer(session.call(open))),
      "8 grpc: too many messages are being received at once",
    );
    let heldBytes = -1;
    session.unary = (request) => {
      heldBytes = session.server.budget.usedBytes;
      return request;
    };
    session.down = () => {
      heldBytes = session.server.budget.usedBytes;
      return Promise.resolve();
    };
    session.send(first, new Uint8Array(0), true);
    await settle();
    assert.equal(statusOf(session.answer(first)), "0");
    assert.equal(heldBytes, 0, "it is the handler's now");
    const reset = session.call(open);
    assert.equal(session.server.budget.usedBytes, 60_000);
    session.reset(reset);
    assert.equal(session.server.budget.usedBytes, 0);
  });
}
