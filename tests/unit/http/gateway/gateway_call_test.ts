import assert from "node:assert/strict";
import { UnaryGatewayCall } from "../../../../src/http/gateway/unary_gateway_call.ts";
import {
  DuplexGatewayCall,
  ServerStreamGatewayCall,
} from "../../../../src/http/gateway/streaming_gateway_call.ts";
import { utf8 } from "../../../../src/base/bytes.ts";
import {
  HashRequestCodec,
  type HashResponse,
  HashResponseCodec,
  type PutRequest,
  PutRequestCodec,
} from "../../../../src/pb/etcdserverpb.ts";
import type {
  Call,
  DuplexMethod,
  MessageWriter,
  ServerStreamMethod,
  UnaryMethod,
} from "../../../../src/transport/grpc/service.ts";
import { Code, StatusError } from "../../../../src/transport/grpc/status.ts";
import { FakeHost, FakeSink, metadata } from "./gateway_doubles.ts";

const RESPONSE: HashResponse = HashResponseCodec.decode(
  new Uint8Array([0x10, 9]),
);

/** A call of a unary method that `handle` answers. */
function unary(
  handle: UnaryMethod<PutRequest, HashResponse>["handle"],
  timeoutMs?: number,
) {
  const host = new FakeHost();
  const sink = new FakeSink();
  const method: UnaryMethod<PutRequest, HashResponse> = {
    kind: "unary",
    path: "/s/M",
    request: PutRequestCodec,
    response: HashResponseCodec,
    handle,
  };
  const call = new UnaryGatewayCall(
    host,
    method,
    "peer",
    metadata(timeoutMs),
    sink,
  );
  return { host, sink, call };
}

const settled = () => new Promise<void>((resolve) => queueMicrotask(resolve));

Deno.test("UnaryGatewayCall decodes the request, however it comes, and renders the answer", async () => {
  let seen: [string, number, string | undefined] | undefined;
  const { host, sink, call } = unary((request, call, bytes) => {
    seen = [
      String.fromCharCode(...request.key),
      bytes,
      call.metadata("authorization"),
    ];
    return Promise.resolve(RESPONSE);
  });
  for (const byte of utf8('{"key":"Zm9v"}')) {
    call.onInput(new Uint8Array([byte]));
  }
  assert.equal(host.budget.usedBytes, 14);
  call.onInputEnd();
  assert.equal(host.budget.usedBytes, 0);
  await settled();
  assert.deepEqual(seen, ["foo", 5, "token"]);
  assert.equal(sink.answered, '{"hash":9}');
  assert.deepEqual(host.observed, ["started", Code.Ok]);
  assert.equal(host.endedCalls, 1);
});

Deno.test("UnaryGatewayCall refuses what is not JSON, and requests that are too long", () => {
  const refused = (json: string) => {
    const { host, sink, call } = unary(() => RESPONSE);
    call.onInput(utf8(json));
    call.onInputEnd();
    assert.equal(host.budget.usedBytes, 0);
    assert.equal(sink.answered, undefined);
    assert.deepEqual(host.observed, ["started", sink.refusedWith!.code]);
    return sink.refusedWith!;
  };
  assert.deepEqual(refused("{"), {
    code: Code.InvalidArgument,
    message: "unexpected EOF",
  });
  assert.deepEqual(refused(`{"key":"${"A".repeat(136)}"}`), {
    code: Code.ResourceExhausted,
    message: "grpc: received message larger than max (104 vs. 100)",
  });
  assert.deepEqual(refused(" ".repeat(201)), {
    code: Code.ResourceExhausted,
    message: "grpc: received message larger than max (201 vs. 200)",
  });
  const { sink, call } = unary(() => RESPONSE);
  call.onInput(utf8(" ".repeat(200)));
  call.onInputEnd();
  assert.equal(sink.answered, '{"hash":9}');
});

