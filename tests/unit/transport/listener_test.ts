import assert from "node:assert/strict";
import { concatBytes, EMPTY, text, utf8 } from "../../../src/base/bytes.ts";
import {
  type Http1Handover,
  openHttp1Handover,
} from "../../../src/transport/http1_handover.ts";
import { Connection } from "../../../src/transport/http2/connection.ts";
import { HeaderBlock } from "../../../src/transport/http2/header_block.ts";
import { DEFAULT_HTTP2_LIMITS } from "../../../src/transport/http2/limits.ts";
import type { ServerStream } from "../../../src/transport/http2/server_stream.ts";
import {
  Listener,
  type ListenerLimits,
} from "../../../src/transport/listener.ts";
import { LINGER_MS } from "../../../src/transport/socket_sink.ts";
import type { ListenAddress } from "../../../src/transport/address.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { ClientFrames, ServerOutput } from "../../support/h2_client.ts";
import { CapturingLogger } from "../../support/log.ts";

const LOOPBACK = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
const LIMITS: ListenerLimits = {
  firstBytesTimeoutMs: 10_000,
  maxConnections: 3,
};
const HEAD = new HeaderBlock([":status", "200"]);
const TAIL = new HeaderBlock(["done", "1"]);
const REQUEST = [":method", "GET", ":scheme", "http", ":path", "/"];

/** A listener that serves both protocols, the handlers of which leave the answers to the test. */
class Fixture implements AsyncDisposable {
  readonly log = new CapturingLogger();
  readonly connections: Connection[] = [];
  readonly streams: ServerStream[] = [];
  readonly resets: number[] = [];
  readonly listener: Listener;
  readonly #clients: Client[] = [];
  #requested = Promise.withResolvers<void>();
  /** Answers the HTTP/1.1 request that came last. */
  answerHttp1: () => void = () => {};

  constructor(
    readonly clock: FakeClock,
    http1: Http1Handover | undefined,
    address: ListenAddress,
    isHttp2: boolean,
  ) {
    this.listener = new Listener(address, {
      http2: !isHttp2 ? undefined : (sink, peer) => {
        const limits = DEFAULT_HTTP2_LIMITS;
        const connection = new Connection(sink, this, clock, limits, peer);
        this.connections.push(connection);
        return connection;
      },
      http1,
      clock,
      log: this.log,
    }, LIMITS);
  }

  static async open(
    { address = LOOPBACK, isHttp1 = true, isHttp2 = true }: {
      address?: ListenAddress;
      isHttp1?: boolean;
      isHttp2?: boolean;
    } = {},
  ): Promise<Fixture> {
    const clock = new FakeClock();
    let serve: () => void = () => {};
    const http1 = !isHttp1 ? undefined : await openHttp1Handover(
      (request, response) => {
        fixture.answerHttp1 = () => response.end(`<${request.url}>`);
        serve();
      },
      {},
      { clock },
    );
    const fixture = new Fixture(clock, http1, address, isHttp2);
    fixture.#http1 = http1;
    serve = () => fixture.#tellRequest();
    await fixture.listener.listen();
    return fixture;
  }

  #http1: Http1Handover | undefined = undefined;

  /** Resolves with the next request, of either protocol. */
  get requested(): Promise<void> {
    return this.#requested.promise;
  }

  #tellRequest(): void {
    const { resolve } = this.#requested;
    this.#requested = Promise.withResolvers();
    resolve();
  }

  onRequest(stream: ServerStream): void {
    this.streams.push(stream);
    stream.receiver = {
      onData: (stream, chunk) => stream.consumed(chunk.length),
      onTrailers: () => {},
      onReset: ({ id }) => void this.resets.push(id),
      onDrain: () => {},
    };
    this.#tellRequest();
  }

  answerHttp2(body = "<done>"): void {
    const bytes = utf8(body);
    const source = {
      writeTo: (out: Uint8Array, at: number) => out.set(bytes, at),
    };
    this.streams.at(-1)!.respond(HEAD, bytes.length, source, TAIL);
  }

  async connect(): Promise<Client> {
    const { address } = this.listener;
    const conn = address.kind === "unix"
      ? await Deno.connect({ transport: "unix", path: address.path })
      : await Deno.connect({ port: Number(new URL(this.listener.url).port) });
    const client = new Client(conn);
    this.#clients.push(client);
    return client;
  }

  /** Waits until the listener has so many connections. */
  async untilConnections(count: number): Promise<void> {
    while (this.listener.connections !== count) await turn();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const stopped = this.listener.shutdown(0);
    for (const client of this.#clients) client.close();
    this.clock.advance(LINGER_MS);
    await stopped;
    await this.#http1?.close();
  }
}

