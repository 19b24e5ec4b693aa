import assert from "node:assert/strict";
import { join } from "node:path";
import { startTestServer, type TestServer } from "../support/server.ts";
import { advertisedPort } from "./advertised_port.ts";
import { findTool, type Outcome, run, skip } from "./tool.ts";

const MODULE = new URL("./go/", import.meta.url).pathname;

/** The module's tests, built once into `dir`. */
async function build(dir: string): Promise<string | undefined> {
  const go = await findTool("go");
  if (go === undefined) {
    skip("no go on PATH");
    return undefined;
  }
  const program = join(dir, "clients.test");
  const built = await run(go, ["test", "-c", "-o", program, "."], {
    cwd: MODULE,
    timeoutMs: 600_000,
  });
  assert.equal(built.code, 0, built.stderr);
  return program;
}

Deno.test("etcd's Go client packages", async (t) => {
  const dir = await Deno.makeTempDir({ prefix: "stele-go-" });
  try {
    const program = await build(dir);
    if (program === undefined) return;
    await t.step("all that share a server", async () => {
      await using server = await startTestServer(advertisedPort());
      expectPassed(await runTests(program, server.address));
    });
    await t.step("authentication, with tokens that expire", async () => {
      await using server = await startTestServer({
        ...advertisedPort(),
        authTokenTtlSeconds: 2,
      });
      const only = "^TestAuth$";
      // Nobody has said how long the tokens of a server live that the environment names: no test waits for that.
      const auth = { STELE_CLIENT_AUTH: server.dataDir ? "2s" : "0s" };
      expectPassed(await runTests(program, server.address, auth, only));
    });
    await t.step("a restart of the server", async () => {
      if (Deno.env.has("STELE_TEST_ENDPOINT")) {
        return skip("the server is not ours to restart");
      }
      await using server = await RestartableServer.start();
      const restart = { STELE_CLIENT_RESTART: server.restartUrl };
      const only = "^TestRestart$";
      expectPassed(await runTests(program, server.address, restart, only));
    });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

function runTests(
  program: string,
  endpoint: string,
  env: Record<string, string> = {},
  only = ".",
): Promise<Outcome> {
  return run(program, ["-test.v", "-test.run", only], {
    env: { STELE_CLIENT_ENDPOINT: endpoint, ...env },
    timeoutMs: 180_000,
  });
}

/** Shows what was skipped; on a failure, what the failed tests said. */
function expectPassed({ code, stdout, stderr }: Outcome): void {
  for (const [, name] of stdout.matchAll(/^\s*--- SKIP: (\S+)/gm)) {
    skip(name!);
  }
  assert.match(stdout, /^--- (PASS|SKIP): Test/m, stderr);
  const passed = /^\s*(---|===) (PASS|RUN|NAME|SKIP).*\n/gm;
  assert.equal(code, 0, stdout.replace(passed, "") + stderr);
}

/** A server that stops and starts again, with the same address and data, when its URL is posted to. */
class RestartableServer implements AsyncDisposable {
  readonly #http: Deno.HttpServer<Deno.NetAddr>;

  private constructor(
    readonly dataDir: string,
    readonly config: ReturnType<typeof advertisedPort>,
    public server: TestServer,
  ) {
    this.#http = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      async () => {
        await this.server[Symbol.asyncDispose]();
        this.server = await startTestServer({ ...config, dataDir });
        return new Response();
      },
    );
  }

  static async start(): Promise<RestartableServer> {
    const dataDir = await Deno.makeTempDir({ prefix: "stele-restart-" });
    const config = advertisedPort();
    const server = await startTestServer({ ...config, dataDir });
    return new RestartableServer(dataDir, config, server);
  }

  get address(): string {
    return this.server.address;
  }

  get restartUrl(): string {
    return `http://127.0.0.1:${this.#http.addr.port}/`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#http.shutdown();
    await this.server[Symbol.asyncDispose]();
    await Deno.remove(this.dataDir, { recursive: true });
  }
}