Deno.test("UnaryGatewayCall says what the handler threw, also if it is not UTF-8 that came", () => {
  const { sink, call } = unary(() => {
    throw new StatusError(Code.NotFound, "no");
  });
  call.onInputEnd();
  assert.deepEqual(sink.refusedWith, { code: Code.NotFound, message: "no" });
  const other = unary(() => RESPONSE);
  other.call.onInput(new Uint8Array([0x22, 0xff, 0x22]));
  other.call.onInputEnd();
  assert.equal(other.sink.refusedWith?.code, Code.InvalidArgument);
});

Deno.test("a call ends once: at its deadline, when the client goes, or with its answer", async () => {
  for (const end of ["deadline", "gone"] as const) {
    const answer = Promise.withResolvers<HashResponse>();
    let seen: Call | undefined;
    const { host, sink, call } = unary((_request, call) => {
      seen = call;
      return answer.promise;
    }, 1000);
    call.onInputEnd();
    const { signal } = seen!;
    host.clock.advance(900);
    assert.equal(signal.aborted, false);
    if (end === "deadline") host.clock.advance(200);
    else call.gone();
    assert.equal(signal.aborted, true);
    assert.equal(seen!.isCancelled, true);
    answer.resolve(RESPONSE);
    await settled();
    assert.equal(sink.answered, undefined);
    const code = end === "deadline" ? Code.DeadlineExceeded : Code.Canceled;
    assert.equal(sink.refusedWith?.code, end === "gone" ? undefined : code);
    assert.deepEqual(host.observed, ["started", code]);
    assert.equal(host.endedCalls, 1);
  }
});

Deno.test("a deadline that is over when the request is whole is one", () => {
  const { sink, call } = unary(() => RESPONSE, -1);
  call.onInputEnd();
  assert.equal(sink.refusedWith?.code, Code.DeadlineExceeded);
});

/** A duplex call whose handler keeps what it hears. */
function duplex() {
  const host = new FakeHost();
  const sink = new FakeSink();
  const heard: string[] = [];
  let out: MessageWriter<HashResponse> | undefined;
  const method: DuplexMethod<PutRequest, HashResponse> = {
    kind: "duplex",
    path: "/s/D",
    request: PutRequestCodec,
    response: HashResponseCodec,
    open(_call, writer) {
      out = writer;
      return {
        onMessage: (m) => heard.push(String.fromCharCode(...m.key)),
        onHalfClose: () => heard.push("half-close"),
        onCancel: () => heard.push("cancel"),
      };
    },
  };
  const input = {
    isPaused: false,
    pause: () => {
      input.isPaused = true;
    },
    resume: () => {
      input.isPaused = false;
    },
  };
  const call = new DuplexGatewayCall(
    host,
    method,
    "peer",
    metadata(),
    sink,
    input,
  );
  call.open();
  return { host, sink, call, heard, out: out!, input };
}

Deno.test("DuplexGatewayCall hands on each message as it comes, and goes on after the request's end", () => {
  const { host, sink, call, heard, out } = duplex();
  call.onInput(utf8('{"key":"YQ=="}\n{"key":'));
  assert.deepEqual(heard, ["a"]);
  out.send(RESPONSE);
  call.onInput(utf8('"Yg=="}'));
  call.onInputEnd();
  out.sendEncoded(new Uint8Array([0x10, 1]));
  assert.deepEqual(heard, ["a", "b", "half-close"]);
  assert.deepEqual(sink.results, ['{"hash":9}', '{"hash":1}']);
  assert.equal(sink.endedWith, undefined);
  out.end();
  assert.equal(out.isEnded, true);
  assert.deepEqual(sink.endedWith, { code: Code.Ok, message: "" });
  out.send(RESPONSE);
  call.gone();
  assert.equal(sink.results.length, 2);
  assert.deepEqual(heard, ["a", "b", "half-close"]);
  assert.deepEqual(host.observed, ["started", Code.Ok]);
});

