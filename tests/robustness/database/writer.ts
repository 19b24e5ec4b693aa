import assert from "node:assert/strict";
import { EtcdClient, type Message, op } from "../../support/etcd_client.ts";
import type { Random } from "../../support/random.ts";

/** How many counters all writers share. */
const COUNTERS = 3;
/** A call that takes longer is a failure of the server, whatever becomes of its database. */
const CALL_TIMEOUT_MS = 20_000;

/** A put that was answered, or not. */
export interface WrittenKey {
  readonly key: string;
  /** Undefined: the call failed, and nobody knows. */
  readonly revision: number | undefined;
}

/**
 * A client that writes what can be counted afterwards: keys that nobody else writes, each once, and increments of
 * shared counters by compare-and-set. It never tries a write again.
 */
export class Writer {
  readonly keys: WrittenKey[] = [];
  /** Increments of each counter that were acknowledged, and those that failed. */
  readonly counted = Array.from(
    { length: COUNTERS },
    () => ({ acknowledged: 0, unknown: 0 }),
  );
  /** Failed calls, by text. */
  readonly failures = new Map<string, number>();
  readonly #name: string;
  readonly #client: EtcdClient;
  readonly #random: Random;

  constructor(name: string, address: string, random: Random) {
    this.#name = name;
    this.#client = new EtcdClient(address);
    this.#random = random;
  }

  async run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        if (this.#random.oneIn(2)) await this.#putKey();
        else await this.#increment(this.#random.int(COUNTERS));
      }
    } finally {
      this.#client.close();
    }
  }

  async #putKey(): Promise<void> {
    const key = `key/${this.#name}/${this.keys.length}`;
    const answer = await this.#call("Put", op.put(key, "x").request_put);
    const revision = answer === undefined
      ? undefined
      : Number(answer.header.revision);
    this.keys.push({ key, revision });
  }

  async #increment(counter: number): Promise<void> {
    const key = `counter/${counter}`;
    const found = await this.#call("Range", op.range(key).request_range);
    if (found === undefined) return;
    const [kv] = found.kvs;
    const value = Number(kv?.value ?? 0);
    const answer = await this.#call("Txn", {
      compare: [{
        key: Buffer.from(key),
        target: "MOD",
        result: "EQUAL",
        mod_revision: kv?.mod_revision ?? "0",
      }],
      success: [op.put(key, String(value + 1))],
    });
    const counted = this.counted[counter]!;
    if (answer === undefined) counted.unknown++;
    else if (answer.succeeded) counted.acknowledged++;
  }

  /** Undefined: it failed, as etcd's calls may. */
  async #call(method: string, request: Message): Promise<Message | undefined> {
    const deadline = Date.now() + CALL_TIMEOUT_MS;
    try {
      return await this.#client.kv.call(method, request, { deadline });
    } catch (error) {
      this.#failed(error as { code: number; details: string });
      return undefined;
    }
  }

  #failed({ code, details }: { code: number; details: string }): void {
    assert(
      code === UNAVAILABLE && ETCD_TEXTS.has(details),
      `a client was told ${code} ${JSON.stringify(details)}`,
    );
    this.failures.set(details, (this.failures.get(details) ?? 0) + 1);
  }
}

const UNAVAILABLE = 14;
/** What etcd says when it cannot commit (api/v3rpc/rpctypes/error.go); clients try again after these. */
const ETCD_TEXTS: ReadonlySet<string> = new Set([
  "etcdserver: request timed out",
  "etcdserver: request timed out, possibly due to connection lost",
  "etcdserver: leader changed",
  "etcdserver: no leader",
  "etcdserver: unhealthy cluster",
]);
