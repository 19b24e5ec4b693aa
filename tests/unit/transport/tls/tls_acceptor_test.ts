import assert from "node:assert/strict";
import { once } from "node:events";
import net, { type AddressInfo, type Socket } from "node:net";
import { join } from "node:path";
import tls, { type ConnectionOptions } from "node:tls";
import {
  TlsAcceptor,
  type TlsLimits,
} from "../../../../src/transport/tls/tls_acceptor.ts";
import type { TlsOptions } from "../../../../src/transport/tls/tls_options.ts";
import {
  Authority,
  type Identity,
  selfSigned,
} from "../../../support/certificates.ts";
import { FakeClock } from "../../../support/fake_clock.ts";
import { type CapturedEntry, CapturingLogger } from "../../../support/log.ts";

const ca = Authority.create("ca");
const other = Authority.create("other");
const server = ca.issue("server");
const good = ca.issue("good");
const LIMITS: TlsLimits = { handshakeTimeoutMs: 10_000, maxHandshakes: 3 };
/** Longer than what a look at the files waits for. */
const LOOK_MS = 1_001;

interface Outcome {
  /** What was sent came back. */
  readonly isServed: boolean;
  readonly protocol?: string | null;
  readonly alpn?: string | false | null;
  readonly serverName?: string | undefined;
}

