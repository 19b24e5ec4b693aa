import { createHash, timingSafeEqual } from "node:crypto";
import { dirname, resolve } from "node:path";
import { BackupError } from "./backup_error.ts";
import {
  partPath,
  removeIfThere,
  syncDirectory,
  writeAll,
} from "./file_writes.ts";

/** SHA-256. */
export const CHECKSUM_BYTES = 32;

/**
 * A database's pages are a multiple of this, so that what remains of a file's size tells whether a checksum
 * stands behind them; etcd goes by the same rule (etcdutl/snapshot/v3_snapshot.go).
 */
const SECTOR_BYTES = 512;

const READ_BYTES = 1 << 20;

/** What a file is, by its first bytes. */
export type FileKind = "stele" | "etcd" | "other";

/** Told how far a long piece of work has come. */
export type OnProgress = (doneBytes: number, totalBytes: number) => void;

/** A snapshot file before anything in it is read. */
export interface SnapshotFileInfo {
  readonly kind: FileKind;
  /** With the checksum. */
  readonly sizeBytes: number;
  /** Without the checksum. */
  readonly dataBytes: number;
  readonly hasChecksum: boolean;
}

/** Looks at a file's size and first bytes. */
export async function inspectSnapshotFile(
  path: string,
): Promise<SnapshotFileInfo> {
  using file = await Deno.open(path, { read: true });
  const { size: sizeBytes, isFile } = await file.stat();
  if (!isFile) throw new BackupError(`Cannot read "${path}": it is no file`);
  const hasChecksum = sizeBytes % SECTOR_BYTES === CHECKSUM_BYTES;
  return {
    kind: kindOf(await readUpTo(file, HEAD_BYTES)),
    sizeBytes,
    dataBytes: hasChecksum ? sizeBytes - CHECKSUM_BYTES : sizeBytes,
    hasChecksum,
  };
}

/**
 * Compares a snapshot with the SHA-256 at its end, and copies what stands before it to `copyTo`, if that is
 * given: a new file, which is synced. Throws `BackupError` if they differ, or if there is no checksum and it
 * must not be skipped.
 */
export async function verifySnapshotFile(
  path: string,
  options: {
    skipHashCheck: boolean;
    copyTo?: string;
    onProgress?: OnProgress;
    signal?: AbortSignal;
  },
): Promise<SnapshotFileInfo> {
  const info = await inspectSnapshotFile(path);
  if (!info.hasChecksum && !options.skipHashCheck) {
    throw new BackupError(
      `Cannot trust "${path}": there is no checksum at its end; it was cut off, or copied ` +
        `from a data directory (--skip-hash-check takes it all the same)`,
    );
  }
  using file = await Deno.open(path, { read: true });
  using copy = options.copyTo === undefined ? undefined : await Deno.open(
    options.copyTo,
    { createNew: true, write: true, mode: 0o600 },
  );
  const hash = createHash("sha256");
  let done = 0;
  while (done < info.dataBytes) {
    options.signal?.throwIfAborted();
    const bytes = await readUpTo(
      file,
      Math.min(READ_BYTES, info.dataBytes - done),
    );
    if (bytes.length === 0) {
      throw new BackupError(`Cannot read "${path}": it became shorter`);
    }
    hash.update(bytes);
    if (copy !== undefined) await writeAll(copy, bytes);
    done += bytes.length;
    options.onProgress?.(done, info.dataBytes);
  }
  if (info.hasChecksum && !options.skipHashCheck) {
    const expected = await readUpTo(file, CHECKSUM_BYTES);
    if (!equalDigests(hash.digest(), expected)) {
      throw new BackupError(
        `Cannot trust "${path}": its SHA-256 is not the one at its end; the file is damaged`,
      );
    }
  }
  await copy?.sync();
  return info;
}

