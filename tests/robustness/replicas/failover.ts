import { EtcdClient } from "../../support/etcd_client.ts";
import { eventually } from "../../support/failure.ts";
import { ReplicaNode } from "./replica_node.ts";
import { SharedDatabase } from "./shared_database.ts";

const NODES = 3;
const ATTEMPT_MS = 500;
const GIVE_UP_MS = 60_000;

/**
 * How long writes through each of the others fail after the sequencer was killed (SIGKILL), in milliseconds: the
 * longest of them.
 */
export async function measureFailover(): Promise<number> {
  await using database = new SharedDatabase();
  const dataDir = await Deno.makeTempDir({ prefix: "stele-failover-" });
  const nodes: ReplicaNode[] = [];
  try {
    for (let i = 1; i <= NODES; i++) {
      const dir = `${dataDir}/${i}`;
      nodes.push(await ReplicaNode.create(`node${i}`, database, dir));
      await nodes.at(-1)!.start();
    }
    const sequencer = await findSequencer(nodes);
    const others = nodes.filter((node) => node !== sequencer);
    for (const { address } of others) await writeUntilDone(address);
    await sequencer.kill();
    const killedMs = performance.now();
    const done = await Promise.all(
      others.map(({ address }) => writeUntilDone(address)),
    );
    return Math.max(...done) - killedMs;
  } finally {
    await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()));
    await Deno.remove(dataDir, { recursive: true });
  }
}

async function findSequencer(
  nodes: readonly ReplicaNode[],
): Promise<ReplicaNode> {
  let found: ReplicaNode | undefined;
  await eventually("there is a sequencer", async () => {
    for (const node of nodes) if (await node.isSequencer()) found = node;
    return found !== undefined;
  }, GIVE_UP_MS);
  return found!;
}

/** The time, by `performance.now()`, at which a write was acknowledged. */
async function writeUntilDone(address: string): Promise<number> {
  using client = new EtcdClient(address);
  const endMs = performance.now() + GIVE_UP_MS;
  for (;;) {
    try {
      await client.kv.call("Put", { key: Buffer.from("k") }, {
        deadline: Date.now() + ATTEMPT_MS,
      });
      return performance.now();
    } catch (error) {
      if (performance.now() > endMs) throw error;
    }
  }
}
