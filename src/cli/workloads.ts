import { text, utf8 } from "../base/bytes.ts";
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  KVService,
  newCompare,
  newPutRequest,
  newRequestOp,
  newTxnRequest,
  newWatchCreateRequest,
  newWatchRequest,
  WatchService,
} from "../pb/etcdserverpb.ts";
import { decodeEvent } from "../pb/mvccpb.ts";
import { headerRevision, prefixEnd, range } from "./cluster_reads.ts";
import type { Duplex, EtcdClient } from "./etcd_client.ts";
import type { LoadResults, Workload } from "./load.ts";

/** What `stele bench` can do to a server. */
export const WORKLOADS = [
  "put",
  "get",
  "range",
  "txn",
  "watch",
  "mixed",
] as const;
export type WorkloadName = typeof WORKLOADS[number];

export interface WorkloadOptions {
  /** How all keys begin. */
  readonly prefix: string;
  /** Different keys. */
  readonly keys: number;
  /** Bytes of a key; longer if the prefix and a number need more. */
  readonly keySizeBytes: number;
  readonly valueSizeBytes: number;
  /** Keys that a range returns at most. */
  readonly rangeKeys: number;
  /** Watchers, with `watch`. */
  readonly watchers: number;
}

/** etcd takes this many operations in a transaction. */
const KEYS_PER_TXN = 100;
/** How `mixed` divides a hundred operations: what a cluster that is mostly read does. */
const MIXED = { getPercent: 75, rangePercent: 5 };
/** For the last events, once all is written. */
const EVENTS_TIMEOUT_MS = 10_000;

export function workloadOf(
  name: WorkloadName,
  options: WorkloadOptions,
): Workload {
  switch (name) {
    case "txn":
      return new GuardedUpdates(options);
    case "watch":
      return new WatchedPuts(options);
    default:
      return new KeyOperations(name, options);
  }
}

/** The keys of a run, and a value for them. */
class KeySpace {
  readonly value: Uint8Array;
  readonly #options: WorkloadOptions;
  readonly #digits: number;

