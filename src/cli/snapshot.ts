import { Command, Option } from "commander";
import { type RestoreOptions, restoreSnapshot } from "../backup/restore.ts";
import type { Restored } from "../backup/restored.ts";
import { writeSnapshotFile } from "../backup/snapshot_file.ts";
import {
  type SnapshotStatus,
  snapshotStatus,
} from "../backup/snapshot_status.ts";
import { SystemClock } from "../base/clock.ts";
import { MaintenanceService } from "../pb/etcdserverpb.ts";
import {
  addClientOptions,
  addOutputOption,
  type ClientFlags,
  outputFormat,
  withClient,
} from "./client_options.ts";
import { idText } from "./cluster_reads.ts";
import {
  attempt,
  type CommandContext,
  integerFrom,
  UsageError,
} from "./command_context.ts";
import type { EtcdClient } from "./etcd_client.ts";
import { byteSize, type Column, RowWriter, writeJson } from "./output.ts";
import { ProgressLine } from "./progress_line.ts";

/** `stele snapshot save`, `status` and `restore`. */
export function snapshotCommand(context: CommandContext): Command {
  return new Command("snapshot")
    .description("Saves all data to a file, looks into one, restores one.")
    .addCommand(saveCommand(context))
    .addCommand(statusCommand(context))
    .addCommand(restoreCommand(context))
    .addHelpText("after", EXAMPLES);
}

const EXAMPLES = `
Examples:
  stele snapshot save backup.db
  stele snapshot status backup.db -w table
  stele snapshot restore backup.db --data-dir new.etcd
  stele snapshot restore backup.db --data-dir new.etcd --bump-revision 1000000000 --mark-compacted`;

interface SaveFlags extends ClientFlags {
  readonly force?: boolean;
}

function saveCommand(context: CommandContext): Command {
  const command = new Command("save")
    .description(
      "Saves a snapshot of a running server. The file appears when it is whole and its checksum is right.",
    )
    .argument("<file>", "the file to make")
    .option("--force", "replace the file if it exists");
  addClientOptions(addOutputOption(command));
  return command.action((path: string, flags: SaveFlags) =>
    withClient(flags, context, async (client) => {
      await attempt(`save a snapshot to "${path}"`, async () => {
        if (flags.force !== true) await checkAbsent(path);
        const sizeBytes = await save(client, path, context);
        const saved = {
          file: path,
          sizeBytes,
          endpoint: await client.endpoint(),
        };
        if (outputFormat(flags, context.process) === "json") {
          return writeJson(context.process, saved);
        }
        context.process.stdout(
          `Saved "${path}": ${byteSize(sizeBytes)} from ${saved.endpoint}\n`,
        );
      });
    })
  );
}

