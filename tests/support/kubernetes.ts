import { type EtcdClient, type Message, op } from "./etcd_client.ts";

/** One key with its value, as a storage layer sees it. */
export interface StoredObject {
  readonly key: string;
  readonly value: string;
  /** The resource version. */
  readonly modRevision: number;
  readonly createRevision: number;
  readonly lease: string;
}

/** What a write on a condition came to; `current` is what was there if the condition did not hold. */
export interface Outcome {
  readonly succeeded: boolean;
  readonly revision: number;
  readonly current: StoredObject | undefined;
}

export interface Page {
  readonly items: StoredObject[];
  /** All keys in the range, those of this page included. */
  readonly count: number;
  readonly more: boolean;
  /** The store's revision, not the one that was read at. */
  readonly revision: number;
}

/**
 * Requests exactly as kube-apiserver's storage makes them (k8s.io/apiserver, pkg/storage/etcd3; etcd,
 * client/v3/kubernetes/client.go), below a prefix that only one test uses.
 */
export class KubernetesStorage {
  readonly prefix = `/registry/${crypto.randomUUID()}/`;

  constructor(readonly client: EtcdClient) {}

  /** The end of the keys below the prefix. */
  get end(): string {
    return this.prefix.slice(0, -1) + "0";
  }

  key(name: string): string {
    return this.prefix + name;
  }

  /** Create: only if there is no such key. */
  create(name: string, value: string, lease = "0"): Promise<Outcome> {
    return this.#optimistic(
      name,
      0,
      op.put(this.key(name), value, { lease }),
      false,
    );
  }

  /** The write of GuaranteedUpdate: only if nobody wrote since `expected`. */
  update(
    name: string,
    value: string,
    expected: number,
    lease = "0",
  ): Promise<Outcome> {
    const put = op.put(this.key(name), value, { lease });
    return this.#optimistic(name, expected, put, true);
  }

  /** GuaranteedUpdate: again with what was there, until nobody was faster. Resolves to the number of attempts. */
  async guaranteedUpdate(
    name: string,
    change: (value: string) => string,
  ): Promise<number> {
    let state = await this.get(name);
    for (let attempts = 1;; attempts++) {
      const outcome = await this.update(
        name,
        change(state!.value),
        state!.modRevision,
      );
      if (outcome.succeeded) return attempts;
      state = outcome.current;
    }
  }

  delete(name: string, expected: number): Promise<Outcome> {
    return this.#optimistic(name, expected, op.delete(this.key(name)), true);
  }

  async get(name: string, revision = 0): Promise<StoredObject | undefined> {
    const { kvs } = await this.client.range(this.key(name), "", {
      limit: 1,
      revision,
    });
    return stored(kvs[0]);
  }

  /** One page of a list; `after` is the last key of the page before. */
  async list(
    options: { limit?: number; revision?: number; after?: string } = {},
  ): Promise<Page> {
    const { limit = 0, revision = 0, after } = options;
    const start = after === undefined ? this.prefix : `${after}\0`;
    const answer = await this.client.range(start, this.end, {
      limit,
      revision,
    });
    return {
      items: answer.kvs.map(stored),
      count: Number(answer.count),
      more: answer.more,
      revision: Number(answer.header.revision),
    };
  }

  async count(): Promise<number> {
    const more = { count_only: true };
    return Number((await this.client.range(this.prefix, this.end, more)).count);
  }

  /** What a watch of the prefix asks for, with everything after `revision`. */
  watchRequest(revision: number, more: Message = {}): Message {
    return {
      key: Buffer.from(this.prefix),
      range_end: Buffer.from(this.end),
      start_revision: revision + 1,
      prev_kv: true,
      ...more,
    };
  }

  async #optimistic(
    name: string,
    expected: number,
    write: Message,
    readOnFailure: boolean,
  ): Promise<Outcome> {
    const key = this.key(name);
    const answer = await this.client.txn({
      compare: [{
        target: "MOD",
        result: "EQUAL",
        key: Buffer.from(key),
        mod_revision: expected,
      }],
      success: [write],
      failure: readOnFailure ? [op.range(key)] : [],
    });
    const kv = answer.succeeded
      ? undefined
      : answer.responses[0]?.response_range.kvs[0];
    return {
      succeeded: answer.succeeded,
      revision: Number(answer.header.revision),
      current: stored(kv),
    };
  }
}

/** A compactor of an apiserver: one of several, of which one compacts each time. */
export class ApiserverCompactor {
  /** Its logical time: the version of the key that it last saw. */
  #time = 0;
  #revision = 0;

  constructor(readonly client: EtcdClient, readonly key: string) {}

  /** One round. Resolves to the revision that it compacted at; undefined: another did, or it is the first time. */
  async round(): Promise<number | undefined> {
    const { key } = this;
    const compacting = this.#revision;
    const answer = await this.client.txn({
      compare: [{
        target: "VERSION",
        result: "EQUAL",
        key: Buffer.from(key),
        version: this.#time,
      }],
      success: [op.put(key, String(compacting))],
      failure: [op.range(key)],
    });
    this.#revision = Number(answer.header.revision);
    if (!answer.succeeded) {
      const [kv] = answer.responses[0].response_range.kvs;
      this.#time = Number(kv.version);
      return undefined;
    }
    this.#time++;
    if (compacting === 0) return undefined;
    await this.client.kv.call("Compact", { revision: compacting });
    return compacting;
  }
}

/** A watch event in few words: `+key=value`, `~key=old→new`, `-key=old`, the key without its prefix. */
export function describeEvent(event: Message, prefix: string): string {
  const key = event.kv.key.toString().slice(prefix.length);
  const value = event.kv.value.toString();
  const previous = event.prev_kv?.value.toString();
  if (event.type === "DELETE") return `-${key}=${previous}`;
  return event.kv.create_revision === event.kv.mod_revision
    ? `+${key}=${value}`
    : `~${key}=${previous}→${value}`;
}

function stored(kv: Message | undefined): StoredObject | undefined {
  return kv && {
    key: kv.key.toString(),
    value: kv.value.toString(),
    modRevision: Number(kv.mod_revision),
    createRevision: Number(kv.create_revision),
    lease: kv.lease,
  };
}
