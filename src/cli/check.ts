import { Command } from "commander";
import { openBackend } from "../backend/open.ts";
import { checkDatabase, removeLeftovers } from "../backup/database_check.ts";
import {
  checkDataDir,
  type CheckOptions,
  type CheckPhase,
  type StoreReport,
} from "../backup/store_check.ts";
import { SystemClock } from "../base/clock.ts";
import { parseEndpoint, withoutPassword } from "../config/endpoint.ts";
import {
  addClientOptions,
  addOutputOption,
  type ClientFlags,
  clientOptions,
  outputFormat,
} from "./client_options.ts";
import { attempt, type CommandContext, UsageError } from "./command_context.ts";
import { checkEndpoints, type OnlineReport } from "./online_check.ts";
import { counted, writeJson } from "./output.ts";
import { ExitStatus } from "./process.ts";
import { ProgressLine } from "./progress_line.ts";

/** `stele check DATA-DIR`, `stele check --endpoints …` and `stele check --database …`. */
export function checkCommand(context: CommandContext): Command {
  const command = new Command("check")
    .description(
      "Looks for damage. With a data directory, whose server must be stopped: the database, every row, the log, each key's history. " +
        "Without: running servers, whose hashes, alarms and counts are compared. With a database: all that servers keep in it, " +
        "while they run, and their hashes against what it says. Ends with status 1 if anything is wrong.",
    )
    .argument("[data-dir]", "of a stopped server")
    .option(
      "--database <url>",
      "that servers share, as their --endpoint names it; compared with --endpoints if they are named",
    )
    .option(
      "--repair",
      "with a sound database: remove compacted rows that a stopped server left behind",
    )
    .addHelpText("after", EXAMPLES);
  addClientOptions(addOutputOption(command));
  return command.action(
    async (dataDir: string | undefined, flags: CheckFlags) => {
      const isSound = dataDir !== undefined
        ? await checkOffline(dataDir, flags, context)
        : flags.database !== undefined
        ? await checkShared(flags, context)
        : await checkOnline(flags, context);
      if (!isSound) context.exitStatus = ExitStatus.Failed;
    },
  );
}

const EXAMPLES = `
Examples:
  stele check default.etcd
  stele check --endpoints http://a:2379,http://b:2379
  stele check --database 'postgres://stele@db/stele?password-file=/run/secrets/stele' --endpoints http://a:2379,http://b:2379`;

interface CheckFlags extends ClientFlags {
  readonly database?: string;
  readonly repair?: boolean;
}

const PHASES: Readonly<Record<CheckPhase, string>> = {
  file: "checking the database file…",
  rows: "checking rows",
  batches: "checking the log…",
  keys: "checking keys",
  index: "comparing with the index…",
};

async function checkOffline(
  dataDir: string,
  flags: CheckFlags,
  context: CommandContext,
): Promise<boolean> {
  const { process } = context;
  if (flags.endpoints !== undefined || flags.database !== undefined) {
    throw new UsageError(
      "Cannot check both a data directory and running servers: name one",
    );
  }
  if (flags.repair) {
    throw new UsageError("Cannot repair a data directory: its server does");
  }
  const report = await attempt("check the store", async () => {
    using progress = new ProgressLine(process);
    return await checkDataDir(dataDir, withProgress(progress, context));
  });
  if (outputFormat(flags, process) === "json") {
    writeJson(process, { dataDir, ...jsonOf(report) });
  } else showOffline(JSON.stringify(dataDir), report, context);
  return isSound(report);
}