async function checkAbsent(path: string): Promise<void> {
  try {
    await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  throw new Error("the file exists; --force replaces it");
}

async function save(
  client: EtcdClient,
  path: string,
  { process, signal }: CommandContext,
): Promise<number> {
  using progress = new ProgressLine(process);
  progress.show("waiting for the server to make the snapshot…");
  return await writeSnapshotFile(path, blobs(client, progress), {
    addChecksum: false,
    signal,
  });
}

async function* blobs(
  client: EtcdClient,
  progress: ProgressLine,
): AsyncGenerator<Uint8Array> {
  let received = 0;
  const snapshot = client.serverStream(MaintenanceService.methods.snapshot, {});
  for await (const { blob, remainingBytes } of snapshot) {
    yield blob;
    received += blob.length;
    progress.show("saving", received, received + remainingBytes);
  }
}

interface StatusFlags extends ClientFlags {
  readonly skipHashCheck?: boolean;
}

const STATUS_COLUMNS: readonly Column[] = [
  { title: "HASH", name: "hash", align: "right" },
  { title: "REVISION", name: "revision", align: "right" },
  { title: "COMPACTED", name: "compactRevision", align: "right" },
  { title: "KEYS", name: "totalKey", align: "right" },
  { title: "SIZE", name: "sizeText", align: "right", only: "people" },
  { title: "", name: "totalSize", only: "json" },
  { title: "VERSION", name: "version" },
  { title: "LAST WRITE", name: "lastWrite" },
  { title: "CHECKSUM", name: "checksum" },
];

function statusCommand(context: CommandContext): Command {
  const command = new Command("status")
    .description(
      "Verifies a snapshot file and shows what is in it. The hash is the one that stele status shows of the server.",
    )
    .argument("<file>", "the snapshot");
  addOutputOption(addSkipHashCheck(command));
  return command.action((path: string, flags: StatusFlags) =>
    attempt("read the snapshot", async () => {
      const status = await readStatus(path, flags, context);
      const { process } = context;
      const writer = new RowWriter(
        process,
        outputFormat(flags, process),
        STATUS_COLUMNS,
      );
      writer.write({
        hash: status.hash,
        revision: status.revision,
        compactRevision: Math.max(status.compactRevision, 0),
        totalKey: status.totalKey,
        totalSize: status.totalSize,
        sizeText: byteSize(status.totalSize),
        version: status.version,
        lastWrite: status.lastWriteMs === 0
          ? undefined
          : new Date(status.lastWriteMs).toISOString(),
        checksum: checksumText(status, flags),
      });
      writer.flush();
    })
  );
}

async function readStatus(
  path: string,
  flags: StatusFlags,
  { process, signal }: CommandContext,
): Promise<SnapshotStatus> {
  using progress = new ProgressLine(process);
  return await snapshotStatus(path, {
    skipHashCheck: flags.skipHashCheck === true,
    signal,
    onProgress: (done, total) => progress.show("verifying", done, total),
  });
}

function checksumText(
  { hasChecksum }: SnapshotStatus,
  { skipHashCheck }: StatusFlags,
): string {
  if (!hasChecksum) return "none";
  return skipHashCheck === true ? "not checked" : "ok";
}

interface RestoreFlags extends ClientFlags {
  readonly dataDir?: string;
  readonly name: string;
  readonly bumpRevision: number;
  readonly markCompacted?: boolean;
  readonly skipHashCheck?: boolean;
}

/** etcdutl's, which say who the members of the new cluster are; here there is one, and it needs no telling. */
const IGNORED_OPTIONS = [
  "--initial-cluster <members>",
  "--initial-cluster-token <token>",
  "--initial-advertise-peer-urls <urls>",
  "--initial-memory-map-size <bytes>",
  "--wal-dir <directory>",
] as const;

function restoreCommand(context: CommandContext): Command {
  const command = new Command("restore")
    .description(
      "Makes a data directory from a snapshot, of Stele or of etcd. It is a new cluster: clients of the old one must not take it for the same.",
    )
    .argument("<file>", "the snapshot")
    .option(
      "--data-dir <directory>",
      "what to make; it must not exist, or be empty [NAME.etcd]",
    )
    .option("--name <name>", "of the server, for the directory", "default")
    .option(
      "--bump-revision <count>",
      "raise the revision by so much, so that it is above all that clients have seen",
      integerFrom(0),
      0,
    )
    .option(
      "--mark-compacted",
      "compact at the raised revision, so that watchers start over (with --bump-revision only)",
    );
  for (const flags of IGNORED_OPTIONS) {
    command.addOption(
      new Option(flags, "accepted for etcdutl's sake").hideHelp(),
    );
  }
  addOutputOption(addSkipHashCheck(command));
  return command.action(async (path: string, flags: RestoreFlags) => {
    if ((flags.bumpRevision > 0) !== (flags.markCompacted === true)) {
      throw new UsageError(
        "Cannot use one of --bump-revision (above 0) and --mark-compacted: both are needed",
      );
    }
    const dataDir = flags.dataDir ?? `${flags.name}.etcd`;
    const restored = await attempt("restore the snapshot", () =>
      restore(path, {
        dataDir,
        skipHashCheck: flags.skipHashCheck === true,
        bumpRevision: flags.bumpRevision,
        clock: new SystemClock(),
        signal: context.signal,
      }, context));
    show(restored, dataDir, flags, context);
  });
}

async function restore(
  path: string,
  options: RestoreOptions,
  { process }: CommandContext,
): Promise<Restored> {
  using progress = new ProgressLine(process);
  return await restoreSnapshot(path, {
    ...options,
    onProgress: (done, total) => {
      if (done < total) progress.show("restoring", done, total);
      else progress.show("checking the database…");
    },
  });
}

function show(
  { revision, compactRevision, clusterId, memberId }: Restored,
  dataDir: string,
  flags: RestoreFlags,
  { process }: CommandContext,
): void {
  const compacted = Math.max(compactRevision, 0);
  if (outputFormat(flags, process) === "json") {
    return writeJson(process, {
      dataDir,
      revision,
      compactRevision: compacted,
      clusterId: idText(clusterId),
      memberId: idText(memberId),
    });
  }
  process.stdout(
    `Restored "${dataDir}": revision ${revision}` +
      (compacted > 0 ? `, compacted at ${compacted}` : "") +
      `, new cluster ${idText(clusterId)}\n` +
      `Serve it with: stele serve --data-dir ${dataDir}\n`,
  );
}

function addSkipHashCheck(command: Command): Command {
  return command.option(
    "--skip-hash-check",
    "do not compare the checksum; for a file that was copied from a data directory",
  );
}