/** An acceptor behind a port, which sends back what it gets, and its files in a directory of their own. */
class Fixture implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly log = new CapturingLogger();
  readonly directory = Deno.makeTempDirSync();
  /** The names of those that came through. */
  readonly names: (string | undefined)[] = [];
  /** Bytes that came through. */
  received = 0;
  readonly acceptor: TlsAcceptor;
  readonly #listener: net.Server;
  readonly #sockets = new Set<Socket>();

  constructor(
    files: Readonly<Record<string, string | Uint8Array>>,
    options: Partial<TlsOptions>,
  ) {
    this.write({ "cert.pem": server.cert, "key.pem": server.key, ...files });
    this.acceptor = new TlsAcceptor(
      {
        certFile: this.path("cert.pem"),
        keyFile: this.path("key.pem"),
        trustedCaFile: "ca.pem" in files ? this.path("ca.pem") : "",
        clientCertAuth: "ca.pem" in files,
        clientCrlFile: "crl.der" in files ? this.path("crl.der") : "",
        clientCertAllowedHostnames: [],
        minVersion: "TLSv1.2",
        maxVersion: "TLSv1.3",
        cipherSuites: [],
        ...options,
      },
      this.clock,
      this.log,
      LIMITS,
    );
    this.#listener = net.createServer((raw) => {
      this.#keep(raw);
      this.acceptor.accept(raw, (socket, name) => {
        this.#keep(socket);
        this.names.push(name);
        socket.on("data", (bytes: Uint8Array) => {
          this.received += bytes.length;
          socket.write(bytes);
        });
      });
    });
  }

  static async open(
    files: Readonly<Record<string, string | Uint8Array>> = {},
    options: Partial<TlsOptions> = {},
  ): Promise<Fixture> {
    const fixture = new Fixture(files, options);
    fixture.#listener.listen(0, "127.0.0.1");
    await once(fixture.#listener, "listening");
    return fixture;
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  write(files: Readonly<Record<string, string | Uint8Array>>): void {
    for (const [name, content] of Object.entries(files)) {
      const bytes = typeof content === "string"
        ? new TextEncoder().encode(content)
        : content;
      Deno.writeFileSync(this.path(name), bytes, { mode: 0o600 });
    }
  }

  /** Puts other files in the place of these, and lets the next handshake look. */
  change(files: Readonly<Record<string, string | Uint8Array>>): void {
    for (const name of Object.keys(files)) Deno.removeSync(this.path(name));
    this.write(files);
    this.clock.advance(LOOK_MS);
  }

  /** Connects, sends four bytes, and waits for them or for the end. */
  async try(
    identity?: Identity,
    options: ConnectionOptions = {},
  ): Promise<Outcome> {
    const socket = tls.connect({
      port: this.port,
      host: "127.0.0.1",
      servername: "localhost",
      ca: [ca.cert, other.cert],
      ...(identity === undefined
        ? {}
        : { cert: identity.cert, key: identity.key }),
      ...options,
    });
    const outcome = Promise.withResolvers<Outcome>();
    socket.on("error", () => {}); // `close` follows
    socket.on("secureConnect", () => socket.write("ping"));
    socket.on("data", () =>
      outcome.resolve({
        isServed: true,
        protocol: socket.getProtocol(),
        alpn: socket.alpnProtocol,
        serverName: socket.getPeerCertificate().subject.CN as string,
      }));
    socket.on("close", () => outcome.resolve({ isServed: false }));
    const result = await outcome.promise;
    const closed = once(socket, "close");
    if (!socket.destroyed) {
      socket.destroy();
      await closed;
    }
    return result;
  }

  /** A connection without TLS; what it gets is kept. */
  async raw(): Promise<RawClient> {
    const socket = net.connect(this.port, "127.0.0.1");
    const client = new RawClient(socket);
    await once(socket, "connect");
    return client;
  }

  /** Waits until the server has heard of every connection and handshake that ended. */
  async settled(handshakes: number): Promise<void> {
    while (this.acceptor.handshakes !== handshakes) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#listener.close();
    await once(this.#listener, "close");
    await this.settled(0);
    Deno.removeSync(this.directory, { recursive: true });
  }

  #keep(socket: Socket): void {
    socket.on("error", () => {}); // `close` follows
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
  }
}

class RawClient {
  readonly received: number[] = [];
  readonly closed: Promise<void>;

  constructor(readonly socket: Socket) {
    const closed = Promise.withResolvers<void>();
    this.closed = closed.promise;
    socket.on("error", () => {}); // `close` follows
    socket.on("data", (bytes: Uint8Array) => this.received.push(...bytes));
    socket.on("close", () => closed.resolve());
  }
}

function test(name: string, run: () => Promise<void>): void {
  Deno.test(`TlsAcceptor ${name}`, run);
}

test("serves, without asking for a certificate", async () => {
  await using fixture = await Fixture.open();
  const outcome = await fixture.try();
  assert.equal(outcome.isServed, true);
  assert.equal(outcome.protocol, "TLSv1.3");
  assert.equal(outcome.serverName, "server");
  assert.deepEqual(fixture.names, [undefined]);
  assert.equal(fixture.acceptor.handshakes, 0);
});

test("offers h2 and http/1.1, and serves clients that offer nothing", async () => {
  await using fixture = await Fixture.open();
  const alpn = async (...ALPNProtocols: string[]) =>
    (await fixture.try(undefined, { ALPNProtocols })).alpn;
  assert.equal(await alpn("h2"), "h2");
  assert.equal(await alpn("http/1.1"), "http/1.1");
  assert.equal(await alpn("http/1.1", "h2"), "h2");
  assert.equal((await fixture.try()).isServed, true);
});

test("tells the common name of a client's certificate", async () => {
  await using fixture = await Fixture.open({ "ca.pem": ca.cert });
  assert.equal((await fixture.try(good)).isServed, true);
  assert.deepEqual(fixture.names, ["good"]);
});

test("asks for a certificate without client-cert-auth too, and tells no name", async () => {
  const options = { clientCertAuth: false };
  await using fixture = await Fixture.open({ "ca.pem": ca.cert }, options);
  assert.equal((await fixture.try(good)).isServed, true);
  assert.equal((await fixture.try()).isServed, false);
  assert.deepEqual(fixture.names, [undefined]);
});

test("serves a certificate whose chain the client sends", async () => {
  const below = ca.intermediate("below");
  const leaf = below.issue("leaf");
  await using fixture = await Fixture.open({ "ca.pem": ca.cert });
  const cert = leaf.cert + below.cert;
  assert.equal((await fixture.try(leaf, { cert })).isServed, true);
  assert.equal((await fixture.try(leaf)).isServed, false);
  assert.deepEqual(fixture.names, ["leaf"]);
});

const DAY_MS = 24 * 3_600_000;
const REFUSED: readonly (readonly [string, Identity | undefined, RegExp])[] = [
  ["none", undefined, /sent no certificates/],
  ["one of another authority", other.issue("good"), /UNABLE_TO_VERIFY/],
  ["one that has signed itself", selfSigned("good"), /SELF_SIGNED|VERIFY/],
  [
    "one that has expired",
    ca.issue("good", { notAfterMs: Date.now() - DAY_MS }),
    /EXPIRED|VERIFY/,
  ],
  [
    "one that is not valid yet",
    ca.issue("good", { notBeforeMs: Date.now() + DAY_MS }),
    /./,
  ],
  ["one for servers", ca.issue("good", { usages: ["server"] }), /./],
  [
    "one that a client's certificate has signed",
    new Authority(good).issue("good"),
    /./,
  ],
];

for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
  for (const [what, identity, reason] of REFUSED) {
    test(`refuses ${what} as a client's certificate, ${version}`, async () => {
      const options = { minVersion: version, maxVersion: version };
      await using fixture = await Fixture.open({ "ca.pem": ca.cert }, options);
      assert.equal((await fixture.try(identity)).isServed, false);
      await fixture.settled(0);
      assert.deepEqual(fixture.names, []);
      const [entry] = fixture.log.entries;
      assert.equal(entry?.msg, "TLS handshake failed");
      assert.match(String(entry.fields.reason), reason);
    });
  }
}

