import { utf8 } from "../../../src/base/bytes.ts";
import { Random } from "../../support/random.ts";
import {
  compact,
  currentRevision,
  listStream,
  put,
  putAll,
} from "./etcd_calls.ts";
import {
  type GrpcConnection,
  GrpcFailure,
  numberedKey,
} from "./grpc_connection.ts";
import { KeyLedger } from "./key_ledger.ts";
import { LeaseFleet } from "./lease_fleet.ts";
import { Lister } from "./lister.ts";
import { LoadServer } from "./load_server.ts";
import { Probe, type ProbeReport } from "./probe.ts";
import { WatchFleet } from "./watch_fleet.ts";

/** How much of what. */
export interface LoadPlan {
  readonly seed: number;
  readonly connections: number;
  readonly watchers: number;
  readonly watchStreams: number;
  readonly leases: number;
  readonly keys: number;
  readonly valueBytes: number;
  /** How long everybody does everything at once. */
  readonly seconds: number;
  /** Puts under way at any time. */
  readonly writers: number;
  /** Puts that are sent at once, to be refused in part. */
  readonly burst: number;
  readonly serverFlags: readonly string[];
}

/** What the issue of the load test asks for. */
export const FULL_LOAD: LoadPlan = {
  seed: 1,
  connections: 2000,
  watchers: 10_000,
  watchStreams: 100,
  leases: 100_000,
  keys: 1_000_000,
  valueBytes: 512,
  seconds: 180,
  writers: 256,
  burst: 30_000,
  serverFlags: [],
};

/** The same within seconds. */
export const SHORT_LOAD: LoadPlan = {
  ...FULL_LOAD,
  connections: 200,
  watchers: 1000,
  watchStreams: 10,
  leases: 5000,
  keys: 20_000,
  seconds: 4,
  writers: 64,
  burst: 15_000,
};

/** One line of the table. */
export interface StageRow {
  readonly stage: string;
  readonly seconds: number;
  /** What was done, in words. */
  readonly done: string;
  readonly peakMib: number;
  readonly endMib: number;
}

/** What became of the burst. */
export interface BurstReport {
  readonly accepted: number;
  readonly refused: number;
  /** Other failures, by message. */
  readonly otherwise: readonly string[];
  /** When the last refusal was received, ms after the first request was sent. */
  readonly lastRefusalMs: number;
  /** When the last accepted put was answered. */
  readonly lastAcceptedMs: number;
  /** How long a put took right after that. */
  readonly recoveredMs: number;
}

export interface LoadReport {
  readonly rows: readonly StageRow[];
  /** What was lost, doubled, refused or out of order; empty: nothing. */
  readonly violations: readonly string[];
  readonly probe: ProbeReport;
  readonly burst: BurstReport;
  /** Puts of the writers, and the longest that one of them took. */
  readonly puts: number;
  readonly longestPutMs: number;
  readonly peakMib: number;
  readonly restartMs: number;
}

/** Keys of one transaction when the store is filled. */
const KEYS_PER_TXN = 100;
const TXNS_AT_ONCE = 16;
/** etcd's max-request-bytes is 1.5 MiB; the key and the fields around it need some of that. */
const LARGEST_VALUE_BYTES = 1.5 * 1024 * 1024 - 100;
const LARGE_PAUSE_MS = 1000;
const COMPACTION_PAUSE_MS = 10_000;
/** History that compactions leave. */
const KEPT_REVISIONS = 50_000;
/** Leases live so long that a server that does not renew them for a third of it loses them. */
const LEASE_TTL_SECONDS = 60;
const LEASE_STREAMS = 20;
/** A watcher that got nothing for so long gets nothing any more. */
const PATIENCE_MS = 10_000;
const RESOURCE_EXHAUSTED = 8;

