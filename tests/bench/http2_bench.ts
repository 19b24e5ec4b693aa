import { SystemClock } from "../../src/base/clock.ts";
import {
  Connection,
  type ConnectionSink,
} from "../../src/transport/http2/connection.ts";
import { HeaderBlock } from "../../src/transport/http2/header_block.ts";
import { DEFAULT_HTTP2_LIMITS } from "../../src/transport/http2/limits.ts";
import type { ServerStream } from "../../src/transport/http2/server_stream.ts";
import type {
  BodySource,
  RequestHeaders,
  StreamHandler,
  StreamReceiver,
} from "../../src/transport/http2/stream_handler.ts";
import { ClientFrames } from "../support/h2_client.ts";

/**
 * Nanoseconds that a Connection takes for one unary call, with as many calls in a chunk as there are in flight:
 *
 *   deno run -A tests/bench/http2_bench.ts
 *
 * With a port, an HTTP/2 server for h2load that answers every call with the same bytes:
 *
 *   deno run -A tests/bench/http2_bench.ts 2410
 *   h2load -n 300000 -c 10 -m 10 -d FILE -H 'content-type: application/grpc' -H 'te: trailers' http://127.0.0.1:2410/x
 */
const IN_FLIGHT = 100;
const ROUNDS = 9;
const CALLS_PER_ROUND = 200_000;

const HEAD = new HeaderBlock([
  ":status",
  "200",
  "content-type",
  "application/grpc",
]);
const OK = new HeaderBlock(["grpc-status", "0"]);

/** A RangeResponse with a value of 512 B, with its gRPC prefix. */
const BODY = new Uint8Array(572);
const body: BodySource = {
  writeTo: (out, at) => out.set(BODY, at),
};

class Answer implements StreamHandler, StreamReceiver {
  onRequest(stream: ServerStream, _: RequestHeaders, ended: boolean): void {
    if (ended) stream.respond(HEAD, BODY.length, body, OK);
    else stream.receiver = this;
  }

  onData(stream: ServerStream, chunk: Uint8Array, ended: boolean): void {
    stream.consumed(chunk.length);
    if (ended) stream.respond(HEAD, BODY.length, body, OK);
  }

  onTrailers(stream: ServerStream): void {
    stream.respond(HEAD, BODY.length, body, OK);
  }

  onReset(): void {}
  onDrain(): void {}
}

function inMemory(name: string, extra: (call: number) => string[]): void {
  const sink: ConnectionSink = {
    write: () => {},
    close: (error) => console.log("closed", error),
    queuedBytes: 0,
  };
  const client = new ClientFrames();
  const request = new Uint8Array(25);
  const fields = [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", "/etcdserverpb.KV/Range"],
    [":authority", "127.0.0.1:2379"],
    ["content-type", "application/grpc"],
    ["user-agent", "grpc-go/1.71.0"],
    ["te", "trailers"],
  ].flat();
  const connection = new Connection(
    sink,
    new Answer(),
    new SystemClock(),
    DEFAULT_HTTP2_LIMITS,
    "bench",
  );
  connection.start();
  connection.receive(client.preface());
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const chunks: Uint8Array[] = [];
    for (let call = 0; call < CALLS_PER_ROUND; call += IN_FLIGHT) {
      const frames: Uint8Array[] = [
        client.windowUpdate(0, IN_FLIGHT * BODY.length),
      ];
      for (let i = 0; i < IN_FLIGHT; i++) {
        const id = client.nextId();
        frames.push(
          client.indexedHeaders(id, [...fields, ...extra(id)], false),
        );
        frames.push(client.data(id, request, true));
      }
      chunks.push(client.join(frames));
    }
    const start = performance.now();
    for (const chunk of chunks) connection.receive(chunk);
    const ns = (performance.now() - start) * 1e6 / CALLS_PER_ROUND;
    best = Math.min(best, ns);
  }
  console.log(`${name.padEnd(40)} ${best.toFixed(0).padStart(5)} ns`);
}

async function serve(port: number): Promise<void> {
  const net = await import("node:net");
  const handler = new Answer();
  const clock = new SystemClock();
  net.createServer({ noDelay: true }, (socket) => {
    const sink: ConnectionSink = {
      write: (bytes) => void socket.write(bytes),
      close: () => void socket.end(),
      get queuedBytes() {
        return socket.writableLength;
      },
    };
    const connection = new Connection(
      sink,
      handler,
      clock,
      DEFAULT_HTTP2_LIMITS,
      `${socket.remoteAddress}:${socket.remotePort}`,
    );
    socket.on("data", (chunk: Uint8Array) => connection.receive(chunk));
    socket.on("drain", () => connection.socketDrained());
    socket.on("error", () => {});
    socket.on("close", () => connection.close());
    connection.start();
  }).listen(port, "127.0.0.1");
}

if (Deno.args[0] === undefined) {
  inMemory("the same headers each time", () => []);
  inMemory("a new grpc-timeout each time", (call) => {
    return ["grpc-timeout", `${4_999_000 + call % 997}u`];
  });
} else await serve(Number(Deno.args[0]));
