import type { EtcdClient, Message } from "../../support/etcd_client.ts";

const LEASES = 4;
/** Longer than a failover, so that only a mistake ends a lease while somebody can renew it. */
const TTL_SECONDS = 5;
const PERIOD_MS = 300;

/** Keeps leases alive, each time through another server, and notices when one ends before its time. */
export class LeaseKeeper {
  readonly violations: string[] = [];
  /** Renewals that were answered. */
  renewals = 0;
  #isOver = false;

  /** `connect` gives a client of any server; calls that take too long must fail. */
  constructor(readonly connect: () => EtcdClient) {}

  /** Goes on until `stop`. */
  async run(): Promise<void> {
    await Promise.all(Array.from({ length: LEASES }, () => this.#keepOne()));
  }

  stop(): void {
    this.#isOver = true;
  }

  async #keepOne(): Promise<void> {
    let lease: KeptLease | undefined;
    while (!this.#isOver) {
      const client = this.connect();
      try {
        lease = lease === undefined
          ? await grant(client)
          : await this.#renew(client, lease);
      } catch {
        // Nobody knows: the next server is asked.
      } finally {
        client.close();
      }
      await new Promise((resolve) => setTimeout(resolve, PERIOD_MS));
    }
  }

  /** The lease with its new end; undefined if it is gone. */
  async #renew(
    client: EtcdClient,
    lease: KeptLease,
  ): Promise<KeptLease | undefined> {
    const askedMs = performance.now();
    const answer = await keepAlive(client, lease.id);
    const ttl = Number(answer.TTL);
    if (ttl > 0) {
      this.renewals++;
      return { id: lease.id, endMs: askedMs + ttl * 1000 };
    }
    const earlyMs = lease.endMs - performance.now();
    if (earlyMs > 0) {
      this.violations.push(
        `lease ${lease.id} ended ${Math.round(earlyMs)} ms before its time`,
      );
    }
    return undefined;
  }
}

interface KeptLease {
  readonly id: string;
  /** It must be there until then, by `performance.now()`. */
  readonly endMs: number;
}

async function grant(client: EtcdClient): Promise<KeptLease> {
  const askedMs = performance.now();
  const { ID } = await client.lease.call("LeaseGrant", { TTL: TTL_SECONDS });
  return { id: ID, endMs: askedMs + TTL_SECONDS * 1000 };
}

function keepAlive(client: EtcdClient, id: string): Promise<Message> {
  const stream = client.lease.stream("LeaseKeepAlive");
  return new Promise<Message>((resolve, reject) => {
    stream.on("error", reject);
    stream.on("data", (answer: Message) => {
      resolve(answer);
      stream.end();
    });
    stream.write({ ID: id });
  });
}
