import assert from "node:assert/strict";
import { join } from "node:path";
import { type Certificates, makeCertificates } from "./certificates.ts";
import { advertisedPort } from "./advertised_port.ts";
import { findTool, type Outcome, run, skip } from "./tool.ts";

const MAIN = new URL("../../mod.ts", import.meta.url).pathname;

/**
 * A server's executable with TLS, ours or the etcd that STELE_TEST_SERVER names: both are told the same flags.
 */
class TlsServer implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  #log = "";

  private constructor(readonly address: string, flags: string[]) {
    const named = Deno.env.get("STELE_TEST_SERVER");
    const url = `https://${address}`;
    this.#child = new Deno.Command(named ?? Deno.execPath(), {
      args: [
        ...(named ? [] : ["run", "-A", "--no-prompt", MAIN, "serve"]),
        ...["--listen-client-urls", url, "--advertise-client-urls", url],
        ...flags,
      ],
      stdout: "null",
      stderr: "piped",
    }).spawn();
  }

  /** Undefined when the server cannot do TLS yet. */
  static async start(flags: string[]): Promise<TlsServer | undefined> {
    const { host } = new URL(advertisedPort().listenClientUrls![0]!);
    const server = new TlsServer(host, flags);
    if (await server.#isReady()) return server;
    await server[Symbol.asyncDispose]();
    if (server.#log.includes("this version has no TLS")) {
      return undefined;
    }
    throw new Error(`no TLS server: ${server.#log}`);
  }

  async #isReady(): Promise<boolean> {
    const reader = this.#child.stderr.pipeThrough(new TextDecoderStream())
      .getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return false;
      this.#log += value;
      if (this.#log.includes("ready to serve client requests")) {
        void drain(reader);
        return true;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGTERM");
    } catch {
      // It has ended by itself.
    }
    await this.#child.status;
  }
}

async function drain(
  reader: ReadableStreamDefaultReader<string>,
): Promise<void> {
  while (!(await reader.read()).done);
}

interface Fixture {
  readonly certificates: Certificates;
  /** `etcdctl` with these flags. */
  etcdctl(...args: string[]): Promise<Outcome>;
}

function tlsTest(
  name: string,
  flags: (certificates: Certificates) => string[],
  test: (fixture: Fixture) => Promise<void>,
) {
  Deno.test(`etcdctl over TLS: ${name}`, async () => {
    const openssl = await findTool("openssl");
    const etcdctl = await findTool("etcdctl", "STELE_ETCDCTL");
    if (openssl === undefined || etcdctl === undefined) {
      return skip("no openssl or no etcdctl on PATH");
    }
    const dir = await Deno.makeTempDir({ prefix: "stele-tls-" });
    try {
      const certificates = await makeCertificates(openssl, dir);
      const { server: own } = certificates;
      await using server = await TlsServer.start([
        ...[
          "--data-dir",
          join(dir, "data"),
          "--cert-file",
          own.cert,
          "--key-file",
          own.key,
        ],
        ...flags(certificates),
      ]);
      if (server === undefined) return skip("the server has no TLS yet");
      await test({
        certificates,
        etcdctl: (...args) =>
          run(etcdctl, [
            ...args,
            "--dial-timeout",
            "1s",
            "--command-timeout",
            "2s",
          ], {
            env: { ETCDCTL_ENDPOINTS: `https://${server.address}` },
          }),
      });
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  });
}

tlsTest(
  "the server's certificate",
  () => [],
  async ({ certificates, etcdctl }) => {
    const trusting = ["--cacert", certificates.ca];
    assert.equal((await etcdctl("put", "k", "v", ...trusting)).stdout, "OK\n");
    assert.equal((await etcdctl("get", "k", ...trusting)).stdout, "k\nv\n");
    assert.equal(
      (await etcdctl(
        "get",
        "k",
        "--insecure-skip-tls-verify",
        "--insecure-transport=false",
      )).stdout,
      "k\nv\n",
    );
    const distrusting = await etcdctl(
      "get",
      "k",
      "--cacert",
      certificates.stranger.cert,
    );
    assert.notEqual(distrusting.code, 0);
  },
);

tlsTest(
  "client certificates",
  ({ ca }) => ["--client-cert-auth", "--trusted-ca-file", ca],
  async ({ certificates, etcdctl }) => {
    const as = (
      { cert, key }: { cert: string; key: string },
    ) => ["--cacert", certificates.ca, "--cert", cert, "--key", key];
    const alice = as(certificates.client);
    assert.equal((await etcdctl("put", "k", "v", ...alice)).stdout, "OK\n");
    assert.notEqual(
      (await etcdctl("get", "k", "--cacert", certificates.ca)).code,
      0,
    );
    assert.notEqual(
      (await etcdctl("get", "k", ...as(certificates.stranger))).code,
      0,
    );
    // The certificate's common name is the user, once there are users.
    const steps = [
      "user add root:secret",
      "user grant-role root root",
      "role add staff",
      "role grant-permission staff readwrite k",
      "user add alice --no-password",
      "user grant-role alice staff",
      "auth enable",
    ];
    for (const step of steps) {
      const { code, stderr } = await etcdctl(...step.split(" "), ...alice);
      assert.equal(code, 0, stderr);
    }
    assert.equal((await etcdctl("get", "k", ...alice)).stdout, "k\nv\n");
    assert.match(
      (await etcdctl("get", "other", ...alice)).stderr,
      /etcdserver: permission denied/,
    );
    // A name and password count for more than the certificate.
    assert.equal(
      (await etcdctl("get", "other", "--user", "root:secret", ...alice)).code,
      0,
    );
  },
);
