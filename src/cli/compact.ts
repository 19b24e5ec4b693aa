import { Command } from "commander";
import { KVService, MaintenanceService } from "../pb/etcdserverpb.ts";
import {
  addClientOptions,
  addOutputOption,
  type ClientFlags,
  outputFormat,
  withClient,
} from "./client_options.ts";
import { currentRevision, isCompacted } from "./cluster_reads.ts";
import {
  attempt,
  type CommandContext,
  integerFrom,
  UsageError,
} from "./command_context.ts";
import type { EtcdClient } from "./etcd_client.ts";
import { byteSize, counted, writeJson } from "./output.ts";

interface CompactFlags extends ClientFlags {
  readonly keep?: number;
  readonly physical?: boolean;
}

/** What a compaction did. */
interface Compacted {
  /** The oldest revision that is readable now. */
  readonly compactRevision: number;
  readonly currentRevision: number;
  /** False if those revisions were gone already, or there are not so many. */
  readonly isDone: boolean;
  readonly inUseBefore: number;
  /** Says something after a physical compaction only. */
  readonly inUseAfter: number;
}

/** `stele compact REV` and `stele compact --keep N`. */
export function compactCommand(context: CommandContext): Command {
  const command = new Command("compact")
    .description(
      "Gives up what happened before a revision. Keys keep the value they had then; history, watches and reads before it fail.",
    )
    .argument("[revision]", "the oldest to stay readable", integerFrom(1))
    .option(
      "--keep <count>",
      "keep so many of the newest revisions, instead",
      integerFrom(1),
    )
    .option("--physical", "wait until the old data is out of the database")
    .addHelpText("after", EXAMPLES);
  addClientOptions(addOutputOption(command));
  return command.action((revision: number | undefined, flags: CompactFlags) => {
    if ((revision === undefined) === (flags.keep === undefined)) {
      throw new UsageError(
        "Cannot compact: either a revision or --keep is needed",
      );
    }
    return withClient(flags, context, async (client) => {
      const done = await attempt(
        "compact",
        () => compact(client, revision, flags),
      );
      show(done, flags, context);
    });
  });
}

const EXAMPLES = `
Examples:
  stele compact 4200                    revisions before 4200 go
  stele compact --keep 1000 --physical  the newest 1000 stay; waits until the others are gone`;

async function compact(
  client: EtcdClient,
  given: number | undefined,
  { keep = 0, physical = false }: CompactFlags,
): Promise<Compacted> {
  const current = await currentRevision(client);
  // The newest revision is one of those that are kept.
  const revision = given ?? current - keep + 1;
  const inUseBefore = await dbSizeInUse(client);
  let isDone = revision > 0;
  if (isDone) {
    try {
      await client.unary(KVService.methods.compact, { revision, physical });
    } catch (error) {
      // Somebody, or auto-compaction, was quicker; who names a revision is told so.
      if (given !== undefined || !isCompacted(error)) throw error;
      isDone = false;
    }
  }
  return {
    compactRevision: Math.max(revision, 0),
    currentRevision: current,
    isDone,
    inUseBefore,
    inUseAfter: isDone ? await dbSizeInUse(client) : inUseBefore,
  };
}

async function dbSizeInUse(client: EtcdClient): Promise<number> {
  return (await client.unary(MaintenanceService.methods.status, {}))
    .dbSizeInUse;
}

function show(
  done: Compacted,
  flags: CompactFlags,
  { process }: CommandContext,
): void {
  const isPhysical = flags.physical === true;
  if (outputFormat(flags, process) === "json") {
    const { isDone, ...rest } = done;
    return writeJson(process, {
      compacted: isDone,
      physical: isPhysical,
      ...rest,
    });
  }
  if (!done.isDone) {
    process.stdout(
      `Nothing to compact: there are no more than ${
        counted(flags.keep!, "revision")
      } (the newest is ${done.currentRevision})\n`,
    );
    return;
  }
  const kept = done.currentRevision - done.compactRevision + 1;
  const size = isPhysical
    ? `; ${byteSize(done.inUseBefore)} in use before, ${
      byteSize(done.inUseAfter)
    } now`
    : "";
  process.stdout(
    `Compacted: ${done.compactRevision} is the oldest revision now, ${done.currentRevision} the newest (${
      counted(kept, "revision")
    })${size}\n`,
  );
}
