import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { utf8 } from "../../../src/base/bytes.ts";
import { SettingId } from "../../../src/transport/http2/frame.ts";
import type { ServerStream } from "../../../src/transport/http2/server_stream.ts";
import type { RequestHeaders } from "../../../src/transport/http2/stream_handler.ts";
import {
  ByContentType,
  HttpStreams,
  REQUEST_END_MS,
} from "../../../src/transport/http_streams.ts";
import { Session } from "../../support/h2_session.ts";

/** A session whose requests go to a listener, which leaves them to the test. */
class HttpSession extends Session {
  incoming!: IncomingMessage;
  response!: ServerResponse;
  readonly body: string[] = [];
  readonly told: string[] = [];
  readonly #http = new HttpStreams((request, response) => {
    this.incoming = request;
    this.response = response as unknown as ServerResponse;
    for (const name of ["end", "close"]) {
      request.on(name, () => this.told.push(`request ${name}`));
    }
    for (const name of ["finish", "close", "drain"]) {
      response.on(name, () => this.told.push(`response ${name}`));
    }
  }, this.clock);

  static start(...settings: [id: number, value: number][]) {
    const session = new HttpSession();
    session.receive(
      session.client.preface(...settings),
      session.client.settingsAck(),
    );
    return session;
  }

  override onRequest(
    stream: ServerStream,
    headers: RequestHeaders,
    endStream: boolean,
  ): void {
    this.streams.set(stream.id, stream);
    this.#http.onRequest(stream, headers, endStream);
  }

  ask(method: string, endStream: boolean, ...fields: string[]): void {
    const head = [":method", method, ":scheme", "https", ":path", "/a?b=c"];
    const all = [...head, ":authority", "host:1", ...fields];
    this.receive(this.client.headers(1, all, endStream));
  }
}

