import { dirname, resolve } from "node:path";
import type { Backend, Batch, Head } from "../backend/backend.ts";
import { DataDir } from "../backend/driver/sqlite/data_dir.ts";
import { StoreFile } from "../backend/driver/sqlite/store_file.ts";
import { openBackend } from "../backend/open.ts";
import { type StateChange, StateKind } from "../backend/state_change.ts";
import { assert } from "../base/assert.ts";
import { EMPTY } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { Identity } from "../mvcc/identity.ts";
import { BackupError } from "./backup_error.ts";
import { importEtcd } from "./etcd_import.ts";
import { removeIfThere, syncDirectory } from "./file_writes.ts";
import { compactChange, identityState, type Restored } from "./restored.ts";
import { compactRevisionOf } from "./snapshot_facts.ts";
import {
  checkKind,
  inspectSnapshotFile,
  type OnProgress,
  verifySnapshotFile,
} from "./snapshot_file.ts";
import { checkIntegrity } from "./snapshot_status.ts";

/** Where the store is built; its name keeps a server from taking it for one. */
const PART_NAME = "restore.part";
const DATABASE_NAME = "stele.db";
/** What may be in a directory that counts as empty: what a restore that crashed left, and a file system's own. */
const IGNORED_NAMES: ReadonlySet<string> = new Set([
  PART_NAME,
  "stele.lock",
  "lost+found",
]);

export interface RestoreOptions {
  /** Absent, or empty. */
  readonly dataDir: string;
  /** Takes a file that has no checksum or the wrong one. */
  readonly skipHashCheck: boolean;
  /**
   * Raises the current revision by so much, and makes it the compact revision, so that clients which have
   * seen later revisions than the snapshot's are told to start over. 0: leaves both alone.
   */
  readonly bumpRevision: number;
  readonly clock: Clock;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/**
 * Makes a data directory from a snapshot, of Stele or of etcd. The database is built aside and moved into its place last, so that
 * whatever happens before leaves no store behind that a server would open.
 */
export async function restoreSnapshot(
  path: string,
  options: RestoreOptions,
): Promise<Restored> {
  const { kind } = checkKind(path, await inspectSnapshotFile(path));
  return await buildDataDir(options.dataDir, async (part) => {
    if (kind === "etcd") {
      await verifySnapshotFile(path, options);
      return await importEtcd(path, part, options);
    }
    const copy = `${part}/${DATABASE_NAME}`;
    const info = await verifySnapshotFile(path, { ...options, copyTo: copy });
    // Copied from a data directory, its newest writes may be in the log beside it.
    if (!info.hasChecksum) await copyIfThere(`${path}-wal`, `${copy}-wal`);
    return await rewrite(part, options);
  });
}

/** Lets `build` make a database in a directory aside, and moves it to where a server finds it. */
async function buildDataDir<T>(
  dataDir: string,
  build: (part: string) => Promise<T>,
): Promise<T> {
  await checkEmpty(dataDir);
  const isNew = await makeDir(dataDir);
  const directory = await Deno.realPath(dataDir);
  const part = `${directory}/${PART_NAME}`;
  // Nobody starts a server there meanwhile: it would begin an empty store.
  const lock = DataDir.open(directory);
  try {
    await removeIfThere(part);
    await Deno.mkdir(part, { mode: 0o700 });
    const built = await build(part);
    await syncFile(`${part}/${DATABASE_NAME}`);
    await Deno.rename(
      `${part}/${DATABASE_NAME}`,
      `${directory}/${DATABASE_NAME}`,
    );
    await syncDirectory(directory);
    await syncDirectory(dirname(directory));
    return built;
  } catch (error) {
    await removeIfThere(part);
    if (isNew) await removeIfThere(directory);
    else await removeIfThere(`${directory}/stele.lock`);
    throw error;
  } finally {
    lock.close();
    await removeIfThere(part);
  }
}

async function checkEmpty(dataDir: string): Promise<void> {
  try {
    for await (const { name } of Deno.readDir(dataDir)) {
      if (IGNORED_NAMES.has(name)) continue;
      throw new BackupError(
        `Cannot restore into "${dataDir}": it is not empty, "${name}" is in it`,
      );
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Whether it had to be made. */
async function makeDir(path: string): Promise<boolean> {
  try {
    await Deno.mkdir(resolve(path), { mode: 0o700 });
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  await Deno.mkdir(resolve(path), { recursive: true, mode: 0o700 });
  return true;
}

/** Makes the copy a cluster of its own, by one more batch at the end of its log. */
async function rewrite(
  part: string,
  options: RestoreOptions,
): Promise<Restored> {
  const { clock, bumpRevision } = options;
  let compactRevision: number;
  let alarms: { key: Uint8Array; value: Uint8Array }[];
  {
    using file = StoreFile.open(`${part}/${DATABASE_NAME}`, {
      isImmutable: false,
    });
    checkIntegrity(file);
    compactRevision = compactRevisionOf(file);
    alarms = file.state(StateKind.Alarm);
  }
  const backend = openBackend(`sqlite://${part}`, { clock });
  try {
    const head = await backend.open();
    const revision = head.revision + bumpRevision;
    if (!Number.isSafeInteger(revision)) {
      throw new BackupError(
        `Cannot raise revision ${head.revision} by ${bumpRevision}: the sum is too large`,
      );
    }
    const identity = new Identity();
    const state = identityState(identity);
    state.push(...ofMember(identity.memberId, alarms));
    if (bumpRevision > 0) {
      compactRevision = revision;
      state.push(compactChange(revision));
    }
    await append(backend, { head, revision, state, clock });
    const { clusterId, memberId } = identity;
    return { revision, compactRevision, clusterId, memberId };
  } finally {
    await backend.close();
  }
}

async function append(
  backend: Backend,
  { head, revision, state, clock }: {
    head: Head;
    revision: number;
    state: readonly StateChange[];
    clock: Clock;
  },
): Promise<void> {
  const batch: Batch = {
    seq: head.seq + 1,
    id: crypto.getRandomValues(new Uint8Array(16)),
    firstRev: head.revision + 1,
    lastRev: revision,
    timeMs: clock.wallMs(),
    rows: EMPTY.slice(),
    state,
  };
  const outcome = await backend.append(batch);
  assert(outcome === "committed", "nobody else writes to what is restored");
}

/** Alarms name the member that has them (see `Alarms`), and there is only the new one now. */
function ofMember(
  memberId: bigint,
  alarms: readonly { key: Uint8Array; value: Uint8Array }[],
): StateChange[] {
  const kind = StateKind.Alarm;
  const removed = alarms.map(({ key }) => ({ kind, key, value: undefined }));
  const added = alarms.map(({ key, value }) => {
    const moved = key.slice();
    new DataView(moved.buffer).setBigUint64(0, memberId);
    return { kind, key: moved, value };
  });
  return [...removed, ...added];
}

async function syncFile(path: string): Promise<void> {
  using file = await Deno.open(path, { read: true, write: true });
  await file.sync();
}

async function copyIfThere(from: string, to: string): Promise<void> {
  try {
    await Deno.copyFile(from, to);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