class Client {
  readonly frames = new ClientFrames();
  readonly #output = new ServerOutput();
  #isClosed = false;

  constructor(readonly conn: Deno.Conn) {}

  async send(...parts: Uint8Array[]): Promise<void> {
    await this.conn.write(concatBytes(...parts));
  }

  /** The next frames, described; undefined at the end. */
  async frameLines(): Promise<string[] | undefined> {
    const bytes = await this.read();
    if (bytes === undefined) return undefined;
    return this.#output.frames(bytes).map((f) => this.#output.describe(f));
  }

  /** All frames until the connection ends. */
  async framesToEnd(): Promise<string[]> {
    const all: string[] = [];
    for (;;) {
      const lines = await this.frameLines();
      if (lines === undefined) return all;
      all.push(...lines);
    }
  }

  /** Frames until one begins with `start`. */
  async framesUntil(start: string): Promise<string[]> {
    const all: string[] = [];
    while (!all.some((line) => line.startsWith(start))) {
      const lines = await this.frameLines();
      assert(lines !== undefined, `no ${start} in ${all.join(", ")}`);
      all.push(...lines);
    }
    return all;
  }

  async textUntil(end: string): Promise<string> {
    let all = "";
    while (!all.includes(end)) {
      const bytes = await this.read();
      if (bytes === undefined) break;
      all += text(bytes);
    }
    return all;
  }

  /** Undefined at the end, or if the connection was reset. */
  async read(): Promise<Uint8Array | undefined> {
    const chunk = new Uint8Array(1 << 16);
    const n = await this.conn.read(chunk).catch(() => null);
    return n === null ? undefined : chunk.subarray(0, n);
  }

  /** Sends the preface and a request that is complete. */
  async request(): Promise<void> {
    await this.send(
      this.frames.preface(),
      this.frames.settingsAck(),
      this.frames.headers(this.frames.nextId(), REQUEST, true),
    );
  }