Deno.test("DuplexGatewayCall ends with an error for bad JSON and for an object that is cut off", () => {
  const bad = duplex();
  bad.call.onInput(utf8('{"key":"YQ=="} nonsense'));
  assert.deepEqual(bad.heard, ["a", "cancel"]);
  assert.equal(bad.sink.endedWith?.code, Code.InvalidArgument);
  const cut = duplex();
  cut.call.onInput(utf8('{"key":'));
  assert.equal(cut.host.budget.usedBytes, 7);
  cut.call.onInputEnd();
  assert.deepEqual(cut.sink.endedWith, {
    code: Code.InvalidArgument,
    message: "unexpected EOF",
  });
  assert.equal(cut.host.budget.usedBytes, 0);
});

Deno.test("DuplexGatewayCall reads no more while the client does not read, and tells the handler when it does", async () => {
  const { sink, call, out, input } = duplex();
  let drains = 0;
  out.onDrain = () => drains++;
  sink.bufferedBytes = (1 << 20) + 1;
  assert.equal(out.bufferedBytes, sink.bufferedBytes);
  call.onInput(utf8("{}"));
  assert.equal(input.isPaused, true);
  let isDrained = false;
  const drained = out.drained().then(() => isDrained = true);
  await settled();
  assert.equal(isDrained, false);
  sink.bufferedBytes = 0;
  sink.onDrain!();
  assert.equal(input.isPaused, false);
  assert.equal(drains, 1);
  await drained;
  await out.drained();
});

Deno.test("MessageWriter.drained() rejects when the client goes away", async () => {
  const { sink, call, out, heard } = duplex();
  sink.bufferedBytes = 1 << 20;
  const drained = out.drained();
  call.gone();
  await assert.rejects(drained);
  await assert.rejects(out.drained());
  assert.deepEqual(heard, ["cancel"]);
});

Deno.test("ServerStreamGatewayCall ends with the handler, or with what it threw", async () => {
  for (const fails of [false, true]) {
    const host = new FakeHost();
    const sink = new FakeSink();
    const method: ServerStreamMethod<unknown, HashResponse> = {
      kind: "serverStream",
      path: "/s/S",
      request: HashRequestCodec,
      response: HashResponseCodec,
      async handle(_request, _call, out) {
        out.send(RESPONSE);
        await out.drained();
        if (fails) throw new StatusError(Code.DataLoss, "gone");
      },
    };
    const call = new ServerStreamGatewayCall(
      host,
      method,
      "peer",
      metadata(),
      sink,
    );
    call.onInput(utf8("{}"));
    call.onInputEnd();
    await new Promise((resolve) => setTimeout(resolve, 0));
    assert.deepEqual(sink.results, ['{"hash":9}']);
    const code = fails ? Code.DataLoss : Code.Ok;
    assert.equal(sink.endedWith?.code, code);
    assert.deepEqual(host.observed, ["started", code]);
    const { messagesIn, messagesOut, bytesOut } = host.traffic;
    assert.deepEqual([messagesIn, messagesOut, bytesOut], [1, 1, 2]);
    assert.equal(host.unaryBytes, 0);
  }
});

Deno.test("ServerStreamGatewayCall refuses what is no request as a unary call does, and not as a stream", () => {
  const host = new FakeHost();
  const sink = new FakeSink();
  const method: ServerStreamMethod<unknown, HashResponse> = {
    kind: "serverStream",
    path: "/s/S",
    request: HashRequestCodec,
    response: HashResponseCodec,
    handle: () => assert.fail("there is no request"),
  };
  const call = new ServerStreamGatewayCall(
    host,
    method,
    "peer",
    metadata(),
    sink,
  );
  call.onInput(utf8("{"));
  call.onInputEnd();
  assert.deepEqual(sink.refusedWith, {
    code: Code.InvalidArgument,
    message: "unexpected EOF",
  });
  assert.equal(sink.endedWith, undefined);
  assert.deepEqual(host.observed, ["started", Code.InvalidArgument]);
});
