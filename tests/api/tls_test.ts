import * as grpc from "@grpc/grpc-js";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import http2 from "node:http2";
import https from "node:https";
import net from "node:net";
import { join } from "node:path";
import tls from "node:tls";
import {
  type Config,
  defaultConfig,
  type RunningServer,
  startServer,
} from "../../mod.ts";
import { Authority, type Identity } from "../support/certificates.ts";
import { EtcdClient, op } from "../support/etcd_client.ts";
import { failure } from "../support/failure.ts";
import { CapturingLogger } from "../support/log.ts";

const ca = Authority.create("ca");
const server = ca.issue("server");
const UNAVAILABLE = 14;
/** A client that is refused tries again and again: one second is enough to see that it does not come through. */
const REFUSED_MS = 1_000;

/** A server that speaks TLS, with its files and data in a directory of its own. */
class Fixture implements AsyncDisposable {
  readonly log = new CapturingLogger();
  readonly #clients: EtcdClient[] = [];
  #server: RunningServer | undefined = undefined;

  private constructor(readonly directory: string) {}

  static async start(
    overrides: Partial<Config["tls"]> = {},
    { more = {}, isMutual = false, crl }: {
      /** Beside TLS. */
      more?: Partial<Config>;
      /** Clients must show a certificate. */
      isMutual?: boolean;
      crl?: Uint8Array;
    } = {},
  ): Promise<Fixture> {
    const fixture = new Fixture(await Deno.makeTempDir({ prefix: "stele-" }));
    fixture.write("cert.pem", server.cert);
    fixture.write("key.pem", server.key);
    fixture.write("ca.pem", ca.cert);
    if (crl !== undefined) Deno.writeFileSync(fixture.path("crl.der"), crl);
    const defaults = defaultConfig({ dataDir: fixture.path("data") });
    fixture.#server = await startServer({
      ...defaults,
      listenClientUrls: ["https://127.0.0.1:0"],
      advertiseClientUrls: ["https://127.0.0.1:0"],
      bcryptCost: 4,
      tls: {
        ...defaults.tls,
        certFile: fixture.path("cert.pem"),
        keyFile: fixture.path("key.pem"),
        trustedCaFile: isMutual ? fixture.path("ca.pem") : "",
        clientCertAuth: isMutual,
        clientCrlFile: crl === undefined ? "" : fixture.path("crl.der"),
        ...overrides,
      },
      ...more,
    }, { log: fixture.log });
    return fixture;
  }

  get url(): string {
    return this.#server!.clientUrls[0]!;
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  get messages(): string[] {
    return this.log.entries.map(({ msg }) => msg);
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  write(name: string, content: string): void {
    Deno.writeTextFileSync(this.path(name), content, { mode: 0o600 });
  }

  /** What grpc-js makes of the certificates; `trusted` is whom the client trusts. */
  client(
    identity?: Identity,
    { trusted = ca.cert, address = `127.0.0.1:${this.port}` } = {},
  ): EtcdClient {
    const bytes = (text: string | undefined) =>
      text === undefined ? null : Buffer.from(text);
    const credentials = grpc.credentials.createSsl(
      bytes(trusted),
      bytes(identity?.key),
      bytes(identity?.cert),
    );
    return this.#keep(
      new EtcdClient(address, {
        "grpc.ssl_target_name_override": "localhost",
        channelFactoryOverride: (target, _, options) =>
          new grpc.Channel(target, credentials, options),
      }),
    );
  }

  plainClient(): EtcdClient {
    return this.#keep(new EtcdClient(`127.0.0.1:${this.port}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.#server?.stop();
    await Deno.remove(this.directory, { recursive: true });
  }

  #keep(client: EtcdClient): EtcdClient {
    this.#clients.push(client);
    return client;
  }
}

class TempDir {
  readonly path = Deno.makeTempDirSync({ prefix: "stele-" });

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** Whether with an error or without one. */
function closed(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on("error", () => {}); // `close` follows
    socket.on("close", () => resolve());
  });
}

function put(key: string) {
  return { key: Buffer.from(key), value: Buffer.from("value") };
}

function refusedPut(client: EtcdClient): Promise<{ code: number }> {
  const options = { deadline: Date.now() + REFUSED_MS };
  return failure(client.kv.call("Put", put("k"), options));
}

Deno.test("TLS: unary calls, streams and transactions", async () => {
  await using fixture = await Fixture.start();
  const client = fixture.client();
  const watch = client.openWatch();
  await watch.create({ key: Buffer.from("k") });
  await client.kv.call("Put", put("k"));
  await client.txn({ success: [op.put("k", "second"), op.range("k")] });
  const values = (await watch.events(2)).map(({ kv }) => String(kv.value));
  assert.deepEqual(values, ["value", "second"]);
  await watch.cancel();
  const members = await client.cluster.call("MemberList");
  assert.equal(members.members.length, 1);
});