  close(): void {
    if (!this.#isClosed) this.conn.close();
    this.#isClosed = true;
  }
}

/** Lets what the sockets have to say be heard. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

Deno.test("Listener serves HTTP/2 and HTTP/1.1 on one port", async () => {
  await using fixture = await Fixture.open();
  const first = await fixture.connect();
  const asked = fixture.requested;
  await first.request();
  await asked;
  fixture.answerHttp2();
  const lines = await first.framesUntil("DATA 1");
  assert(lines.includes("DATA 1 6"), lines.join());
  const second = await fixture.connect();
  const asked1 = fixture.requested;
  await second.send(utf8("GET /x HTTP/1.1\r\nHost: x\r\n\r\n"));
  await asked1;
  fixture.answerHttp1();
  assert.match(await second.textUntil("</x>"), /^HTTP\/1\.1 200/);
  assert.equal(fixture.listener.connections, 2);
});

Deno.test("Listener names the client for logs", async () => {
  await using fixture = await Fixture.open();
  const client = await fixture.connect();
  const asked = fixture.requested;
  await client.request();
  await asked;
  const { port } = client.conn.localAddr as Deno.NetAddr;
  assert.equal(fixture.connections[0]!.peer, `127.0.0.1:${port}`);
});

Deno.test("Listener takes a preface that comes byte by byte", async () => {
  await using fixture = await Fixture.open();
  const client = await fixture.connect();
  const preface = client.frames.preface();
  for (const byte of preface.subarray(0, 30)) {
    await client.send(Uint8Array.of(byte));
    await turn();
  }
  await client.send(preface.subarray(30));
  await client.framesUntil("SETTINGS ack");
  assert.equal(fixture.connections.length, 1);
});

Deno.test("Listener gives what only begins like HTTP/2 to HTTP/1.1", async () => {
  await using fixture = await Fixture.open();
  const client = await fixture.connect();
  await client.send(utf8("P"));
  await turn();
  const asked = fixture.requested;
  await client.send(
    utf8("UT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
  );
  await asked;
  fixture.answerHttp1();
  assert.match(await client.textUntil("</x>"), /^HTTP\/1\.1 200/);
  assert.equal(fixture.connections.length, 0);
});

Deno.test("Listener cuts a client off that says nothing for too long", async () => {
  await using fixture = await Fixture.open();
  const silent = await fixture.connect();
  const slow = await fixture.connect();
  await slow.send(utf8("PRI * HT"));
  await fixture.untilConnections(2);
  fixture.clock.advance(9_999);
  assert.equal(fixture.listener.connections, 2);
  fixture.clock.advance(1);
  assert.equal(await silent.read(), undefined);
  assert.equal(await slow.read(), undefined);
  await fixture.untilConnections(0);
});

Deno.test("Listener closes connections beyond the limit, and says so", async () => {
  await using fixture = await Fixture.open();
  for (let i = 0; i < LIMITS.maxConnections; i++) await fixture.connect();
  await fixture.untilConnections(LIMITS.maxConnections);
  const more = await fixture.connect();
  assert.equal(await more.read(), undefined);
  assert.equal(fixture.listener.connections, LIMITS.maxConnections);
  assert.deepEqual(fixture.log.messages("warn"), ["too many connections"]);
});

Deno.test("Listener cuts off clients of a protocol that it does not serve", async () => {
  await using only2 = await Fixture.open({ isHttp1: false });
  const http1 = await only2.connect();
  await http1.send(utf8("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  assert.equal(await http1.read(), undefined);
  await using only1 = await Fixture.open({ isHttp2: false });
  const http2 = await only1.connect();
  await http2.send(http2.frames.preface());
  assert.equal(await http2.read(), undefined);
});

Deno.test("Listener tells streams when their client is gone: by its end, and by a reset", async () => {
  await using fixture = await Fixture.open();
  for (const end of ["closeWrite", "reset"] as const) {
    const client = await fixture.connect();
    const asked = fixture.requested;
    await client.request();
    await asked;
    // Closing with bytes unread makes the kernel send a reset.
    if (end === "closeWrite") await client.conn.closeWrite();
    else client.close();
    while (fixture.resets.length === 0) await turn();
    fixture.resets.length = 0;
    await fixture.untilConnections(0);
  }
  assert.deepEqual(fixture.log.entries, []);
});

Deno.test("Listener sends an error's GOAWAY before it closes, and does not wait for the client for ever", async () => {
  await using fixture = await Fixture.open();
  const client = await fixture.connect();
  await client.send(client.frames.preface());
  await client.framesUntil("SETTINGS ack");
  await client.send(client.frames.data(0, EMPTY, true));
  const lines = await client.framesToEnd();
  assert.match(lines.at(-1)!, /^GOAWAY/);
  // The client keeps its half open.
  assert.equal(fixture.listener.connections, 1);
  fixture.clock.advance(LINGER_MS);
  await fixture.untilConnections(0);
});

Deno.test("Listener sends more than a socket holds, as the client reads it", async () => {
  await using fixture = await Fixture.open();
  const client = await fixture.connect();
  const id = client.frames.nextId();
  const asked = fixture.requested;
  await client.send(
    client.frames.preface([4, 2 ** 31 - 1]),
    client.frames.settingsAck(),
    client.frames.windowUpdate(0, 2 ** 30),
    client.frames.headers(id, REQUEST, true),
  );
  await asked;
  const bytes = 32 << 20; // kernels hold up to some ten
  fixture.answerHttp2("x".repeat(bytes));
  await turn();
  const stream = fixture.streams[0]!;
  assert(stream.bufferedBytes > 0, "nothing waits for the socket");
  let read = 0;
  for (;;) {
    const lines = await client.frameLines();
    for (const line of lines!) {
      if (line.startsWith("DATA 1")) read += Number(line.split(" ").at(-1));
    }
    if (lines!.at(-1)?.startsWith("HEADERS 1 end")) break;
  }
  assert.equal(read, bytes);
});

Deno.test("Listener.shutdown() accepts nobody, and waits for calls and requests that are under way", async () => {
  await using fixture = await Fixture.open();
  const { port } = new URL(fixture.listener.url);
  const http2 = await fixture.connect();
  let asked = fixture.requested;
  await http2.request();
  await asked;
  const http1 = await fixture.connect();
  asked = fixture.requested;
  await http1.send(utf8("GET /x HTTP/1.1\r\nHost: x\r\n\r\n"));
  await asked;
  const silent = await fixture.connect();
  await fixture.untilConnections(3);

  let isDone = false;
  const done = fixture.listener.shutdown(5_000).then(() => isDone = true);
  assert.equal(await silent.read(), undefined);
  await assert.rejects(Deno.connect({ port: Number(port) }));
  await turn();
  assert.equal(isDone, false);
  fixture.answerHttp1();
  assert.match(await http1.textUntil("</x>"), /<\/x>/);
  assert.equal(await http1.read(), undefined);
  http1.close();
  fixture.answerHttp2();
  await http2.framesUntil("HEADERS 1 end");
  await http2.send(http2.frames.pingAck(utf8("stele go")));
  assert.match((await http2.framesToEnd()).join(), /GOAWAY 1 0/);
  http2.close();
  await done;
  assert.equal(fixture.listener.connections, 0);
});

Deno.test("Listener.shutdown() ends what is still under way when its time is over", async () => {
  await using fixture = await Fixture.open();
  const http2 = await fixture.connect();
  let asked = fixture.requested;
  await http2.request();
  await asked;
  const http1 = await fixture.connect();
  asked = fixture.requested;
  await http1.send(utf8("GET /x HTTP/1.1\r\nHost: x\r\n\r\n"));
  await asked;
  const done = fixture.listener.shutdown(5_000);
  fixture.clock.advance(4_999);
  assert.deepEqual(fixture.resets, []);
  fixture.clock.advance(1);
  assert.deepEqual(fixture.resets, [1]);
  // The clients do not close either.
  fixture.clock.advance(LINGER_MS);
  await done;
});

Deno.test("Listener.listen() names the address that is taken", async () => {
  await using fixture = await Fixture.open();
  const port = Number(new URL(fixture.listener.url).port);
  await assert.rejects(
    Fixture.open({ address: { ...LOOPBACK, port }, isHttp1: false }),
    new RegExp(`^Error: Cannot listen on http://127.0.0.1:${port}: .*in use`),
  );
});

Deno.test("Listener closes a client that speaks TLS, and says so once", async () => {
  await using fixture = await Fixture.open();
  for (let i = 0; i < 2; i++) {
    const client = await fixture.connect();
    await client.send(Uint8Array.of(0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3));
    assert.equal(await client.read(), undefined);
  }
  assert.deepEqual(
    fixture.log.entries.map(({ msg }) => msg),
    ["client with TLS on a port without"],
  );
});

Deno.test("Listener on a Unix socket serves both protocols, and removes the file", async () => {
  const dir = await Deno.makeTempDir();
  const path = `${dir}/s.sock`;
  {
    await using fixture = await Fixture.open({
      address: { kind: "unix", path },
    });
    assert.equal(fixture.listener.url, `unix://${path}`);
    const first = await fixture.connect();
    let asked = fixture.requested;
    await first.request();
    await asked;
    assert.equal(fixture.connections[0]!.peer, "unix");
    const second = await fixture.connect();
    asked = fixture.requested;
    await second.send(utf8("GET /x HTTP/1.1\r\nHost: x\r\n\r\n"));
    await asked;
    fixture.answerHttp1();
    assert.match(await second.textUntil("</x>"), /^HTTP\/1\.1 200/);
  }
  await assert.rejects(Deno.lstat(path), Deno.errors.NotFound);
  await Deno.remove(dir);
});

Deno.test("Listener on a Unix socket takes the place of a dead server, not of a live one, nor of another file", async () => {
  const dir = await Deno.makeTempDir();
  const path = `${dir}/s.sock`;
  const address = { kind: "unix", path } as const;
  const code = `Deno.listen({transport:"unix",path:${JSON.stringify(path)}});` +
    "Deno.kill(Deno.pid,'SIGKILL')";
  await new Deno.Command(Deno.execPath(), { args: ["eval", code] }).output();
  assert((await Deno.lstat(path)).isSocket, "the dead server left its file");
  {
    await using fixture = await Fixture.open({ address });
    await fixture.connect();
    await assert.rejects(
      Fixture.open({ address, isHttp1: false }),
      {
        message:
          `Cannot listen on unix://${path}: another process listens there`,
      },
    );
  }
  await Deno.writeTextFile(path, "precious");
  await assert.rejects(
    Fixture.open({ address, isHttp1: false }),
    {
      message:
        `Cannot listen on unix://${path}: the file there is not a socket`,
    },
  );
  assert.equal(await Deno.readTextFile(path), "precious");
  await Deno.remove(dir, { recursive: true });
});