test("refuses a certificate that was revoked, and those below it", async () => {
  const below = ca.intermediate("below");
  const leaf = below.issue("leaf");
  const revoked = ca.issue("revoked");
  await using fixture = await Fixture.open({
    "ca.pem": ca.cert,
    "crl.der": ca.revoke([revoked, below.identity]),
  });
  assert.equal((await fixture.try(good)).isServed, true);
  assert.equal((await fixture.try(revoked)).isServed, false);
  const cert = leaf.cert + below.cert;
  assert.equal((await fixture.try(leaf, { cert })).isServed, false);
  assert.deepEqual(fixture.names, ["good"]);
  const [entry] = fixture.log.entries;
  assert.equal(entry?.msg, "client certificate refused");
  assert.equal(entry.fields.reason, "it has been revoked");
});

test("refuses a certificate that is for none of the allowed hosts", async () => {
  const options = { clientCertAllowedHostnames: ["a.example", "10.0.0.9"] };
  await using fixture = await Fixture.open({ "ca.pem": ca.cert }, options);
  const isServed = async (...hosts: string[]) =>
    (await fixture.try(ca.issue("client", { hosts }))).isServed;
  assert.equal(await isServed("a.example"), true);
  assert.equal(await isServed("*.example"), true);
  assert.equal(await isServed("x", "10.0.0.9"), true);
  assert.equal(await isServed("b.example"), false);
  assert.equal(await isServed(), false);
});

test("negotiates no version below the lowest or above the highest", async () => {
  const is = async (version: "TLSv1.2" | "TLSv1.3", fixture: Fixture) => {
    const limits = { minVersion: version, maxVersion: version };
    return (await fixture.try(undefined, limits)).isServed;
  };
  await using old = await Fixture.open({}, { maxVersion: "TLSv1.2" });
  assert.equal(await is("TLSv1.2", old), true);
  assert.equal(await is("TLSv1.3", old), false);
  await using fresh = await Fixture.open({}, { minVersion: "TLSv1.3" });
  assert.equal(await is("TLSv1.2", fresh), false);
  assert.equal(await is("TLSv1.3", fresh), true);
});

test("answers TLS 1.1 with an alert", async () => {
  await using fixture = await Fixture.open();
  const client = await fixture.raw();
  // A ClientHello of version 0x0302 with one cipher suite, no compression and no extensions.
  const hello = [0x03, 0x02, ...Array(32).fill(1), 0, 0, 2, 0xc0, 0x13, 1, 0];
  const message = [1, 0, 0, hello.length, ...hello];
  client.socket.write(
    Uint8Array.from([0x16, 3, 1, 0, message.length, ...message]),
  );
  await client.closed;
  const [type, major, , , , level] = client.received;
  assert.deepEqual([type, major, level], [0x15, 3, 2], "a fatal alert");
  assert.deepEqual(fixture.names, []);
});

test("serves TLS 1.2 with the allowed cipher suites only", async () => {
  const suite = (name: string) => ({
    maxVersion: "TLSv1.2" as const,
    cipherSuites: [name],
  });
  // What our client prefers is the first; both certificates are ECDSA.
  const name = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
  await using allowed = await Fixture.open({}, suite(name));
  assert.equal((await allowed.try()).isServed, true);
  const another = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
  await using refused = await Fixture.open({}, suite(another));
  assert.equal((await refused.try()).isServed, false);
  assert.deepEqual(refused.names, []);
  assert.equal(refused.log.entries[0]?.fields.suite, name);
  const never = "TLS_RSA_WITH_AES_128_CBC_SHA";
  const old = { cipherSuites: [never] };
  await using unusable = await Fixture.open({}, old);
  const limits = { maxVersion: "TLSv1.2" as const };
  assert.equal((await unusable.try(undefined, limits)).isServed, false);
  await using newer = await Fixture.open({}, { cipherSuites: [another] });
  assert.equal((await newer.try()).isServed, true, "TLS 1.3 has its own");
});