/**
 * Writes a snapshot that arrives in pieces, its checksum last, whole or not at all: under a name of its own,
 * compared, synced, then renamed. Returns the file's size.
 *
 * `addChecksum`: what arrives has no checksum yet, and gets one.
 */
export async function writeSnapshotFile(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  options: { addChecksum: boolean; signal?: AbortSignal },
): Promise<number> {
  const part = partPath(path);
  await removeIfThere(part);
  try {
    const size = await receive(part, chunks, options);
    await Deno.rename(part, path);
    await syncDirectory(dirname(resolve(path)));
    return size;
  } catch (error) {
    await removeIfThere(part);
    throw error;
  }
}

async function receive(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  options: { addChecksum: boolean; signal?: AbortSignal },
): Promise<number> {
  using file = await Deno.open(path, {
    createNew: true,
    write: true,
    mode: 0o600,
  });
  const hash = createHash("sha256");
  // The last bytes that arrived are held back: they may be the checksum.
  let held: Uint8Array = new Uint8Array(0);
  let size = 0;
  for await (const chunk of chunks) {
    options.signal?.throwIfAborted();
    if (options.addChecksum) hash.update(chunk);
    else held = hashAllButLast(hash, [held, chunk]);
    await writeAll(file, chunk);
    size += chunk.length;
  }
  options.signal?.throwIfAborted();
  const digest = hash.digest();
  if (options.addChecksum) {
    await writeAll(file, digest);
    size += digest.length;
  } else if (
    size % SECTOR_BYTES !== CHECKSUM_BYTES || !equalDigests(digest, held)
  ) {
    throw new BackupError(
      "Cannot save the snapshot: what arrived does not have the SHA-256 that was sent with it",
    );
  }
  await file.sync();
  return size;
}

/** Hashes `held` and `chunk` except for the last bytes of both together, which are returned. */
function hashAllButLast(
  hash: ReturnType<typeof createHash>,
  [held, chunk]: [held: Uint8Array, chunk: Uint8Array],
): Uint8Array {
  if (chunk.length >= CHECKSUM_BYTES) {
    hash.update(held);
    const end = chunk.length - CHECKSUM_BYTES;
    hash.update(chunk.subarray(0, end));
    return chunk.slice(end);
  }
  const both = new Uint8Array(held.length + chunk.length);
  both.set(held);
  both.set(chunk, held.length);
  const end = Math.max(0, both.length - CHECKSUM_BYTES);
  hash.update(both.subarray(0, end));
  return both.slice(end);
}

const HEAD_BYTES = 32;
const SQLITE_MAGIC = "SQLite format 3\0";
/** In the first page's meta: bbolt's `common.Magic`, little-endian, behind a page header of 16 bytes. */
const BBOLT_MAGIC = 0xed0cdaed;
const BBOLT_MAGIC_AT = 16;

function kindOf(head: Uint8Array): FileKind {
  if (head.length < HEAD_BYTES) return "other";
  const start = String.fromCharCode(...head.subarray(0, SQLITE_MAGIC.length));
  if (start === SQLITE_MAGIC) return "stele";
  const magic = new DataView(head.buffer, head.byteOffset)
    .getUint32(BBOLT_MAGIC_AT, true);
  return magic === BBOLT_MAGIC ? "etcd" : "other";
}

/** Throws `BackupError` for a file that is not a database, of Stele or of etcd; else returns `info`. */
export function checkKind(
  path: string,
  info: SnapshotFileInfo,
): SnapshotFileInfo {
  if (info.kind !== "other") return info;
  throw new BackupError(
    `Cannot use "${path}": it is neither a snapshot of Stele nor one of etcd`,
  );
}

function equalDigests(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Fewer bytes at the end of the file only. */
async function readUpTo(
  file: Deno.FsFile,
  count: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(count);
  let at = 0;
  while (at < count) {
    const n = await file.read(bytes.subarray(at));
    if (n === null) break;
    at += n;
  }
  return bytes.subarray(0, at);
}
