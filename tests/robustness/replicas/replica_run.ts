import * as grpc from "@grpc/grpc-js";
import { EtcdClient, type Message } from "../../support/etcd_client.ts";
import { eventually } from "../../support/failure.ts";
import { Random } from "../../support/random.ts";
import {
  checkHash,
  checkLeases,
  grantedLeases,
} from "../crash/final_checks.ts";
import { Recorder } from "../crash/recorder.ts";
import { RecordingClient } from "../crash/recording_client.ts";
import { ResumingWatcher } from "../crash/resuming_watcher.ts";
import { Workload } from "../crash/workload.ts";
import { KeyHistory } from "../history/key_history.ts";
import { ENDLESS_TTL_SECONDS } from "../history/lease_checker.ts";
import { type LoggedRevision, single } from "../history/operation.ts";
import { checkHistory } from "../history/revision_checker.ts";
import { checkWatcher } from "../history/watch_checker.ts";
import { LeaseKeeper } from "./lease_keeper.ts";
import { Nemesis } from "./nemesis.ts";
import { ReplicaNode } from "./replica_node.ts";
import { SharedDatabase } from "./shared_database.ts";

export interface ReplicaOptions {
  readonly seed: number;
  /** How long there are faults. */
  readonly durationMs: number;
  /** Of a fault; default 5 s. */
  readonly maxFaultMs?: number;
  /** Default 3. */
  readonly nodes?: number;
  /** Default 6. */
  readonly clients?: number;
}

export interface ReplicaResult {
  /** Empty if everything was right. */
  readonly violations: readonly string[];
  readonly operations: number;
  readonly unknown: number;
  readonly revisions: number;
  /** Fault → how often; `+` marks those of the sequencer. */
  readonly faults: ReadonlyMap<string, number>;
}

/** Longer than a failover takes; a paused server answers nobody. */
const CALL_TIMEOUT_MS = 4000;
/** After a call without an answer, before the next server is asked. */
const RETRY_MS = 50;
/** Until a watcher without a server looks for another one. */
const REOPEN_MS = 50;
const SETTLE_TIMEOUT_MS = 30_000;
/** Violations of one kind that are told; the rest follow from them. */
const TOLD = 20;

/**
 * Runs servers on one database under load while a nemesis harms them, and checks the history of it all: that it is
 * linearizable, that every watcher saw every event once and in order, and that no lease ended too early.
 *
 * Everything random comes from the seed but the timing of processes: a seed gives the same mixture again, not the
 * same history.
 */