test("serves with the files as they are now", async () => {
  await using fixture = await Fixture.open();
  const next = ca.issue("next");
  const files = { "cert.pem": next.cert, "key.pem": next.key };
  fixture.write(files);
  assert.equal((await fixture.try()).serverName, "server", "too early to look");
  fixture.clock.advance(LOOK_MS);
  assert.equal((await fixture.try()).serverName, "next");
  assert.equal(
    fixture.log.entries.at(-1)?.msg,
    "TLS files have changed and are in use",
  );
});

const BROKEN: readonly (readonly [string, Record<string, string>, RegExp])[] = [
  ["an empty certificate", { "cert.pem": "" }, /no certificate in it/],
  ["a key of another", { "key.pem": good.key }, /does not belong to/],
  ["a key that is none", { "key.pem": "x" }, /Cannot use key/],
  ["an empty file of authorities", { "ca.pem": "" }, /no certificate in it/],
  ["a broken revocation list", { "crl.der": "0" }, /Cannot use revocation/],
];

for (const [what, files, message] of BROKEN) {
  test(`keeps the old files while there is ${what}, and logs it once`, async () => {
    const before = { "ca.pem": ca.cert, "crl.der": ca.revoke([]) };
    await using fixture = await Fixture.open(before);
    fixture.change(files);
    assert.equal((await fixture.try(good)).isServed, true);
    fixture.clock.advance(LOOK_MS);
    assert.equal((await fixture.try(good)).isServed, true);
    assert.equal(fixture.log.entries.length, 1);
    const [{ msg, fields }] = fixture.log.entries as [CapturedEntry];
    assert.equal(msg, "changed TLS files cannot be used: the old ones stay");
    assert.match(String(fields.error), message);
  });

  Deno.test(`TlsAcceptor() refuses ${what}`, () => {
    const all = { "ca.pem": ca.cert, "crl.der": ca.revoke([]), ...files };
    assert.throws(() => new Fixture(all, {}), message);
  });
}

test("keeps the old files while one is missing", async () => {
  await using fixture = await Fixture.open();
  Deno.removeSync(fixture.path("key.pem"));
  fixture.clock.advance(LOOK_MS);
  assert.equal((await fixture.try()).isServed, true);
  const next = ca.issue("next");
  fixture.write({ "cert.pem": next.cert, "key.pem": next.key });
  fixture.clock.advance(LOOK_MS);
  assert.equal((await fixture.try()).serverName, "next");
});

test("heeds authorities and revocations that have changed", async () => {
  const theirs = other.issue("theirs");
  await using fixture = await Fixture.open({
    "ca.pem": ca.cert,
    "crl.der": ca.revoke([]),
  });
  assert.equal((await fixture.try(good)).isServed, true);
  assert.equal((await fixture.try(theirs)).isServed, false);
  fixture.change({ "crl.der": ca.revoke([good]) });
  assert.equal((await fixture.try(good)).isServed, false);
  fixture.change({ "ca.pem": other.cert, "crl.der": other.revoke([]) });
  assert.equal((await fixture.try(good)).isServed, false);
  assert.equal((await fixture.try(theirs)).isServed, true);
});

