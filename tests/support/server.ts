import { startServer } from "../../mod.ts";
import { defaultConfig } from "../../mod.ts";
import type { Config } from "../../mod.ts";
import { EtcdClient } from "./etcd_client.ts";

/** A server to test: ours, started for the test in a directory of its own, or the one that STELE_TEST_ENDPOINT names. */
export interface TestServer extends AsyncDisposable {
  /** host:port */
  readonly address: string;
  readonly client: EtcdClient;
  /** Undefined for a server that this test did not start. */
  readonly dataDir: string | undefined;
}

/** Starts a server on a free port, or uses the one that the environment names. */
export async function startTestServer(
  overrides: Partial<Config> = {},
): Promise<TestServer> {
  const external = Deno.env.get("STELE_TEST_ENDPOINT");
  if (external !== undefined) {
    const client = new EtcdClient(external);
    return {
      address: external,
      client,
      dataDir: undefined,
      [Symbol.asyncDispose]: () => Promise.resolve(client.close()),
    };
  }
  const dataDir = overrides.dataDir ??
    await Deno.makeTempDir({ prefix: "stele-test-" });
  const server = await startServer(defaultConfig({
    listenClientUrls: ["http://127.0.0.1:0"],
    advertiseClientUrls: ["http://127.0.0.1:0"],
    dataDir,
    logLevel: "error",
    ...overrides,
  }));
  const address = new URL(server.clientUrls[0]!).host;
  const client = new EtcdClient(address);
  return {
    address,
    client,
    dataDir,
    async [Symbol.asyncDispose]() {
      client.close();
      await server.stop();
      if (overrides.dataDir === undefined) {
        await Deno.remove(dataDir, { recursive: true });
      }
    },
  };
}
