import { Argument, Command } from "commander";
import { parseDurationMs } from "../base/duration.ts";
import { utf8 } from "../base/bytes.ts";
import { KVService, newDeleteRangeRequest } from "../pb/etcdserverpb.ts";
import {
  addClientOptions,
  addOutputOption,
  type ClientFlags,
  clientOptions,
  openClient,
  outputFormat,
} from "./client_options.ts";
import { currentRevision, prefixEnd } from "./cluster_reads.ts";
import {
  attempt,
  type CommandContext,
  integerFrom,
  UsageError,
} from "./command_context.ts";
import type { EtcdClient } from "./etcd_client.ts";
import { type LoadOptions, LoadResults, runLoad } from "./load.ts";
import { type Column, RowWriter } from "./output.ts";
import { ExitStatus, type Process } from "./process.ts";
import { type WorkloadName, workloadOf, WORKLOADS } from "./workloads.ts";

interface BenchFlags extends ClientFlags {
  readonly clients: number;
  readonly conns?: number;
  readonly total?: number;
  readonly duration?: number;
  readonly rate: number;
  readonly keys: number;
  readonly keySize: number;
  readonly valSize: number;
  readonly rangeKeys: number;
}

const DEFAULT_TOTAL = 10_000;
/** More connections than that do not help one process that makes the load. */
const DEFAULT_MAX_CONNS = 4;
const PROGRESS_INTERVAL_MS = 200;

const COLUMNS: readonly Column[] = [
  { title: "OPERATION", name: "operation" },
  { title: "DONE", name: "count", align: "right" },
  { title: "ERRORS", name: "errors", align: "right" },
  { title: "PER SECOND", name: "perSecond", align: "right" },
  { title: "MEAN MS", name: "meanMs", align: "right" },
  { title: "P50 MS", name: "p50Ms", align: "right" },
  { title: "P90 MS", name: "p90Ms", align: "right" },
  { title: "P99 MS", name: "p99Ms", align: "right" },
  { title: "MAX MS", name: "maxMs", align: "right" },
  { title: "", name: "seconds", only: "json" },
];

/** `stele bench`. */
export function benchCommand(context: CommandContext): Command {
  const command = new Command("bench")
    .description(
      "Measures a server under load. It writes keys of its own and deletes them at the end; the revisions they used remain. The client is one process on one core: a fast server may be waiting for it.",
    )
    .addArgument(
      new Argument("[load]", "what to do; txn: guarded updates; default: put")
        .choices(WORKLOADS).default("put", " "),
    )
    .option(
      "--clients <count>",
      "operations under way at once; with watch: watchers",
      integerFrom(1),
      16,
    )
    .option(
      "--conns <count>",
      `connections; default: as clients, at most ${DEFAULT_MAX_CONNS}`,
      integerFrom(1),
    )
    .option(
      "--total <count>",
      `operations; default: ${DEFAULT_TOTAL}, or as --duration has it`,
      integerFrom(1),
    )
    .option("--duration <duration>", "such as 30s", parseDuration)
    .option(
      "--rate <count>",
      "operations a second; 0 for as many as can be done",
      integerFrom(0),
      0,
    )
    .option("--keys <count>", "different keys", integerFrom(1), 10_000)
    .option("--key-size <bytes>", "of each key", integerFrom(1), 32)
    .option("--val-size <bytes>", "of each value", integerFrom(0), 256)
    .option("--range-keys <count>", "keys in a range", integerFrom(1), 100)
    .addHelpText("after", EXAMPLES);
  addClientOptions(addOutputOption(command));
  return command.action((name: WorkloadName, flags: BenchFlags) =>
    attempt("measure", () => bench(name, flags, context))
  );
}

const EXAMPLES = `
Examples:
  stele bench put --clients 64 --total 50000
  stele bench mixed --duration 30s --rate 2000   latency at a steady load
  stele bench watch --clients 100 --total 1000   how soon 100 watchers know`;

