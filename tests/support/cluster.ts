import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import type { Config } from "../../mod.ts";
import { IS_EMBEDDED } from "./databases.ts";
import { startRoundRobin } from "./round_robin.ts";
import type { TcpForwarder } from "./tcp_forwarder.ts";

/** More would be a mistake in the environment. */
const MAX_REPLICAS = 9;

/** What `startServer` gives, as far as tests need it. */
export interface RunningServer {
  readonly clientUrls: readonly string[];
  stop(): Promise<void>;
}

/** Prints that `what` is skipped, if several servers share a test's database and any of them may answer. */
export function skippedOnReplicas(what: string): boolean {
  if (replicaCount() === 1) return false;
  console.log(`skipped: ${what} cannot be told behind a forwarder`);
  return true;
}

/** How many servers share each test's database: `STELE_TEST_REPLICAS`, default 1; directories are never shared. */
export function replicaCount(): number {
  if (IS_EMBEDDED) return 1;
  const count = Number(Deno.env.get("STELE_TEST_REPLICAS") ?? 1);
  if (Number.isInteger(count) && count >= 1 && count <= MAX_REPLICAS) {
    return count;
  }
  throw new Error(
    `Cannot start the replicas of STELE_TEST_REPLICAS: it must be from 1 to ${MAX_REPLICAS}`,
  );
}

/** Servers on one database, behind a forwarder that gives each connection to the next of them. */
export class Cluster implements RunningServer {
  private constructor(
    readonly replicas: readonly RunningServer[],
    readonly forwarder: TcpForwarder,
  ) {}

  /** Starts `count` of them, one after the other; `config` names their database. */
  static async start(
    count: number,
    config: Partial<Config>,
    start: (config: Partial<Config>) => Promise<RunningServer>,
  ): Promise<Cluster> {
    const replicas: RunningServer[] = [];
    try {
      for (let i = 1; i <= count; i++) {
        replicas.push(await start(await replicaConfig(config, i)));
      }
    } catch (error) {
      await stopAll(replicas);
      throw error;
    }
    const addresses = replicas.map(({ clientUrls }) =>
      new URL(clientUrls[0]!).host
    );
    return new Cluster(replicas, await startRoundRobin(() => addresses));
  }

  get clientUrls(): readonly string[] {
    return [`http://${this.forwarder.address}`];
  }

  async stop(): Promise<void> {
    await stopAll(this.replicas);
    await this.forwarder[Symbol.asyncDispose]();
  }
}

/** Replicas have names, directories and addresses of their own; others call them at the latter. */
export async function replicaConfig(
  config: Partial<Config>,
  number: number,
): Promise<Partial<Config>> {
  const url = `http://127.0.0.1:${await freePort()}`;
  return {
    ...config,
    name: `replica${number}`,
    listenClientUrls: [url],
    advertiseClientUrls: [url],
    ...(config.dataDir !== undefined &&
      { dataDir: `${config.dataDir}/replica${number}` }),
  };
}

/** A port that nobody listens at, for servers that must know theirs before they start. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function stopAll(servers: readonly RunningServer[]): Promise<void> {
  const stops = await Promise.allSettled(servers.map((s) => s.stop()));
  for (const stop of stops) {
    if (stop.status === "rejected") throw stop.reason;
  }
}