  constructor(options: WorkloadOptions) {
    this.#options = options;
    const { prefix, keys, keySizeBytes, valueSizeBytes } = options;
    this.#digits = Math.max(
      keySizeBytes - utf8(prefix).length,
      String(keys).length,
    );
    // Random: a database that compresses must not have it too easy.
    this.value = new Uint8Array(valueSizeBytes);
    for (let at = 0; at < valueSizeBytes; at += MAX_RANDOM_BYTES) {
      crypto.getRandomValues(this.value.subarray(at, at + MAX_RANDOM_BYTES));
    }
  }

  key(index: number): Uint8Array {
    const number = String(index).padStart(this.#digits, "0");
    return utf8(this.#options.prefix + number);
  }

  /** Operation → key: all over the space, each key equally often. */
  indexOf(operation: number): number {
    return Math.imul(operation, SCATTER) >>> 0;
  }

  keyOf(operation: number): Uint8Array {
    return this.key(this.indexOf(operation) % this.#options.keys);
  }

  async fill(client: EtcdClient): Promise<void> {
    const { keys } = this.#options;
    for (let first = 0; first < keys; first += KEYS_PER_TXN) {
      const count = Math.min(KEYS_PER_TXN, keys - first);
      const success = Array.from({ length: count }, (_, i) =>
        newRequestOp({
          requestPut: newPutRequest({
            key: this.key(first + i),
            value: this.value,
          }),
        }));
      await client.unary(KVService.methods.txn, newTxnRequest({ success }));
    }
  }
}

/** Web Crypto fills no more at once. */
const MAX_RANDOM_BYTES = 65_536;
/** Knuth's multiplicative hash: odd, so that it is a permutation of 32 bits. */
const SCATTER = 2654435761;

/** `put`, `get`, `range` and `mixed`. */
class KeyOperations implements Workload {
  readonly #name: WorkloadName;
  readonly #options: WorkloadOptions;
  readonly #space: KeySpace;

  constructor(name: WorkloadName, options: WorkloadOptions) {
    this.#name = name;
    this.#options = options;
    this.#space = new KeySpace(options);
  }

  async prepare([client]: readonly EtcdClient[]): Promise<void> {
    if (this.#name !== "put") await this.#space.fill(client!);
  }

  nameOf(operation: number): string {
    if (this.#name !== "mixed") return this.#name;
    const share = operation % 100;
    if (share < MIXED.rangePercent) return "range";
    return share < MIXED.rangePercent + MIXED.getPercent ? "get" : "put";
  }

  async run(client: EtcdClient, operation: number): Promise<void> {
    const key = this.#space.keyOf(operation);
    switch (this.nameOf(operation)) {
      case "put": {
        const { value } = this.#space;
        await client.unary(
          KVService.methods.put,
          newPutRequest({ key, value }),
        );
        return;
      }
      case "range": {
        const rangeEnd = prefixEnd(utf8(this.#options.prefix));
        await range(client, { key, rangeEnd, limit: this.#options.rangeKeys });
        return;
      }
      default:
        await range(client, { key });
    }
  }

  finish(): Promise<void> {
    return Promise.resolve();
  }
}

/** `txn`: an update that fails if somebody else was quicker, as Kubernetes writes. */
class GuardedUpdates implements Workload {
  readonly #options: WorkloadOptions;
  readonly #space: KeySpace;
  /** Key → the revision that it was last known to be changed at. */
  readonly #revisions = new Map<number, number>();

  constructor(options: WorkloadOptions) {
    this.#options = options;
    this.#space = new KeySpace(options);
  }

  prepare(): Promise<void> {
    return Promise.resolve();
  }

  nameOf(): string {
    return "txn";
  }

  async run(client: EtcdClient, operation: number): Promise<void> {
    const index = this.#space.indexOf(operation) % this.#options.keys;
    const key = this.#space.key(index);
    const { value } = this.#space;
    const response = await client.unary(
      KVService.methods.txn,
      newTxnRequest({
        compare: [newCompare({
          key,
          target: Compare_CompareTarget.MOD,
          result: Compare_CompareResult.EQUAL,
          modRevision: this.#revisions.get(index) ?? 0,
        })],
        success: [
          newRequestOp({ requestPut: newPutRequest({ key, value }) }),
        ],
      }),
    );
    // Two workers at one key: the other's update is newer, and this one is a conflict as there are in life.
    if (response.succeeded) {
      this.#revisions.set(index, headerRevision(response));
    }
  }

  finish(): Promise<void> {
    return Promise.resolve();
  }
}

/** `watch`: puts, and how long until each watcher is told of them. */
class WatchedPuts implements Workload {
  readonly #options: WorkloadOptions;
  readonly #space: KeySpace;
  readonly #watches: Watch[] = [];
  /** Operation → when it began. */
  readonly #beginMs = new Map<number, number>();
  #results: LoadResults | undefined;
  #written = 0;
  #received = 0;
  #wake: (() => void) | undefined;

  constructor(options: WorkloadOptions) {
    this.#options = options;
    // A key for each operation, so that an event says which.
    this.#space = new KeySpace({ ...options, keys: Number.MAX_SAFE_INTEGER });
  }

  async prepare(
    clients: readonly EtcdClient[],
    results: LoadResults,
  ): Promise<void> {
    this.#results = results;
    const key = utf8(this.#options.prefix);
    const createRequest = newWatchCreateRequest({
      key,
      rangeEnd: prefixEnd(key),
    });
    for (let i = 0; i < this.#options.watchers; i++) {
      const client = clients[i % clients.length]!;
      const call = await client.duplex(WatchService.methods.watch);
      await call.send(newWatchRequest({ createRequest }));
      const created = Promise.withResolvers<void>();
      const ended = this.#listen(call, created.resolve);
      this.#watches.push({ call, ended });
      await Promise.race([created.promise, ended]);
    }
  }

  nameOf(): string {
    return "put";
  }

  async run(client: EtcdClient, operation: number): Promise<void> {
    this.#beginMs.set(operation, performance.now());
    const { value } = this.#space;
    const key = this.#space.key(operation);
    await client.unary(KVService.methods.put, newPutRequest({ key, value }));
    this.#written++;
  }

  async finish(): Promise<void> {
    const wanted = this.#written * this.#options.watchers;
    const deadlineMs = performance.now() + EVENTS_TIMEOUT_MS;
    while (this.#received < wanted) {
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0) {
        const missing = `${wanted - this.#received} events did not come`;
        this.#results!.addError("event", new Error(missing));
        break;
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    for (const { call } of this.#watches) call.cancel();
    await Promise.all(this.#watches.map(({ ended }) => ended));
  }

  async #listen(call: Watch["call"], onCreated: () => void): Promise<void> {
    try {
      for await (const response of call.messages) {
        const nowMs = performance.now();
        if (response.canceled) throw new Error(response.cancelReason);
        if (response.created) onCreated();
        for (const event of response.events) this.#count(event, nowMs);
        this.#wake?.();
      }
    } catch (error) {
      this.#results!.addError("event", error);
    }
  }

  #count(event: Uint8Array, nowMs: number): void {
    const { key } = decodeEvent(event).kv!;
    const operation = Number(text(key).slice(this.#options.prefix.length));
    this.#results!.add(
      "event",
      nowMs - (this.#beginMs.get(operation) ?? nowMs),
    );
    this.#received++;
  }
}

type WatchMethod = typeof WatchService.methods.watch;

interface Watch {
  readonly call: Duplex<
    ReturnType<WatchMethod["request"]["decode"]>,
    ReturnType<WatchMethod["response"]["decode"]>
  >;
  /** Never rejects. */
  readonly ended: Promise<void>;
}