test("closes a client without TLS, and says so once", async () => {
  await using fixture = await Fixture.open();
  for (
    const text of ["GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
  ) {
    const client = await fixture.raw();
    client.socket.write(text);
    await client.closed;
    assert.equal(client.received[0], 0x15, "a TLS alert and nothing else");
  }
  await fixture.settled(0);
  assert.deepEqual(
    fixture.log.entries.map(({ msg }) => msg),
    ["client without TLS on a TLS port"],
  );
});

test("gives up a handshake that takes too long", async () => {
  await using fixture = await Fixture.open();
  const silent = await fixture.raw();
  const half = await fixture.raw();
  half.socket.write(Uint8Array.of(0x16, 3, 1));
  await fixture.settled(2);
  fixture.clock.advance(LIMITS.handshakeTimeoutMs - 1);
  assert.equal(fixture.acceptor.handshakes, 2);
  fixture.clock.advance(1);
  await Promise.all([silent.closed, half.closed]);
  await fixture.settled(0);
  assert.deepEqual(
    fixture.log.entries.map(({ msg }) => msg),
    ["TLS handshake took too long"],
  );
});

test("bounds the handshakes under way", async () => {
  await using fixture = await Fixture.open();
  const silent = [];
  for (let i = 0; i < LIMITS.maxHandshakes; i++) {
    silent.push(await fixture.raw());
  }
  await fixture.settled(LIMITS.maxHandshakes);
  assert.equal((await fixture.try()).isServed, false);
  assert.equal(fixture.log.entries[0]?.msg, "too many TLS handshakes");
  silent[0]!.socket.destroy();
  await fixture.settled(LIMITS.maxHandshakes - 1);
  assert.equal((await fixture.try()).isServed, true);
});

test("says nothing of a client that only looks whether the port is open", async () => {
  await using fixture = await Fixture.open();
  const client = await fixture.raw();
  await fixture.settled(1);
  client.socket.destroy();
  await fixture.settled(0);
  assert.equal((await fixture.try()).isServed, true);
  assert.deepEqual(fixture.log.entries, []);
});

test("warns of a key that others may read and of a revocation list out of date", async () => {
  await using fixture = await Fixture.open({
    "ca.pem": ca.cert,
    "crl.der": ca.revoke([], { nextUpdateMs: Date.UTC(2021, 0) }),
  });
  assert.equal(
    (await fixture.try(good)).isServed,
    true,
    "the list still holds",
  );
  Deno.chmodSync(fixture.path("key.pem"), 0o644);
  fixture.clock.advance(LOOK_MS);
  await fixture.try(good);
  const warnings = fixture.log.entries.filter(({ level }) => level === "warn");
  assert.deepEqual([...new Set(warnings.map(({ msg }) => msg))], [
    "certificate revocation list is out of date",
    "private key can be read by others",
  ]);
});

const OPENSSL = await hasOpenssl();

for (const version of ["tls1_2", "tls1_3"]) {
  Deno.test({
    name:
      `TlsAcceptor checks the client of a resumed session again, ${version}`,
    ignore: !OPENSSL, // our own client resumes no sessions
    fn: async () => {
      const brief = ca.issue("brief");
      await using fixture = await Fixture.open({
        "ca.pem": ca.cert,
        "crl.der": ca.revoke([]),
        "client.pem": brief.cert,
        "client-key.pem": brief.key,
      });
      const first = await openssl(fixture, version, "-sess_out");
      assert.match(first, /^New, /m);
      assert.equal(fixture.received, 5);
      const resumed = await openssl(fixture, version, "-sess_in");
      assert.match(resumed, /^Reused, /m);
      assert.equal(fixture.received, 10);
      fixture.change({ "crl.der": ca.revoke([brief]) });
      assert.match(await openssl(fixture, version, "-sess_in"), /^Reused, /m);
      fixture.change({ "ca.pem": other.cert, "crl.der": other.revoke([]) });
      assert.match(await openssl(fixture, version, "-sess_in"), /^Reused, /m);
      assert.equal(fixture.received, 10);
      assert.deepEqual(
        fixture.log.entries.flatMap(({ fields: { reason } }) => reason ?? []),
        ["it has been revoked"],
        "throttled after the first",
      );
      assert.deepEqual(fixture.names, ["brief", "brief"]);
    },
  });
}

async function hasOpenssl(): Promise<boolean> {
  try {
    const { success } = await new Deno.Command("openssl", {
      args: ["version"],
      stdout: "null",
    }).output();
    return success;
  } catch {
    return false;
  }
}

/** What `openssl s_client` says. It sends five bytes, and stays until they have come through or it is sent away. */
async function openssl(
  fixture: Fixture,
  version: string,
  session: "-sess_in" | "-sess_out",
): Promise<string> {
  const before = fixture.received;
  const child = new Deno.Command("openssl", {
    args: [
      "s_client",
      `-${version}`,
      "-connect",
      `127.0.0.1:${fixture.port}`,
      "-cert",
      fixture.path("client.pem"),
      "-key",
      fixture.path("client-key.pem"),
      session,
      fixture.path("session"),
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode("ping\n"));
  const output = new Response(child.stdout).text();
  let hasExited = false;
  child.status.then(() => hasExited = true);
  while (!hasExited && fixture.received === before) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await writer.close().catch(() => {}); // it may be gone
  return await output;
}