/** A shared database, and the servers that use it. */
async function checkShared(
  flags: CheckFlags,
  context: CommandContext,
): Promise<boolean> {
  const { process } = context;
  const url = flags.database!;
  const name = withoutPassword(url);
  const { report, online, removedRows } = await attempt(
    `check ${JSON.stringify(name)}`,
    async () => {
      using progress = new ProgressLine(process);
      await using backend = await openDatabase(url);
      const options = withProgress(progress, context);
      const report = await checkDatabase(backend, options);
      const { revision, compactRevision, hash } = report;
      const online = flags.endpoints === undefined || hash === undefined
        ? undefined
        : await checkEndpoints(
          await clientOptions(flags, context),
          context,
          progress,
          { revision, compactRevision, hash },
        );
      const removedRows = flags.repair && isSound(report)
        ? await removeLeftovers(backend)
        : undefined;
      return { report, online, removedRows };
    },
  );
  const areSound = online === undefined || online.violations.length === 0;
  if (outputFormat(flags, process) === "json") {
    writeJson(process, {
      database: name,
      ...jsonOf(report),
      ...(removedRows !== undefined && { removedRows }),
      ...(online && { servers: { isSound: areSound, ...online } }),
    });
  } else {
    showOffline(JSON.stringify(name), report, context);
    if (online !== undefined) showOnline(online, context);
    if (removedRows !== undefined) {
      process.stdout(`removed ${counted(removedRows, "leftover row")}\n`);
    }
  }
  return isSound(report) && areSound;
}

async function openDatabase(url: string) {
  if (parseEndpoint(url).driver !== "server") {
    throw new UsageError(
      `Cannot check "${
        withoutPassword(url)
      }" as a database: it is none that servers share`,
    );
  }
  const backend = openBackend(url, { clock: new SystemClock() });
  await backend.open();
  return Object.assign(backend, {
    [Symbol.asyncDispose]: () => backend.close(),
  });
}

function withProgress(
  progress: ProgressLine,
  { signal }: CommandContext,
): CheckOptions {
  return {
    onProgress: (phase, done, total) => {
      signal.throwIfAborted();
      progress.show(PHASES[phase], done, done > 0 ? total : 0);
    },
  };
}

function jsonOf(report: StoreReport) {
  const compactRevision = Math.max(report.compactRevision, 0);
  return { isSound: isSound(report), ...report, compactRevision };
}

function isSound({ violationCount }: StoreReport): boolean {
  return violationCount === 0;
}

function showOffline(
  name: string,
  report: StoreReport,
  { process }: CommandContext,
): void {
  const { violations, violationCount } = report;
  for (const { code, message } of violations) {
    process.stdout(`${code}: ${message}\n`);
  }
  if (violationCount > violations.length) {
    process.stdout(
      `… and ${violationCount - violations.length} more\n`,
    );
  }
  const facts = [
    `revision ${report.revision}`,
    `compacted at ${Math.max(report.compactRevision, 0)}`,
    counted(report.rows, "row"),
    counted(report.leases, "lease"),
  ];
  if (report.keys !== undefined) facts.push(counted(report.keys, "key"));
  if (report.hash !== undefined) facts.push(`hash ${report.hash}`);
  if (report.leftoverRows) {
    facts.push(`${counted(report.leftoverRows, "row")} left to compact`);
  }
  const verdict = isSound(report)
    ? "is sound"
    : `has ${counted(violationCount, "violation")}`;
  process.stdout(`${name} ${verdict}: ${facts.join(", ")}\n`);
}

async function checkOnline(
  flags: CheckFlags,
  context: CommandContext,
): Promise<boolean> {
  const { process } = context;
  if (flags.repair) {
    throw new UsageError("Cannot repair running servers: name a --database");
  }
  const options = await clientOptions(flags, context);
  const report = await attempt("check the servers", async () => {
    using progress = new ProgressLine(process);
    return await checkEndpoints(options, context, progress);
  });
  const isSound = report.violations.length === 0;
  if (outputFormat(flags, process) === "json") {
    writeJson(process, { isSound, ...report });
  } else showOnline(report, context);
  return isSound;
}

function showOnline(
  { violations, revision, endpoints }: OnlineReport,
  { process }: CommandContext,
): void {
  for (const { code, endpoint, message } of violations) {
    process.stdout(`${code}: ${endpoint}: ${message}\n`);
  }
  for (const { endpoint, keys, hash, compactRevision } of endpoints) {
    process.stdout(
      `${endpoint}: ${counted(keys, "key")} at revision ${revision}, ` +
        `compacted at ${compactRevision}, hash ${hash}\n`,
    );
  }
}
