import { FileBackend } from "../backend/driver/sqlite/file_backend.ts";
import { StoreFile } from "../backend/driver/sqlite/store_file.ts";
import { SCHEMA_VERSION } from "../backend/schema_version.ts";
import { BackupError } from "./backup_error.ts";
import { summarizeKeys } from "./key_check.ts";
import { compactRevisionOf } from "./snapshot_facts.ts";
import {
  checkKind,
  inspectSnapshotFile,
  type OnProgress,
  verifySnapshotFile,
} from "./snapshot_file.ts";

/** What a snapshot holds. */
export interface SnapshotStatus {
  /** As HashKV at `revision`: the server that it is of shows the same. */
  readonly hash: number;
  readonly revision: number;
  /** -1 before the first compaction. */
  readonly compactRevision: number;
  /** Keys that exist at `revision`. */
  readonly totalKey: number;
  /** Of the file, with its checksum. */
  readonly totalSize: number;
  /** Of the tables' layout. */
  readonly version: string;
  /** Of the newest write, milliseconds since the epoch; 0 if there was none. */
  readonly lastWriteMs: number;
  readonly hasChecksum: boolean;
}

/** Verifies a snapshot file, and tells what is in it. Throws `BackupError` or `BackendError`. */
export async function snapshotStatus(
  path: string,
  options: {
    skipHashCheck: boolean;
    onProgress?: OnProgress;
    signal?: AbortSignal;
  },
): Promise<SnapshotStatus> {
  const { kind } = checkKind(path, await inspectSnapshotFile(path));
  if (kind === "etcd") {
    throw new BackupError(
      `Cannot show "${path}": it is a snapshot of etcd, which etcdutl snapshot status shows; ` +
        `stele snapshot restore takes it`,
    );
  }
  const info = await verifySnapshotFile(path, options);
  using file = StoreFile.open(path, { isImmutable: true });
  checkIntegrity(file);
  const { revision, timeMs } = file.facts();
  const compactRevision = compactRevisionOf(file);
  const { hash, liveKeys } = summarizeKeys(file, new FileBackend(file), {
    compactRevision,
  });
  return {
    hash,
    revision,
    compactRevision,
    totalKey: liveKeys,
    totalSize: info.sizeBytes,
    version: String(SCHEMA_VERSION),
    lastWriteMs: timeMs,
    hasChecksum: info.hasChecksum,
  };
}

/** Throws `BackupError` if SQLite finds the file damaged. */
export function checkIntegrity(file: StoreFile): void {
  const problems = file.integrityProblems();
  if (problems.length === 0) return;
  throw new BackupError(
    `Cannot trust "${file.path}": SQLite finds it damaged: ${problems[0]}`,
  );
}