export async function runReplicas(
  options: ReplicaOptions,
): Promise<ReplicaResult> {
  await using database = new SharedDatabase();
  const dataDir = await Deno.makeTempDir({ prefix: "stele-replicas-" });
  try {
    await using run = await ReplicaRun.create(options, database, dataDir);
    return await run.run();
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
}

class ReplicaRun implements AsyncDisposable {
  readonly #random: Random;
  readonly #recorder = new Recorder();
  readonly #violations: string[] = [];
  readonly #workload: Workload;
  readonly #nemesis: Nemesis;
  readonly #keeper: LeaseKeeper;
  /** Sees every key from the first revision on: what it saw is the log. */
  readonly #all: ResumingWatcher;
  readonly #watchers: readonly ResumingWatcher[];
  /** The client of each watcher's connection. */
  readonly #connections = new Map<ResumingWatcher, EtcdClient>();
  #isOver = false;
  #areWatchersOver = false;
  #nextClient = 0;
  #nextNode = 0;

  private constructor(
    readonly options: ReplicaOptions,
    readonly nodes: readonly ReplicaNode[],
  ) {
    this.#random = new Random(options.seed);
    this.#nemesis = new Nemesis(nodes, this.#random, options.maxFaultMs);
    const compactedTo = () => this.#workload.compactedTo;
    const watcher = (
      name: string,
      key: string,
      end?: string,
    ): ResumingWatcher => {
      const made: ResumingWatcher = new ResumingWatcher({
        name,
        key,
        ...(end !== undefined && { end }),
        withPrevious: name === "all",
        isFragmented: name === "pairs",
        compactedTo,
        onLost: () => void setTimeout(() => this.#reopen(made), REOPEN_MS),
      });
      return made;
    };
    this.#all = watcher("all", "", "\x7f");
    this.#watchers = [
      this.#all,
      watcher("k", "k", "l"),
      watcher("pairs", "p", "q"),
      watcher("k3", "k3"),
    ];
    this.#workload = new Workload(
      this.#random,
      () => this.#all.nextRevision - 1,
    );
    this.#keeper = new LeaseKeeper(() => this.#connect());
  }

  static async create(
    options: ReplicaOptions,
    database: SharedDatabase,
    dataDir: string,
  ): Promise<ReplicaRun> {
    const nodes: ReplicaNode[] = [];
    for (let i = 1; i <= (options.nodes ?? 3); i++) {
      // Little memory in one of them, so that values and events are read back from the database.
      const flags = i === 2
        ? ["--value-cache-bytes=65536", "--event-window-bytes=65536"]
        : [];
      nodes.push(
        await ReplicaNode.create(`node${i}`, database, `${dataDir}/${i}`, [
          "--watch-progress-notify-interval=100ms",
          ...flags,
        ]),
      );
    }
    return new ReplicaRun(options, nodes);
  }

  async run(): Promise<ReplicaResult> {
    try {
      for (const node of this.nodes) await node.start();
      for (const watcher of this.#watchers) this.#reopen(watcher);
      await this.#loadAndHarm();
      await this.#checkAll();
    } catch (error) {
      this.#violations.push(
        error instanceof Error ? error.stack ?? error.message : String(error),
      );
    }
    const { operations } = this.#recorder;
    return {
      violations: this.#violations,
      operations: operations.length,
      unknown: operations.filter((o) => o.outcome.kind === "unknown").length,
      revisions: this.#all.nextRevision - 1,
      faults: this.#nemesis.counts,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closeWatchers();
    await Promise.all(this.nodes.map((n) => n[Symbol.asyncDispose]()));
  }

  async #loadAndHarm(): Promise<void> {
    const { clients = 6, durationMs } = this.options;
    const work = Array.from({ length: clients }, () => this.#load());
    const keeping = this.#keeper.run();
    const harm = this.#nemesis.run();
    await Promise.race([delay(durationMs), harm]);
    this.#nemesis.stop();
    try {
      await harm;
    } finally {
      this.#isOver = true;
      this.#keeper.stop();
      await Promise.all([...work, keeping]);
    }
    this.#violations.push(...this.#keeper.violations);
  }

  /** One client after the other, on one node after the other: each until an answer fails to come. */
  async #load(): Promise<void> {
    while (!this.#isOver) {
      const etcd = this.#connect();
      const client = new RecordingClient(
        ++this.#nextClient,
        etcd,
        this.#recorder,
      );
      await this.#workload.run(client, () => this.#isOver);
      this.#violations.push(
        ...client.surprises.map((surprise) => `unexpected: ${surprise}`),
      );
      etcd.close();
      await delay(RETRY_MS);
    }
  }

  /** To the next node that is not known to be dead or paused. */
  #connect(): EtcdClient {
    return new EtcdClient(this.#nextServing().address, {
      "grpc.enable_retries": 0,
      interceptors: [withDeadline],
    });
  }

  #nextServing(): ReplicaNode {
    const { nodes } = this;
    for (let i = 0; i < nodes.length; i++) {
      const node = nodes[this.#nextNode++ % nodes.length]!;
      if (node.isServing) return node;
    }
    return nodes[this.#nextNode % nodes.length]!;
  }

  #reopen(watcher: ResumingWatcher): void {
    watcher.close();
    this.#connections.get(watcher)?.close();
    this.#connections.delete(watcher);
    if (this.#areWatchersOver) return;
    const etcd = new EtcdClient(this.#nextServing().address, {
      "grpc.enable_retries": 0,
    });
    this.#connections.set(watcher, etcd);
    watcher.open(etcd);
  }

  #closeWatchers(): void {
    this.#areWatchersOver = true;
    for (const watcher of this.#watchers) this.#reopen(watcher);
  }

  /**
   * All is good again, and nobody writes: everything is looked at, on the servers that have been through it all and on
   * one that has just started.
   */
  async #checkAll(): Promise<void> {
    const { operations } = this.#recorder;
    await this.#withClients(this.nodes, async (clients) => {
      await this.#leasesRunOut(clients[0]!);
      await this.#checkQuiet(clients);
    });
    // Nobody is connected when servers stop: Deno's HTTP/2 client does not always survive their GOAWAY.
    this.#closeWatchers();
    for (const node of this.nodes) await node.stop();
    const first = this.nodes[0]!;
    await first.start();
    this.#areWatchersOver = false;
    for (const watcher of this.#watchers) this.#reopen(watcher);
    const log = await this.#withClients(
      [first],
      (clients) => this.#checkQuiet(clients),
    );
    this.#closeWatchers();
    this.#violations.push(
      ...checkHistory({ operations, log }).slice(0, TOLD),
      ...this.#watchers.flatMap((w) => [
        ...checkWatcher(w, log),
        ...w.surprises,
      ]),
    );
  }

  /** Calls `look` with a client of each node, once all of them answer. */
  async #withClients<T>(
    nodes: readonly ReplicaNode[],
    look: (clients: readonly EtcdClient[]) => Promise<T>,
  ): Promise<T> {
    const clients = nodes.map(({ address }) => new EtcdClient(address));
    try {
      for (const client of clients) await answers(client);
      return await look(clients);
    } finally {
      for (const client of clients) client.close();
    }
  }

  /**
   * Checks nodes against the log, which it returns. A call that nobody got an answer to may still be on its way
   * through a node that was paused or cut off: if anything was written meanwhile, it checks again.
   */
  async #checkQuiet(clients: readonly EtcdClient[]): Promise<LoggedRevision[]> {
    const deadline = Date.now() + SETTLE_TIMEOUT_MS;
    for (;;) {
      const before = await this.#settle(clients);
      const log = this.#all.log();
      const violations = await this.#checkNodes(clients, log);
      const after = await this.#read(clients);
      if (after === before) {
        this.#violations.push(...violations);
        return log;
      }
      if (Date.now() > deadline) throw new Error("writes do not end");
    }
  }

  /** The revision up to which every watcher has seen everything. */
  async #settle(clients: readonly EtcdClient[]): Promise<number> {
    const current = await this.#read(clients);
    await eventually(
      "all watchers have seen everything",
      () => this.#watchers.every((w) => w.nextRevision > current),
      SETTLE_TIMEOUT_MS,
    );
    return current;
  }

  /** Reads all keys through each node; the highest revision. */
  async #read(clients: readonly EtcdClient[]): Promise<number> {
    let current = 0;
    for (const etcd of clients) {
      const reader = new RecordingClient(
        ++this.#nextClient,
        etcd,
        this.#recorder,
      );
      const outcome = await reader.call(
        single({ kind: "range", key: "k", end: "q" }),
      );
      if (outcome.kind !== "ok") {
        throw new Error(`a node does not answer: ${JSON.stringify(outcome)}`);
      }
      current = Math.max(current, outcome.response.revision);
    }
    return current;
  }

  async #leasesRunOut(etcd: EtcdClient): Promise<void> {
    const { operations } = this.#recorder;
    const endless = grantedLeases(operations, ENDLESS_TTL_SECONDS);
    await eventually("leases run out", async () => {
      const { leases } = await etcd.lease.call("LeaseLeases");
      return leases.every(({ ID }: Message) => endless.has(ID));
    }, SETTLE_TIMEOUT_MS);
  }

  async #checkNodes(
    clients: readonly EtcdClient[],
    log: readonly LoggedRevision[],
  ): Promise<string[]> {
    const { operations } = this.#recorder;
    const keys = new KeyHistory(log);
    const violations: string[] = [];
    for (const etcd of clients) {
      const { compactedTo } = this.#workload;
      const hash = await checkHash(etcd, log, operations, compactedTo);
      violations.push(
        ...hash.violations,
        ...await checkLeases(etcd, keys, operations),
      );
    }
    return violations;
  }
}

/** Resolves when a server answers, and whoever looks after the leases does. */
async function answers(client: EtcdClient): Promise<void> {
  await eventually("a node answers", async () => {
    try {
      await client.range("k");
      await client.lease.call("LeaseTimeToLive", { ID: 1 });
      return true;
    } catch {
      return false;
    }
  }, SETTLE_TIMEOUT_MS);
}

/** A call that is not answered for so long has an outcome that nobody knows. */
const withDeadline: grpc.Interceptor = (options, nextCall) =>
  new grpc.InterceptingCall(
    nextCall({ ...options, deadline: Date.now() + CALL_TIMEOUT_MS }),
  );

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