/** Streams tell of things a turn later. */
async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) {
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

function withoutDate(lines: readonly string[]): string[] {
  return lines.map((line) =>
    line.replace(/,? ?date[=:][^,;]*(, [^,;]*GMT)?/, "")
  );
}

Deno.test("HttpStreams sends 499, which grpc-gateway has for Canceled", async () => {
  const session = HttpSession.start();
  session.ask("POST", true);
  session.response.writeHead(499);
  session.response.end();
  await settle();
  assert.deepEqual(withoutDate(session.sent()), ["HEADERS 1 end :status=499"]);
});

Deno.test("HttpStreams tells the request as node:http does", async () => {
  const session = HttpSession.start();
  session.ask(
    "GET",
    true,
    "cookie",
    "a=1",
    "cookie",
    "b=2",
    "x",
    "1",
    "x",
    "2",
  );
  const request = session.incoming;
  assert.equal(request.method, "GET");
  assert.equal(request.url, "/a?b=c");
  assert.deepEqual({ ...request.headers }, {
    cookie: "a=1; b=2",
    x: "1, 2",
    host: "host:1",
  });
  assert.equal((request.socket as { encrypted?: boolean }).encrypted, true);
  assert.equal(request.complete, true);
  request.resume();
  await settle();
  assert.deepEqual(session.told, ["request end", "request close"]);
});

Deno.test("HttpStreams sends head, body and end", async () => {
  const session = HttpSession.start();
  session.ask("GET", true);
  const { response } = session;
  response.setHeader("X-One", 1);
  response.setHeader("Date", "today");
  response.writeHead(404, {
    "Content-Type": "text/plain",
    Connection: "close",
  });
  assert.equal(response.headersSent, true);
  response.end("text");
  await settle();
  const [head, body, end, ...more] = session.sent();
  assert.match(head!, /HEADERS 1/);
  for (const field of [":status", "404", "x-one", "content-type", "today"]) {
    assert.ok(head!.includes(field), `${field} in ${head}`);
  }
  assert.ok(!head!.includes("connection"), head!);
  assert.match(body!, /DATA 1.*4|DATA 1.*text/);
  assert.equal(end, "DATA 1 end 0");
  assert.deepEqual(more, []);
  assert.deepEqual(session.told, ["response finish", "response close"]);
});

for (const [method, body] of [["HEAD", "text"], ["GET", ""]] as const) {
  Deno.test(`HttpStreams sends no body to ${method} with "${body}"`, async () => {
    const session = HttpSession.start();
    session.ask(method, true);
    session.response.end(body);
    await settle();
    const sent = withoutDate(session.sent());
    assert.ok(sent.every((line) => line.startsWith("HEADERS 1")), sent.join());
    assert.match(sent.at(-1)!, /end/i);
  });
}

Deno.test("HttpStreams gives the window back as the body is read", async () => {
  const session = HttpSession.start();
  session.ask("POST", false);
  const bytes = utf8("x".repeat(16_000));
  for (let i = 0; i < 6; i++) {
    session.receive(session.client.data(1, bytes, false));
  }
  await settle();
  const stream = session.streams.get(1)!;
  // Nobody reads: after 64 KiB the client has to wait.
  assert.equal(stream.unconsumed, 32_000);
  let read = 0;
  session.incoming.on("data", (chunk: Uint8Array) => read += chunk.length);
  await settle();
  session.receive(session.client.data(1, bytes.subarray(0, 10), true));
  await settle();
  assert.equal(read, 96_010);
  assert.equal(stream.unconsumed, 0);
  assert.equal(session.incoming.complete, true);
});

Deno.test("HttpStreams lets the writer wait until the client takes more", async () => {
  const session = HttpSession.start([SettingId.InitialWindowSize, 1_000]);
  session.ask("GET", true);
  const chunk = new Uint8Array(100_000);
  assert.equal(session.response.write(chunk), false);
  await settle();
  assert.deepEqual(session.told, []);
  session.receive(session.client.windowUpdate(1, 60_000));
  await settle();
  assert.deepEqual(session.told, ["response drain"]);
  session.response.end();
  await settle();
  const last = session.receive(
    session.client.windowUpdate(1, 60_000),
    session.client.windowUpdate(0, 60_000),
  );
  assert.equal(last.at(-1), "DATA 1 end 0");
});

Deno.test("HttpStreams tells both sides when the client gives up", async () => {
  const session = HttpSession.start();
  session.ask("POST", false);
  session.response.write("a");
  session.receive(session.client.rstStream(1, 8));
  await settle();
  assert.deepEqual(session.told.sort(), ["request close", "response close"]);
  session.response.end("b");
  await settle();
  assert.ok(!session.sent().some((line) => line.startsWith("RST_STREAM")));
});

Deno.test("HttpStreams resets what the listener gives up", async () => {
  const session = HttpSession.start();
  session.ask("GET", true);
  session.response.write("half");
  session.response.destroy();
  await settle();
  assert.match(session.sent().at(-1)!, /RST_STREAM 1.*2/);
  const other = HttpSession.start();
  other.ask("POST", false);
  other.incoming.destroy();
  await settle();
  assert.match(other.sent().at(-1)!, /RST_STREAM 1.*8/);
});

const REQUESTS: readonly (readonly [string, string, string])[] = [
  ["POST", "application/grpc", "grpc"],
  ["POST", "application/grpc+proto", "grpc"],
  ["POST", "application/json", "http"],
  ["GET", "application/grpc", "http"],
];

for (const [method, type, expected] of REQUESTS) {
  Deno.test(`ByContentType gives ${method} of ${type} to ${expected}`, () => {
    const seen: string[] = [];
    const handler = (name: string) => ({
      onRequest: () => void seen.push(name),
    });
    const session = new Session();
    const both = new ByContentType(handler("grpc"), handler("http"));
    session.onRequest = (...all) => both.onRequest(...all);
    const fields = ["x", "y", "content-type", type];
    const head = [":method", method, ":scheme", "https", ":path", "/"];
    session.receive(
      session.client.preface(),
      session.client.headers(1, [...head, ...fields], true),
    );
    assert.deepEqual(seen, [expected]);
  });
}

Deno.test("HttpStreams ends an early answer with the request, or soon after", async () => {
  const session = HttpSession.start();
  session.ask("POST", false);
  session.response.end("text");
  await settle();
  assert.doesNotMatch(session.sent().join(), /end/);
  const ended = session.receive(session.client.data(1, utf8("body"), true));
  await settle();
  assert.deepEqual(ended, ["DATA 1 end 0"]);

  const patient = HttpSession.start();
  patient.ask("POST", false);
  patient.response.end("text");
  await settle();
  patient.sent();
  patient.clock.advance(REQUEST_END_MS - 1);
  assert.deepEqual(patient.sent(), []);
  patient.clock.advance(1);
  await settle();
  assert.deepEqual(patient.sent(), ["DATA 1 end 0", "RST_STREAM 1 0"]);
});

Deno.test("HttpStreams tells a client what rule it breaks after an early answer", async () => {
  const session = HttpSession.start();
  session.ask("POST", false);
  session.response.end("text");
  await settle();
  session.sent();
  const sent = session.receive(session.client.headers(1, ["a", "b"], false));
  assert.deepEqual(sent, ["RST_STREAM 1 1"]);
  await settle();
});