async function bench(
  name: WorkloadName,
  flags: BenchFlags,
  context: CommandContext,
): Promise<void> {
  const { process, signal } = context;
  const options = await clientOptions(flags, context);
  const count = flags.conns ?? Math.min(flags.clients, DEFAULT_MAX_CONNS);
  const prefix = `stele-bench/${crypto.randomUUID().slice(0, 8)}/`;
  // An interrupt ends the load; the results are shown and the keys deleted all the same.
  const deaf = { ...context, signal: new AbortController().signal };
  const clients = Array.from(
    { length: count },
    () => openClient(options, deaf),
  );
  try {
    await Promise.all(clients.map((client) => currentRevision(client)));
    const workload = workloadOf(name, {
      prefix,
      keys: flags.keys,
      keySizeBytes: flags.keySize,
      valueSizeBytes: flags.valSize,
      rangeKeys: flags.rangeKeys,
      watchers: flags.clients,
    });
    const load: LoadOptions = {
      // One writer, so that the time to the watchers is not that of a queue of writes.
      workers: name === "watch" ? 1 : flags.clients,
      total: flags.total ??
        (flags.duration === undefined ? DEFAULT_TOTAL : Infinity),
      durationMs: flags.duration ?? Infinity,
      ratePerSecond: flags.rate,
      signal,
    };
    const results = new LoadResults();
    try {
      await workload.prepare(clients, results);
      const hideProgress = showProgress(name, results, load, process);
      const tookMs = await runLoad(workload, clients, results, load)
        .finally(hideProgress);
      show(results, tookMs, flags, context);
    } finally {
      await removeKeys(clients[0]!, prefix);
    }
  } finally {
    for (const client of clients) client.close();
  }
}

async function removeKeys(client: EtcdClient, prefix: string): Promise<void> {
  const key = utf8(prefix);
  await client.unary(
    KVService.methods.deleteRange,
    newDeleteRangeRequest({ key, rangeEnd: prefixEnd(key) }),
  );
}

/** On a terminal, one line that is written over; returns what ends it. */
function showProgress(
  name: string,
  results: LoadResults,
  { total }: LoadOptions,
  process: Process,
): () => void {
  if (!process.isTerminal("stderr")) return () => {};
  const startMs = performance.now();
  const goal = total === Infinity ? "" : ` of ${total}`;
  const timer = setInterval(() => {
    const seconds = (performance.now() - startMs) / 1000;
    const rate = Math.round(results.done / seconds);
    process.stderr(
      `${CLEAR_LINE}${name}: ${results.done}${goal}, ${rate} a second`,
    );
  }, PROGRESS_INTERVAL_MS);
  return () => {
    clearInterval(timer);
    process.stderr(CLEAR_LINE);
  };
}

/** To the first column, and erase what follows (ECMA-48 EL). */
const CLEAR_LINE = "\r\x1b[K";

function show(
  results: LoadResults,
  tookMs: number,
  flags: BenchFlags,
  context: CommandContext,
): void {
  const format = outputFormat(flags, context.process);
  const writer = new RowWriter(context.process, format, COLUMNS);
  const messages: string[] = [];
  const ms = (value: number) => Number(value.toFixed(3));
  const shown = (value: number) =>
    format === "json" ? ms(value) : value.toFixed(2);
  for (const [operation, result] of results.byName) {
    const { latencies, errors, message } = result;
    writer.write({
      operation,
      count: latencies.count,
      errors,
      perSecond: Math.round(latencies.count / tookMs * 1000),
      meanMs: shown(latencies.meanMs),
      p50Ms: shown(latencies.percentileMs(0.5)),
      p90Ms: shown(latencies.percentileMs(0.9)),
      p99Ms: shown(latencies.percentileMs(0.99)),
      maxMs: shown(latencies.maxMs),
      seconds: ms(tookMs / 1000),
    });
    if (message !== undefined) {
      messages.push(`${operation}: first of ${errors} errors: ${message}`);
    }
  }
  writer.flush();
  for (const message of messages) context.process.stderr(`${message}\n`);
  if (messages.length > 0) context.exitStatus = ExitStatus.Failed;
}

function parseDuration(text: string): number {
  const durationMs = parseDurationMs(text);
  if (durationMs !== undefined && durationMs > 0) return durationMs;
  throw new UsageError(
    `Cannot use --duration "${text}": it must look like 500ms, 30s or 1m`,
  );
}
