import { EtcdClient, type Message } from "../../support/etcd_client.ts";
import { eventually } from "../../support/failure.ts";
import { Random } from "../../support/random.ts";
import { KeyHistory } from "../history/key_history.ts";
import { ENDLESS_TTL_SECONDS } from "../history/lease_checker.ts";
import { single } from "../history/operation.ts";
import { checkHistory } from "../history/revision_checker.ts";
import { checkWatcher } from "../history/watch_checker.ts";
import { Admin, ROOT_PASSWORD } from "./admin.ts";
import { checkDatabase } from "./database_check.ts";
import { checkHash, checkLeases, grantedLeases } from "./final_checks.ts";
import { Recorder } from "./recorder.ts";
import { RecordingClient } from "./recording_client.ts";
import { ResumingWatcher } from "./resuming_watcher.ts";
import { ServerProcess } from "./server_process.ts";
import { Workload } from "./workload.ts";

export interface CrashOptions {
  readonly seed: number;
  /** SIGKILLs, those during a start included. */
  readonly kills: number;
  /** Clients beside the administrator; default 6. */
  readonly clients?: number;
  /** What the server is started with, besides its directory. */
  readonly flags?: readonly string[];
  /** Waits in the end until leases have run out, without which their ends may meet the checks; default true. */
  readonly waitsForLeases?: boolean;
  /** Called with the data directory before the last life; default: does nothing. */
  readonly beforeLast?: (dataDir: string) => void;
}

export interface CrashResult {
  /** Empty if everything was right. */
  readonly violations: readonly string[];
  readonly operations: number;
  readonly unknown: number;
  readonly revisions: number;
  readonly kills: number;
  /** Kills before the server was ready. */
  readonly startKills: number;
  readonly isAuthEnabled: boolean;
}

/** How long the load runs before a kill. */
const MIN_LOAD_MS = 20;
const MAX_LOAD_MS = 320;
/** What the first life leaves to the others at least, however slow the machine is. */
const MIN_REVISIONS = 20;
/** A kill during a start comes within this time; a start takes 250 ms and more. */
const MAX_START_MS = 400;
/** How long a paused server stands still. */
const MAX_PAUSE_MS = 300;
/** More than any start, on a machine that has other things to do. */
const READY_TIMEOUT_MS = 60_000;
const SETTLE_TIMEOUT_MS = 30_000;

/**
 * Kills a server again and again under load, on one directory, and checks the history of it all.
 *
 * Everything random comes from the seed but the timing of processes: a seed gives the same mixture again,
 * not the same history.
 */
export async function runCrashes(options: CrashOptions): Promise<CrashResult> {
  const dataDir = await Deno.makeTempDir({ prefix: "stele-crash-" });
  const run = new CrashRun(dataDir, options);
  const result = await run.run();
  // What went wrong is to be looked at, unless it was meant to.
  if (result.violations.length === 0 || options.beforeLast !== undefined) {
    await Deno.remove(dataDir, { recursive: true });
  } else {
    result.violations.push(`the data is in ${dataDir}`);
  }
  return result;
}

class CrashRun {
  readonly #random: Random;
  readonly #recorder = new Recorder();
  readonly #admin = new Admin();
  readonly #violations: string[] = [];
  readonly #workload: Workload;
  /** Sees every key from the first revision on: what it saw is the log. */
  readonly #all: ResumingWatcher;
  readonly #watchers: readonly ResumingWatcher[];
  readonly #flags: readonly string[];
  readonly #wantsAuth: boolean;
  #startKills = 0;
  #nextClient = 0;

