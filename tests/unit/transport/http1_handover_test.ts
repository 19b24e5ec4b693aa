import assert from "node:assert/strict";
import { once } from "node:events";
import type { RequestListener } from "node:http";
import net, { type AddressInfo } from "node:net";
import { text, utf8 } from "../../../src/base/bytes.ts";
import {
  type Http1Handover,
  openHttp1Handover,
} from "../../../src/transport/http1_handover.ts";
import { FakeClock } from "../../support/fake_clock.ts";

/** Deno 2.7 cannot do the other. */
const MODES = Deno.version.deno.startsWith("2.7.")
  ? ["pipe"] as const
  : ["direct", "pipe"] as const;

const OPTIONS = { headersTimeout: 10_000, keepAliveTimeout: 60_000 };

/** A port whose connections are handed over as soon as they have said anything. */
class Port implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly sockets: net.Socket[] = [];
  readonly #server: net.Server;
  readonly #clients: Deno.Conn[] = [];

  constructor(readonly handover: Http1Handover, clock: FakeClock) {
    this.clock = clock;
    this.#server = net.createServer((socket) => {
      this.sockets.push(socket);
      socket.on("error", () => {});
      socket.once(
        "data",
        (chunk) => handover.take(socket, chunk as Uint8Array),
      );
    });
  }

  static async open(
    mode: "direct" | "pipe",
    listener: RequestListener,
  ): Promise<Port> {
    const clock = new FakeClock();
    const handover = await openHttp1Handover(listener, OPTIONS, {
      clock,
      mode,
    });
    const port = new Port(handover, clock);
    port.#server.listen(0, "127.0.0.1");
    await once(port.#server, "listening");
    return port;
  }

  get number(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async connect(): Promise<Deno.Conn> {
    const client = await Deno.connect({ port: this.number });
    this.#clients.push(client);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.handover.close();
    for (const client of this.#clients) {
      try {
        client.close();
      } catch {
        // The test has closed it.
      }
    }
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function write(client: Deno.Conn, request: string): Promise<void> {
  await client.write(utf8(request));
}

/** Reads until `end` was read, or the end. */
async function readUntil(client: Deno.Conn, end?: string): Promise<string> {
  const chunk = new Uint8Array(4096);
  let all = "";
  while (end === undefined || !all.includes(end)) {
    const n = await client.read(chunk).catch(() => null);
    if (n === null) break;
    all += text(chunk.subarray(0, n));
  }
  return all;
}

for (const mode of MODES) {
  const name = `Http1Handover (${mode})`;

  Deno.test(`${name} serves one request after another on a connection`, async () => {
    await using port = await Port.open(mode, (request, response) => {
      response.end(`<${request.url}>`);
    });
    const client = await port.connect();
    for (const path of ["/one", "/two", "/three"]) {
      await write(client, `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
      assert.match(await readUntil(client, `<${path}>`), /^HTTP\/1\.1 200/);
    }
  });

  Deno.test(`${name} serves a request that comes in pieces, with a body`, async () => {
    await using port = await Port.open(mode, (request, response) => {
      let body = "";
      request.on("data", (chunk: Uint8Array) => body += text(chunk));
      request.on("end", () => response.end(`<${body}>`));
    });
    const client = await port.connect();
    await write(client, "POST / HT");
    await write(client, "TP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc");
    await write(client, "def");
    assert.match(await readUntil(client, "<abcdef>"), /<abcdef>/);
  });

  Deno.test(`${name} cuts a client off that asks on and on before it is answered`, async () => {
    let asked = 0;
    await using port = await Port.open(mode, () => void asked++);
    const client = await port.connect();
    await write(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100));
    assert.equal(await readUntil(client), "");
    assert.ok(asked <= 32, `${asked}`);
    assert.equal(port.sockets[0]!.destroyed, true);
  });

  Deno.test(`${name} answers what is no HTTP with 400, and closes`, async () => {
    await using port = await Port.open(mode, () => assert.fail("served"));
    const client = await port.connect();
    await write(client, "\x16\x03\x01 nothing\r\n\r\n");
    assert.match(await readUntil(client), /^HTTP\/1\.1 400/);
  });

  Deno.test(`${name} closes a connection whose first request does not come`, async () => {
    await using port = await Port.open(mode, () => assert.fail("served"));
    const client = await port.connect();
    await write(client, "GET / HTTP/1.1\r\nHost:");
    await untilTaken(port);
    port.clock.advance(9_000);
    assert.equal(port.sockets[0]!.destroyed, false);
    port.clock.advance(1_000);
    assert.equal(port.sockets[0]!.destroyed, true);
    assert.equal(await readUntil(client), "");
  });

  Deno.test(`${name} closes an idle connection, and none on which a request is under way`, async () => {
    const arrived = Promise.withResolvers<() => void>();
    await using port = await Port.open(mode, (_request, response) => {
      arrived.resolve(() => response.end("<done>"));
    });
    const client = await port.connect();
    await write(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    const answer = await arrived.promise;
    port.clock.advance(1e6);
    assert.equal(port.sockets[0]!.destroyed, false);
    answer();
    await readUntil(client, "<done>");
    port.clock.advance(59_000);
    assert.equal(port.sockets[0]!.destroyed, false);
    port.clock.advance(1_000);
    assert.equal(port.sockets[0]!.destroyed, true);
  });

  Deno.test(`${name}.drain() closes an idle connection at once`, async () => {
    await using port = await Port.open(mode, (_request, response) => {
      response.end("<done>");
    });
    const client = await port.connect();
    await write(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await readUntil(client, "<done>");
    port.handover.drain(port.sockets[0]!);
    assert.equal(await readUntil(client), "");
  });

  Deno.test(`${name}.drain() lets the request that is under way finish, and says that it was the last`, async () => {
    const arrived = Promise.withResolvers<() => void>();
    await using port = await Port.open(mode, (_request, response) => {
      arrived.resolve(() => response.end("<done>"));
    });
    const client = await port.connect();
    await write(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    const answer = await arrived.promise;
    port.handover.drain(port.sockets[0]!);
    answer();
    const all = await readUntil(client);
    assert.match(all, /<done>/);
    assert.match(all, /connection: close/i);
  });

  Deno.test(`${name} survives clients that go away in the middle`, async () => {
    const arrived = Promise.withResolvers<() => void>();
    await using port = await Port.open(mode, (request, response) => {
      if (request.url === "/second") response.end("<done>");
      else arrived.resolve(() => response.end("<done>"));
    });
    const first = await port.connect();
    await write(first, "POST / HTTP/1.1\r\nHost: x\r\n");
    await write(first, "Content-Length: 6\r\n\r\nabc");
    const answer = await arrived.promise;
    const gone = new Promise((resolve) =>
      port.sockets[0]!.on("close", resolve)
    );
    first.close();
    await gone;
    answer();
    const second = await port.connect();
    await write(second, "GET /second HTTP/1.1\r\nHost: x\r\n\r\n");
    assert.match(await readUntil(second, "<done>"), /<done>/);
  });
}

Deno.test("Http1Handover (pipe) serves nobody who finds its inner port", async () => {
  for (;;) {
    const before = new Set(ownPorts());
    await using port = await Port.open("pipe", () => assert.fail("served"));
    const opened = ownPorts().filter((number) =>
      number !== port.number && !before.has(number)
    );
    assert.ok(opened.length > 0);
    // Other tests run in this process, and open ports as well: then it is not known which of them is the inner one.
    if (opened.length > 1) continue;
    const stranger = await Deno.connect({ port: opened[0]! });
    await write(stranger, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert.match(await readUntil(stranger), /^HTTP\/1\.1 403/);
    stranger.close();
    return;
  }
});

/** The ports on which this process listens. */
function ownPorts(): number[] {
  const inodes = new Set<string>();
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    try {
      const link = Deno.readLinkSync(`/proc/self/fd/${name}`);
      inodes.add(/^socket:\[(\d+)\]$/.exec(link)?.[1] ?? "");
    } catch {
      // Closed meanwhile.
    }
  }
  return Deno.readTextFileSync("/proc/net/tcp").split("\n").slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((row) => row[3] === "0A" && inodes.has(row[9]!))
    .map((row) => parseInt(row[1]!.split(":")[1]!, 16));
}

/** Waits until the port's first socket has said something. */
async function untilTaken(port: Port): Promise<void> {
  while (port.sockets.length === 0 || port.sockets[0]!.bytesRead === 0) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
