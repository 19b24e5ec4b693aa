import { type Config, defaultConfig, startServer } from "../../mod.ts";
import { Cluster, replicaCount, type RunningServer } from "./cluster.ts";
import { endpointFor } from "./databases.ts";
import { EtcdClient } from "./etcd_client.ts";
import { ServerProcess } from "./server_process.ts";

/**
 * A server to test: ours, started for the test in a directory of its own, or the one that STELE_TEST_ENDPOINT names.
 *
 * With STELE_TEST_DATABASE it is on that database server, in tables of its own; with STELE_TEST_REPLICAS it is that
 * many servers on them, and connections are spread over all.
 */
export interface TestServer extends AsyncDisposable {
  /** host:port */
  readonly address: string;
  readonly client: EtcdClient;
  /** Undefined for a server that this test did not start. */
  readonly dataDir: string | undefined;
}

/** In this process, or, if STELE_BIN names an executable, in one of its own. */
function startOne(config: Partial<Config>): Promise<RunningServer> {
  const executable = Deno.env.get("STELE_BIN");
  return executable === undefined
    ? startServer(defaultConfig(config))
    : ServerProcess.start(executable, config);
}

/** On what stands for the directory in this run: itself, or a database, with one or several servers. */
function start(
  config: Partial<Config> & { readonly dataDir: string },
): Promise<RunningServer> {
  const endpoint = config.endpoint ?? endpointFor(config.dataDir);
  if (endpoint === undefined) return startOne({ ...ANY_PORT, ...config });
  const replicas = replicaCount();
  // A test that has its own endpoint or addresses is about one server.
  const isFree = config.endpoint === undefined &&
    config.listenClientUrls === undefined;
  return replicas > 1 && isFree
    ? Cluster.start(replicas, { ...config, endpoint }, startOne)
    : startOne({ ...ANY_PORT, ...config, endpoint });
}

const ANY_PORT = {
  listenClientUrls: ["http://127.0.0.1:0"],
  advertiseClientUrls: ["http://127.0.0.1:0"],
};

/** So that each service's calls go to a server of their own; the channels to an address share a connection else. */
const CLIENT_OPTIONS = { "grpc.use_local_subchannel_pool": 1 };

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
  const server = await start({ logLevel: "error", ...overrides, dataDir });
  const address = new URL(server.clientUrls[0]!).host;
  const client = new EtcdClient(
    address,
    replicaCount() > 1 ? CLIENT_OPTIONS : {},
  );
  return {
    address,
    client,
    dataDir,
    async [Symbol.asyncDispose]() {
      client.close();
      await server.stop().catch((error) => {
        // A test that failed before hides it.
        console.error(error);
        throw error;
      });
      if (overrides.dataDir === undefined) {
        await Deno.remove(dataDir, { recursive: true });
      }
    },
  };
}