Deno.test("TLS: large messages both ways", async () => {
  await using fixture = await Fixture.start();
  const client = fixture.client();
  const value = Buffer.alloc(1_400_000, "v");
  for (const key of ["a", "b", "c"]) {
    await client.kv.call("Put", { key: Buffer.from(key), value });
  }
  const { kvs } = await client.range("a", "z");
  assert.equal(kvs.length, 3);
  for (const kv of kvs) assert.ok(value.equals(kv.value));
});

Deno.test("TLS: a client without it is turned away, and others are served", async () => {
  await using fixture = await Fixture.start();
  const { code } = await refusedPut(fixture.plainClient());
  assert.ok(code === UNAVAILABLE || code === 4, `code ${code}`);
  assert.ok(fixture.messages.includes("client without TLS on a TLS port"));
  await fixture.client().kv.call("Put", put("k"));
});

Deno.test("TLS: a client with it at an address without is turned away", async () => {
  const plain = { listenClientUrls: ["http://127.0.0.1:0"] };
  await using fixture = await Fixture.start({}, { more: plain });
  assert.ok(
    fixture.messages.includes(
      "addresses with http or unix are served without TLS",
    ),
  );
  const socket = tls.connect({
    port: fixture.port,
    host: "127.0.0.1",
    ca: [ca.cert],
    servername: "localhost",
  });
  await closed(socket);
  assert.ok(fixture.messages.includes("client with TLS on a port without"));
  await fixture.plainClient().kv.call("Put", put("k"));
});

Deno.test("TLS: the common name of a client's certificate is who it is", async () => {
  await using fixture = await Fixture.start({}, { isMutual: true });
  const root = fixture.client(ca.issue("root"));
  for (const name of ["root", "alice"]) {
    const options = { no_password: true };
    await root.auth.call("UserAdd", { name, options });
  }
  await root.auth.call("UserGrantRole", { user: "root", role: "root" });
  await root.auth.call("RoleAdd", { name: "a" });
  await root.auth.call("RoleGrantPermission", {
    name: "a",
    perm: { permType: "READWRITE", key: Buffer.from("a") },
  });
  await root.auth.call("UserGrantRole", { user: "alice", role: "a" });
  await root.auth.call("AuthEnable");

  const alice = fixture.client(ca.issue("alice"));
  await alice.kv.call("Put", put("a"));
  const denied = { code: 7, message: "etcdserver: permission denied" };
  assert.deepEqual(await failure(alice.kv.call("Put", put("b"))), denied);
  assert.deepEqual(await failure(alice.auth.call("UserList")), denied);
  const stranger = fixture.client(ca.issue("stranger"));
  assert.deepEqual(await failure(stranger.kv.call("Put", put("a"))), denied);
  assert.equal((await root.auth.call("UserList")).users.length, 2);
});

Deno.test("TLS: who has a name by certificate is told that the gateway does not use it, once auth is on", async () => {
  await using fixture = await Fixture.start({}, { isMutual: true });
  const root = fixture.client(ca.issue("root"));
  const { port } = fixture;
  const old = { ":method": "POST", ":path": "/v3beta/kv/range" };
  const range = (identity: Identity) => async () => [
    await get(port, "/v3/kv/range", identity),
    await ask(port, old, { body: "{}", identity }),
    await get(port, "/health", identity),
  ];
  const named = range(ca.issue("root"));
  const nameless = range(ca.issue(""));
  const wrong = '501 {"code":12,"message":"Method Not Allowed"}';
  const empty = '400 {"code":3,"message":"etcdserver: key is not provided"}';
  assert.deepEqual(await named(), [wrong, empty, HEALTHY]);

  const options = { no_password: true };
  await root.auth.call("UserAdd", { name: "root", options });
  await root.auth.call("UserGrantRole", { user: "root", role: "root" });
  await root.auth.call("AuthEnable");
  const ignored =
    "400 CommonName of client sending a request against gateway " +
    "will be ignored and not used as expected\n";
  assert.deepEqual(await named(), [ignored, ignored, HEALTHY]);
  assert.deepEqual(await nameless(), [wrong, empty, HEALTHY]);
});

Deno.test("TLS: without client-cert-auth a certificate is asked for, but is nobody", async () => {
  const anybody = { clientCertAuth: false };
  await using fixture = await Fixture.start(anybody, { isMutual: true });
  const root = fixture.client(ca.issue("root"));
  await root.auth.call("UserAdd", { name: "root", password: "pw" });
  await root.auth.call("UserGrantRole", { user: "root", role: "root" });
  await root.auth.call("AuthEnable");
  assert.deepEqual(await failure(root.kv.call("Put", put("k"))), {
    code: 3,
    message: "etcdserver: user name is empty",
  });
  const { code } = await refusedPut(fixture.client());
  assert.ok(code === UNAVAILABLE || code === 4, `code ${code}`);
});