/** Runs the plan against a server of its own. `say` gets a line for each stage as it ends. */
export async function runLoad(
  plan: LoadPlan,
  say: (row: StageRow) => void = () => {},
): Promise<LoadReport> {
  const dataDir = await Deno.makeTempDir({ prefix: "stele-load-" });
  try {
    return await new LoadRun(plan, dataDir, say).run();
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
}

class LoadRun {
  readonly #random: Random;
  readonly #rows: StageRow[] = [];
  readonly #ledger: KeyLedger;
  readonly #watches: WatchFleet;
  readonly #leases = new LeaseFleet(LEASE_TTL_SECONDS);
  readonly #violations: string[] = [];
  readonly #connections: GrpcConnection[] = [];
  #isOver = false;
  #puts = 0;
  #longestPutMs = 0;
  #server!: LoadServer;

  constructor(
    readonly plan: LoadPlan,
    readonly dataDir: string,
    readonly say: (row: StageRow) => void,
  ) {
    this.#random = new Random(plan.seed);
    this.#ledger = new KeyLedger(plan.keys, plan.watchers);
    this.#watches = new WatchFleet(this.#ledger);
  }

  async run(): Promise<LoadReport> {
    const { plan } = this;
    this.#server = await this.#stage("start", async () => {
      const server = await LoadServer.start(this.dataDir, plan.serverFlags);
      return [server, `${Math.round(server.readyMs)} ms`];
    });
    await this.#stage("connections", () => this.#connect());
    await this.#stage("leases", () => this.#grantLeases());
    await this.#stage("keys", () => this.#fill());
    await this.#stage("watchers", () => this.#watch());
    const probe = await this.#stage("all at once", () => this.#allAtOnce());
    const burst = await this.#stage("burst", () => this.#burst());
    await this.#stage("events settled", async () => {
      await this.#watches.settle(PATIENCE_MS);
      this.#violations.push(...this.#watches.check());
      return [undefined, `${this.#watches.events} events`];
    });
    await this.#stage("checked", () => this.#check());
    this.#watches.close();
    this.#leases.close();
    for (const connection of this.#connections.splice(0)) connection.close();
    await this.#server.stop();
    const restartMs = await this.#stage("restart, checked", async () => {
      this.#server = await LoadServer.start(this.dataDir, plan.serverFlags);
      this.#connections.push(await this.#server.connect());
      await this.#check();
      const { readyMs } = this.#server;
      return [readyMs, `ready after ${Math.round(readyMs)} ms`];
    });
    for (const connection of this.#connections) connection.close();
    await this.#server.stop();
    for (const failure of probe.failures) {
      this.#violations.push(`probe: ${failure}`);
    }
    return {
      rows: this.#rows,
      violations: this.#violations,
      probe,
      burst,
      puts: this.#puts,
      longestPutMs: this.#longestPutMs,
      peakMib: Math.max(...this.#rows.map((row) => row.peakMib)),
      restartMs,
    };
  }

  async #stage<T>(
    stage: string,
    work: () => Promise<[T, string]>,
  ): Promise<T> {
    const began = performance.now();
    const [result, done] = await work();
    const row = {
      stage,
      seconds: (performance.now() - began) / 1000,
      done,
      peakMib: (this.#server ?? result).takePeakMib(),
      endMib: (this.#server ?? result).residentMib,
    };
    this.#rows.push(row);
    this.say(row);
    return result;
  }

  async #connect(): Promise<[void, string]> {
    for (let n = 0; n < this.plan.connections; n++) {
      this.#connections.push(await this.#server.connect());
    }
    // Each has to be served, not only accepted by the kernel.
    await Promise.all(this.#connections.map((c) => currentRevision(c)));
    return [undefined, `${this.#connections.length} connections`];
  }

  async #grantLeases(): Promise<[void, string]> {
    await this.#leases.grant(this.#connections, this.plan.leases);
    this.#leases.keepAlive(this.#connections.slice(0, LEASE_STREAMS));
    return [undefined, `${this.#leases.ids.length} leases`];
  }

  /** Every key, with a lease of its own as far as there are leases. */
  async #fill(): Promise<[void, string]> {
    const { keys } = this.plan;
    let next = 0;
    const run = async (connection: GrpcConnection) => {
      while (next < keys) {
        const first = next;
        const count = Math.min(KEYS_PER_TXN, keys - first);
        next += count;
        const revision = await putAll(
          connection,
          Array.from({ length: count }, (_, i) => ({
            key: keyOf(first + i),
            value: this.#value(first + i),
            lease: this.#leases.ids[first + i] ?? 0n,
          })),
        );
        for (let i = 0; i < count; i++) {
          this.#ledger.loaded(first + i, revision);
        }
      }
    };
    await Promise.all(this.#connections.slice(0, TXNS_AT_ONCE).map(run));
    return [undefined, `${keys} keys of ${this.plan.valueBytes} B`];
  }

  async #watch(): Promise<[void, string]> {
    const { watchers, watchStreams } = this.plan;
    const perStream = Math.ceil(watchers / watchStreams);
    for (let n = 0; n < watchStreams; n++) {
      const slices: number[] = [];
      for (let slice = n; slice < watchers; slice += watchStreams) {
        slices.push(slice);
      }
      const connection = this.#connections[n % this.#connections.length]!;
      await this.#watches.open(connection, slices, keyOf);
    }
    return [
      undefined,
      `${watchers} watchers, ${perStream} on each of ${watchStreams} streams`,
    ];
  }

  /** Writers, lists, large values, renewals and compactions together; the probe tells what others feel. */
  async #allAtOnce(): Promise<[ProbeReport, string]> {
    const probe = await Probe.start(this.#server.port);
    const lister = await Lister.start(this.#server.port);
    const cpu = this.#server.cpuMs;
    const over = sleep(this.plan.seconds * 1000)
      .then(() => this.#isOver = true);
    await Promise.all([
      over,
      ...Array.from({ length: this.plan.writers }, () => this.#write()),
      this.#putLarge(),
      this.#compactNowAndThen(),
    ]);
    const report = await probe.stop();
    const { lists, bytes, failures } = await lister.stop();
    this.#violations.push(...failures);
    const listed = `${lists} lists of everything (${
      (bytes / 1e6 / this.plan.seconds).toFixed(0)
    } MB/s)`;
    const rate = Math.round(this.#puts / this.plan.seconds);
    const cores = (this.#server.cpuMs - cpu) / this.plan.seconds / 1000;
    return [
      report,
      `${this.#puts} puts (${rate}/s), ${listed}, ` +
      `${this.#leases.renewed} renewals, ${cores.toFixed(2)} cores`,
    ];
  }

  async #write(): Promise<void> {
    while (!this.#isOver) {
      const key = this.#random.int(this.plan.keys);
      const sent = performance.now();
      await this.#put(key);
      this.#puts++;
      this.#longestPutMs = Math.max(
        this.#longestPutMs,
        performance.now() - sent,
      );
    }
  }

  async #put(key: number): Promise<void> {
    const at = this.#random.int(this.#connections.length);
    const revision = await put(
      this.#connections[at]!,
      keyOf(key),
      this.#value(key),
    );
    this.#ledger.acknowledged(key, revision);
  }

  async #putLarge(): Promise<void> {
    const connection = await this.#server.connect();
    const value = new Uint8Array(LARGEST_VALUE_BYTES).fill(0x4c);
    for (let n = 0; !this.#isOver; n++) {
      await put(connection, utf8(`/large/${n % 8}`), value);
      await this.#pause(LARGE_PAUSE_MS);
    }
    connection.close();
  }

  async #compactNowAndThen(): Promise<void> {
    const connection = await this.#server.connect();
    let last = 0;
    while (!this.#isOver) {
      await this.#pause(COMPACTION_PAUSE_MS);
      const revision = await currentRevision(connection) - KEPT_REVISIONS;
      if (revision <= last) continue;
      await compact(connection, last = revision);
    }
    connection.close();
  }

  /** More puts at once than the server lets wait. */
  async #burst(): Promise<[BurstReport, string]> {
    const began = performance.now();
    const otherwise = new Set<string>();
    let [accepted, refused, lastRefusalMs, lastAcceptedMs] = [0, 0, 0, 0];
    const one = async () => {
      try {
        await this.#put(this.#random.int(this.plan.keys));
        accepted++;
        lastAcceptedMs = performance.now() - began;
      } catch (error) {
        if (
          error instanceof GrpcFailure && error.code === RESOURCE_EXHAUSTED &&
          error.message === "etcdserver: too many requests"
        ) {
          refused++;
          lastRefusalMs = performance.now() - began;
        } else otherwise.add((error as Error).message);
      }
    };
    await Promise.all(Array.from({ length: this.plan.burst }, one));
    const sent = performance.now();
    await this.#put(0);
    const burst = {
      accepted,
      refused,
      otherwise: [...otherwise],
      lastRefusalMs,
      lastAcceptedMs,
      recoveredMs: performance.now() - sent,
    };
    this.#violations.push(...burst.otherwise.map((m) => `burst: ${m}`));
    return [burst, `${accepted} accepted, ${refused} refused`];
  }

  /** Every acknowledged put is there, nothing else, and every lease. */
  async #check(): Promise<[void, string]> {
    const connection = this.#connections[0]!;
    let keys = 0;
    let wrong = 0;
    await listStream(connection, (key, modRevision, value) => {
      const n = numberOf(key);
      if (n === undefined) return;
      keys++;
      const isRight = modRevision === this.#ledger.lastRevision(n) &&
        value.length === this.plan.valueBytes;
      if (!isRight) wrong++;
    });
    if (keys !== this.#ledger.liveCount) {
      this.#violations.push(`${keys} keys, not ${this.#ledger.liveCount}`);
    }
    if (wrong > 0) {
      this.#violations.push(`${wrong} keys are not as they were put`);
    }
    this.#violations.push(...await this.#leases.check(connection));
    return [undefined, `${keys} keys, ${this.#leases.ids.length} leases`];
  }

  #value(key: number): Uint8Array {
    return new Uint8Array(this.plan.valueBytes).fill(0x61 + key % 26);
  }

  async #pause(ms: number): Promise<void> {
    const until = performance.now() + ms;
    while (!this.#isOver && performance.now() < until) await sleep(50);
  }
}

const PREFIX = "/registry/load/";

function keyOf(n: number): Uint8Array {
  return numberedKey(PREFIX, n);
}

/** Undefined for keys that are not numbered. */
function numberOf(key: Uint8Array): number | undefined {
  const prefix = utf8(PREFIX);
  if (key.length <= prefix.length) return undefined;
  let n = 0;
  for (let at = 0; at < key.length; at++) {
    if (at < prefix.length) {
      if (key[at] !== prefix[at]) return undefined;
    } else n = n * 10 + key[at]! - 0x30;
  }
  return n;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
