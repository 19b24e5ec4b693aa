import assert from "node:assert/strict";
import { join } from "node:path";
import { defaultConfig, startServer } from "../../mod.ts";
import { main } from "../../src/cli/main.ts";
import { Authority } from "../support/certificates.ts";
import { FakeProcess } from "../support/fake_process.ts";

const AUTHORITY = Authority.create("cli test");
const SERVER = AUTHORITY.issue("server", { hosts: ["127.0.0.1"] });
/** Not for the address that it is served from. */
const ELSEWHERE = AUTHORITY.issue("server", { hosts: ["localhost"] });
const CLIENT = AUTHORITY.issue("client", { usages: ["client"] });

/** A server that wants certificates of its clients, in memory. */
async function startTlsServer(identity = SERVER) {
  const dir = await Deno.makeTempDir({ prefix: "stele-cli-tls-" });
  const file = (name: string, text: string) => {
    const path = join(dir, name);
    Deno.writeTextFileSync(path, text);
    return path;
  };
  const config = defaultConfig({
    endpoint: "memory://",
    dataDir: dir,
    listenClientUrls: ["https://127.0.0.1:0"],
    advertiseClientUrls: ["https://127.0.0.1:0"],
    logLevel: "error",
  });
  const server = await startServer({
    ...config,
    tls: {
      ...config.tls,
      certFile: file("server.pem", identity.cert),
      keyFile: file("server.key", identity.key),
      trustedCaFile: file("ca.pem", AUTHORITY.cert),
      clientCertAuth: true,
    },
  });
  return {
    url: server.clientUrls[0]!,
    async [Symbol.asyncDispose]() {
      await server.stop();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

async function status(url: string, ...args: string[]): Promise<FakeProcess> {
  const process = new FakeProcess();
  process.files.set("ca", AUTHORITY.cert).set("other", OTHER.cert)
    .set("cert", CLIENT.cert).set("key", CLIENT.key);
  await main(
    ["status", `--endpoints=${url}`, "--no-hash", "-w", "json", ...args],
    process,
    () => Promise.reject(new Error("no server was to be started")),
  );
  assert.equal(process.err, "");
  return process;
}

const OTHER = Authority.create("somebody else");
const MINE = ["--cert=cert", "--key=key"];

Deno.test("stele reaches a server over TLS, with a certificate of its own", async () => {
  await using server = await startTlsServer();
  const [row] = (await status(server.url, "--cacert=ca", ...MINE)).json();
  assert.deepEqual(row.errors, []);
  assert.equal(row.isLeader, true);
  // A certificate says that TLS is meant where no scheme does.
  const host = new URL(server.url).host;
  const [bare] = (await status(host, "--cacert=ca", ...MINE)).json();
  assert.deepEqual(bare.errors, []);
});

Deno.test("stele takes any server's certificate only if it is told to", async () => {
  await using server = await startTlsServer();
  const [refused] = (await status(server.url, "--cacert=other", ...MINE))
    .json();
  assert.match(refused.errors[0], /certificate/i);
  const skip = "--insecure-skip-tls-verify";
  const [row] = (await status(server.url, skip, ...MINE)).json();
  assert.deepEqual(row.errors, []);
});

Deno.test("stele compares the certificate with the address that it connects to", async () => {
  await using server = await startTlsServer(ELSEWHERE);
  const flags = ["--cacert=ca", ...MINE];
  const [refused] = (await status(server.url, ...flags)).json();
  assert.equal(refused.memberId, undefined);
  assert.match(refused.errors[0], /IP: 127\.0\.0\.1|certificate/i);
  const byName = server.url.replace("127.0.0.1", "localhost");
  const [row] = (await status(byName, ...flags)).json();
  assert.deepEqual(row.errors, []);
});

Deno.test("stele says so if a server does not take it without a certificate", async () => {
  await using server = await startTlsServer();
  const [row] = (await status(server.url, "--cacert=ca")).json();
  assert.equal(row.errors.length, 1);
  assert.equal(row.memberId, undefined);
});