  constructor(readonly dataDir: string, readonly options: CrashOptions) {
    const { seed, flags = [] } = options;
    this.#random = new Random(seed);
    this.#wantsAuth = seed % 3 === 0;
    // Little memory in every other run, so that values and events are read back from the database.
    const memory = seed % 2 === 0
      ? ["--value-cache-bytes=65536", "--event-window-bytes=65536"]
      : [];
    this.#flags = [
      "--bcrypt-cost=4",
      "--watch-progress-notify-interval=100ms",
      ...memory,
      ...flags,
    ];
    const compactedTo = () => this.#workload.compactedTo;
    const all = { name: "all", key: "", end: "\x7f", compactedTo };
    this.#all = new ResumingWatcher({ ...all, withPrevious: true });
    this.#watchers = [
      this.#all,
      new ResumingWatcher({ name: "k", key: "k", end: "l", compactedTo }),
      new ResumingWatcher({
        name: "pairs",
        key: "p",
        end: "q",
        withPrevious: true,
        isFragmented: true,
        compactedTo,
      }),
      new ResumingWatcher({ name: "k3", key: "k3", compactedTo }),
    ];
    this.#workload = new Workload(
      this.#random,
      () => this.#all.nextRevision - 1,
    );
  }

  async run(): Promise<CrashResult & { violations: string[] }> {
    const { kills } = this.options;
    try {
      for (let kill = 0; kill < kills; kill++) {
        if (kill > 0 && this.#random.oneIn(4)) await this.#dieStarting();
        else await this.#dieServing();
      }
      this.options.beforeLast?.(this.dataDir);
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
      kills,
      startKills: this.#startKills,
      isAuthEnabled: this.#admin.isAuthEnabled,
    };
  }

  /** A kill at a random moment of the start. */
  async #dieStarting(): Promise<void> {
    const server = ServerProcess.spawn(this.dataDir, this.#flags);
    await delay(this.#random.int(MAX_START_MS));
    const { signal, code } = await server.kill();
    if (signal !== "SIGKILL") {
      this.#violations.push(`a start ended with ${code}: ${server.log}`);
    }
    this.#startKills++;
  }

  /** A kill under load. */
  async #dieServing(): Promise<void> {
    const life = await this.#begin();
    const work = this.#load(life);
    await delay(MIN_LOAD_MS + this.#random.int(MAX_LOAD_MS - MIN_LOAD_MS));
    await eventually(
      "there is something to lose",
      () => this.#all.nextRevision > MIN_REVISIONS,
      SETTLE_TIMEOUT_MS,
    );
    if (this.#random.oneIn(8)) {
      life.server.pause();
      await delay(this.#random.int(MAX_PAUSE_MS));
      if (this.#random.oneIn(2)) {
        life.server.resume();
        await delay(this.#random.int(50));
      }
    }
    const { signal, code } = await life.server.kill();
    this.#recorder.serverDied();
    if (signal !== "SIGKILL") {
      this.#violations.push(
        `the server ended with ${code}: ${life.server.log}`,
      );
    }
    await work;
    this.#end(life);
  }

  /** Starts the server, compares what it remembers, and opens watchers. */
  async #begin(): Promise<Life> {
    const server = ServerProcess.spawn(this.dataDir, this.#flags);
    const address = await within(
      "the server is ready",
      server.ready,
      READY_TIMEOUT_MS,
    ).catch(() => undefined);
    if (address === undefined) {
      await server.kill();
      throw new Error(`the server did not start: ${server.log}`);
    }
    const etcd = await this.#connect(address);
    const client = this.#client(etcd);
    await this.#admin.look(etcd);
    if (this.#wantsAuth && !this.#admin.isAuthEnabled) {
      await this.#admin.enableAuth(etcd);
      etcd.close();
      await server.stop();
      return await this.#begin();
    }
    // It tells apart what was done in which life; see `checkHistory`.
    await client.call(single({ kind: "range", key: "k", end: "q" }));
    for (const watcher of this.#watchers) watcher.open(etcd);
    return { server, etcd, address, clients: [client] };
  }

  async #connect(address: string): Promise<EtcdClient> {
    const etcd = new EtcdClient(address, { "grpc.enable_retries": 0 });
    if (!this.#admin.isAuthEnabled) return etcd;
    const refusal = await etcd.kv.call("Range", { key: Buffer.from("k") })
      .then(() => "nothing", (error) => error.details);
    if (!/user name is empty/.test(refusal)) {
      this.#violations.push(
        `without a token, a read is refused with ${refusal}`,
      );
    }
    const authenticated = await etcd.login(address, "root", ROOT_PASSWORD);
    etcd.close();
    return authenticated;
  }

  #client(etcd: EtcdClient): RecordingClient {
    return new RecordingClient(++this.#nextClient, etcd, this.#recorder);
  }

  /** Runs all clients until their server is gone. */
  async #load(life: Life): Promise<void> {
    const { clients = 6 } = this.options;
    const work: Promise<void>[] = [];
    for (let i = 0; i < clients; i++) {
      const client = this.#client(life.etcd);
      life.clients.push(client);
      work.push(this.#workload.run(client));
    }
    work.push(this.#administer(life));
    await Promise.all(work);
    for (const { surprises } of life.clients) {
      this.#violations.push(...surprises.map((s) => `unexpected: ${s}`));
    }
  }

  async #administer({ server, etcd }: Life): Promise<void> {
    while (!server.isKilled) {
      await this.#admin.step(etcd, this.#random);
      await delay(this.#random.int(20));
    }
  }

  #end({ etcd }: Life): void {
    for (const watcher of this.#watchers) watcher.close();
    etcd.close();
  }

  /** A last life without load, in which everything is looked at. */
  async #checkAll(): Promise<void> {
    const life = await this.#begin();
    const { etcd, server } = life;
    const client = life.clients[0]!;
    if (this.options.waitsForLeases ?? true) await this.#leasesRunOut(etcd);
    await client.call(single({ kind: "range", key: "k", end: "q" }));
    await client.call(single({ kind: "range", key: "k", revision: 1 }));
    const current = await this.#revision(etcd);
    await eventually(
      "all watchers have seen everything",
      () => this.#watchers.every((w) => w.nextRevision > current),
      SETTLE_TIMEOUT_MS,
    );
    const log = this.#all.log();
    const keys = new KeyHistory(log);
    const { operations } = this.#recorder;
    const { compactedTo } = this.#workload;
    const hash = await checkHash(etcd, log, operations, compactedTo);
    this.#violations.push(
      ...hash.violations,
      ...await checkLeases(etcd, keys, operations),
    );
    this.#end(life);
    const ending = await server.stop();
    if (ending.code !== 0) {
      this.#violations.push(`SIGTERM ended with ${ending.code}: ${server.log}`);
    }
    this.#violations.push(
      ...checkHistory({ operations, log }).slice(0, 20),
      ...this.#watchers.flatMap((
        w,
      ) => [...checkWatcher(w, log), ...w.surprises]),
      ...this.#admin.facts.violations,
    );
    this.#violations.push(
      ...checkDatabase(this.dataDir, log, hash.compactRevision).slice(0, 20),
    );
  }

  async #revision(etcd: EtcdClient): Promise<number> {
    const { header } = await etcd.range("k");
    return Number(header.revision);
  }

  async #leasesRunOut(etcd: EtcdClient): Promise<void> {
    const { operations } = this.#recorder;
    const endless = grantedLeases(operations, ENDLESS_TTL_SECONDS);
    await eventually("leases run out", async () => {
      const { leases } = await etcd.lease.call("LeaseLeases");
      return leases.every(({ ID }: Message) => endless.has(ID));
    }, SETTLE_TIMEOUT_MS);
  }
}

/** From a start to a kill. */
interface Life {
  readonly server: ServerProcess;
  readonly etcd: EtcdClient;
  readonly address: string;
  readonly clients: RecordingClient[];
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function within<T>(
  what: string,
  promise: Promise<T>,
  timeoutMs: number,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`not in time: ${what}`)),
      timeoutMs,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
