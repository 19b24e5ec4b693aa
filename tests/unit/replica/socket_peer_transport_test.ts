import assert from "node:assert/strict";
import { utf8 } from "../../../src/base/bytes.ts";
import { SystemClock } from "../../../src/base/clock.ts";
import { NO_LOG } from "../../../src/base/log.ts";
import type { RosterEntry } from "../../../src/backend/replica_table.ts";
import {
  type PeerTls,
  SocketPeerTransport,
} from "../../../src/replica/socket_peer_transport.ts";
import { TlsAcceptor } from "../../../src/transport/tls/tls_acceptor.ts";
import {
  Authority,
  type Identity,
  selfSigned,
} from "../../support/certificates.ts";
import {
  FakeApi,
  rosterEntry,
  SECRET,
  SequencerServer,
} from "../../support/forwarding.ts";

const ca = Authority.create("replicas");
const server = ca.issue("b");
const other = Authority.create("others");

Deno.test("SocketPeerTransport connects with TLS, and checks the certificate against the address", async () => {
  await using sequencer = await start(server);
  const { entry } = sequencer;
  assert.equal(await connect(entry, tlsOf({ ca })), "open");
  const named = await connect(withHost(entry, "localhost"), tlsOf({ ca }));
  assert.equal(named, "open");
  assert.notEqual(await connect(entry, tlsOf({ ca: other })), "open");
  assert.notEqual(await connect(entry, tlsOf({})), "open");
});

Deno.test("SocketPeerTransport refuses a certificate for another address", async () => {
  await using sequencer = await start(ca.issue("b", { hosts: ["elsewhere"] }));
  assert.match(await connect(sequencer.entry, tlsOf({ ca })), /altnames|IP/i);
});

Deno.test("SocketPeerTransport takes a certificate that a replica made for itself only if it does not verify", async () => {
  await using sequencer = await start(selfSigned("b"));
  const lax = tlsOf({ verifies: false });
  assert.equal(await connect(sequencer.entry, lax), "open");
  assert.notEqual(await connect(sequencer.entry, tlsOf({})), "open");
});

Deno.test("SocketPeerTransport shows its own certificate to a replica that asks for one", async () => {
  await using sequencer = await start(server, ca);
  const { entry } = sequencer;
  const own = ca.issue("a");
  assert.equal(await connect(entry, tlsOf({ ca, own })), "open");
  assert.notEqual(await connect(entry, tlsOf({ ca })), "open");
});

Deno.test("SocketPeerTransport tells of what is no gRPC server, of nobody, and of no address", async () => {
  const web = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    () => new Response("no"),
  );
  const url = `http://127.0.0.1:${web.addr.port}`;
  const said = await connect(rosterEntry(2n, 2n, url), tlsOf({}));
  await web.shutdown();
  assert.match(said, /no gRPC server: HTTP|ended without a status/);
  const nobody = rosterEntry(2n, 2n, "http://127.0.0.1:1");
  assert.match(await connect(nobody, tlsOf({})), /refused/i);
  const nowhere = { ...nobody, clientUrls: [] };
  assert.match(await connect(nowhere, tlsOf({})), /advertises no address/);
});

Deno.test("SocketPeerTransport tries each of several addresses in turn", async () => {
  await using sequencer = new SequencerServer(new FakeApi(2n));
  await sequencer.listen();
  const entry = sequencer.entry();
  const clientUrls = ["http://127.0.0.1:1", ...entry.clientUrls];
  const transport = new SocketPeerTransport({
    secret: SECRET,
    tls: () => tlsOf({}),
  });
  const said = [];
  for (let i = 0; i < 4; i++) {
    said.push(await connectWith(transport, { ...entry, clientUrls }));
  }
  assert.deepEqual(said.map((word) => word === "open"), [
    false,
    true,
    false,
    true,
  ]);
});

/** A sequencer that shows `identity`, and asks clients for a certificate of `clients` if that is given. */
async function start(identity: Identity, clients?: Authority) {
  const dir = Deno.makeTempDirSync({ prefix: "stele-test-" });
  const write = (name: string, content: string) => {
    Deno.writeTextFileSync(`${dir}/${name}`, content);
    return `${dir}/${name}`;
  };
  const acceptor = new TlsAcceptor(
    {
      certFile: write("cert.pem", identity.cert),
      keyFile: write("key.pem", identity.key),
      trustedCaFile: clients === undefined ? "" : write("ca.pem", clients.cert),
      clientCertAuth: clients !== undefined,
      clientCrlFile: "",
      clientCertAllowedHostnames: [],
      minVersion: "TLSv1.2",
      maxVersion: "TLSv1.3",
      cipherSuites: [],
    },
    new SystemClock(),
    NO_LOG,
  );
  const sequencer = new SequencerServer(new FakeApi(2n), {}, acceptor);
  await sequencer.listen();
  return {
    entry: sequencer.entry(),
    [Symbol.asyncDispose]: async () => {
      await sequencer.kill();
      Deno.removeSync(dir, { recursive: true });
    },
  };
}

function tlsOf(
  { ca, own, verifies = true }: {
    ca?: Authority;
    own?: Identity;
    verifies?: boolean;
  },
): PeerTls {
  const bytes = (pem: string | undefined) =>
    pem === undefined ? undefined : utf8(pem);
  return {
    authorities: bytes(ca?.cert),
    certificate: bytes(own?.cert),
    key: bytes(own?.key),
    verifies,
  };
}

function withHost(entry: RosterEntry, host: string): RosterEntry {
  const clientUrls = entry.clientUrls.map((url) => {
    const { protocol, port } = new URL(url);
    return `${protocol}//${host}:${port}`;
  });
  return { ...entry, clientUrls };
}

async function connect(entry: RosterEntry, tls: PeerTls): Promise<string> {
  const transport = new SocketPeerTransport({ secret: SECRET, tls: () => tls });
  return await connectWith(transport, entry);
}

/** `open`, or why not. */
async function connectWith(
  transport: SocketPeerTransport,
  entry: RosterEntry,
): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const stream = transport.connect(entry, {
    onAnswers: () => resolve("open"),
    onClose: (error) => resolve(String(error)),
  });
  const said = await promise;
  stream.close();
  return said;
}