Deno.test("TLS: nothing of a client without a valid certificate is done", async () => {
  const revoked = ca.issue("revoked");
  const crl = ca.revoke([revoked]);
  await using fixture = await Fixture.start({}, { isMutual: true, crl });
  const good = fixture.client(ca.issue("good"));
  await good.kv.call("Put", put("k"));
  const before = await good.revision();
  const refused = [
    fixture.client(),
    fixture.client(Authority.create("other").issue("good")),
    fixture.client(ca.issue("good", { notAfterMs: Date.now() - 1_000 })),
    fixture.client(revoked),
    fixture.plainClient(),
  ].map((client) => refusedPut(client));
  for (const { code } of await Promise.all(refused)) {
    assert.ok(code === UNAVAILABLE || code === 4, `code ${code}`);
  }
  assert.equal(await good.revision(), before);
});

Deno.test("TLS: auto-tls makes a certificate that clients can be given", async () => {
  const automatic = { certFile: "", keyFile: "", autoTls: true };
  await using fixture = await Fixture.start(automatic);
  const file = fixture.path("data/fixtures/client/cert.pem");
  const trusted = Deno.readTextFileSync(file);
  await fixture.client(undefined, { trusted }).kv.call("Put", put("k"));
});

Deno.test("TLS: on a Unix socket", async () => {
  using directory = new TempDir();
  const path = join(directory.path, "s");
  const more = { listenClientUrls: [`unixs://${path}`] };
  await using fixture = await Fixture.start({}, { more });
  assert.equal(fixture.url, `unixs://${path}`);
  const client = fixture.client(undefined, { address: `unix:${path}` });
  await client.kv.call("Put", put("k"));
  const plain = net.connect(path);
  plain.resume();
  plain.write("GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
  await closed(plain);
  await client.kv.call("Put", put("k"));
});

/** Asks over HTTP/1.1. */
function get(
  port: number,
  path: string,
  identity?: Identity,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const url = `https://127.0.0.1:${port}${path}`;
    const options = { ...identity, ca: [ca.cert], agent: false };
    https.get(url, options, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => body += text);
      response.on("end", () => resolve(`${response.statusCode} ${body}`));
    }).on("error", reject);
  });
}

/** Asks over HTTP/2. */
async function ask(
  port: number,
  headers: Record<string, string>,
  { body = "", identity }: { body?: string; identity?: Identity } = {},
): Promise<string> {
  const options = { ...identity, ca: [ca.cert] };
  const session = http2.connect(`https://127.0.0.1:${port}`, options);
  try {
    const stream = session.request(headers, { endStream: body === "" });
    // Deno tells of the head after the body.
    const head = once(stream, "response");
    let answer = "";
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => answer += text);
    if (body !== "") stream.end(body);
    await once(stream, "end");
    const [fields] = await head;
    return `${fields[":status"]} ${answer}`;
  } finally {
    session.close();
  }
}

const HEALTHY = '200 {"health":"true","reason":""}';

Deno.test("TLS: HTTP/1.1 and HTTP/2 serve health, metrics and the gateway", async () => {
  await using fixture = await Fixture.start();
  const { port } = fixture;
  assert.equal(await get(port, "/health"), HEALTHY);
  assert.equal(await ask(port, { ":path": "/health" }), HEALTHY);
  assert.equal(
    await ask(port, { ":path": "/nothing" }),
    "404 404 page not found\n",
  );
  const [one, two] = [
    await get(port, "/metrics"),
    await ask(port, { ":path": "/metrics" }),
  ];
  for (const answer of [one, two]) {
    assert.match(answer, /^200 # HELP/);
    assert.ok(answer.length > 64 << 10, "more than a window");
  }
  const gateway = { ":method": "POST", ":path": "/v3/kv/put" };
  const stored = await ask(port, gateway, {
    body: '{"key":"aw==","value":"dg=="}',
  });
  assert.match(stored, /^200 \{"header":.*"revision":"2"/);
  const empty = await ask(port, { ...gateway, ":path": "/v3/kv/range" }, {
    body: "{",
  });
  assert.match(empty, /^400 /);
});

Deno.test("TLS: metrics have it at https addresses only", async () => {
  const free = net.createServer().listen(0, "127.0.0.1");
  await once(free, "listening");
  const { port } = free.address() as net.AddressInfo;
  free.close();
  await once(free, "close");
  const listenMetricsUrls = [`https://127.0.0.1:${port}`];
  const more = { listenClientUrls: ["http://127.0.0.1:0"], listenMetricsUrls };
  await using fixture = await Fixture.start({}, { more });
  assert.equal(await get(port, "/health"), HEALTHY);
  assert.equal(await ask(port, { ":path": "/health" }), HEALTHY);
  await fixture.plainClient().kv.call("Put", put("k"));
});
