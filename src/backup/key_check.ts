import type { FileBackend } from "../backend/driver/sqlite/file_backend.ts";
import type {
  RowFacts,
  StoreFile,
} from "../backend/driver/sqlite/store_file.ts";
import { Crc32c } from "../mvcc/hash.ts";
import {
  isLive,
  type KeyVersions,
  keyVersions,
  readableVersions,
} from "./key_versions.ts";
import { placeOf } from "./row_names.ts";
import type { Violations } from "./violation.ts";

/** What the rows of a store amount to, computed from nothing but them. */
export interface KeySummary {
  /** As HashKV at the newest revision. */
  readonly hash: number;
  readonly liveKeys: number;
  /** Rows that compaction has yet to remove. */
  readonly leftoverRows: number;
}

/** Goes through all keys in order and adds up what they are; `onKey` sees each of them. */
export function summarizeKeys(
  file: StoreFile,
  backend: FileBackend,
  options: {
    readonly compactRevision: number;
    readonly onKey?: (versions: KeyVersions) => void;
  },
): KeySummary {
  const crc = new Crc32c();
  const id = new Uint8Array(16);
  const view = new DataView(id.buffer);
  let liveKeys = 0;
  let leftoverRows = 0;
  for (const versions of keyVersions(file, options.compactRevision)) {
    options.onKey?.(versions);
    if (isLive(versions)) liveKeys++;
    leftoverRows += versions.leftover.length;
    for (const row of readableVersions(versions)) {
      if (!hasSafeNumbers(row)) continue; // a violation already, and no record
      const record = backend.recordOf(row);
      if (record === undefined) continue; // SQLite's own check tells of an index without its row
      view.setFloat64(0, row.rev);
      view.setFloat64(8, row.sub);
      crc.update(id);
      crc.update(record);
    }
  }
  return { hash: crc.value, liveKeys, leftoverRows };
}

function hasSafeNumbers({ createRev, version }: RowFacts): boolean {
  return Number.isSafeInteger(createRev) && Number.isSafeInteger(version);
}

/** Checks that each change of a key follows from the one before it, and that its lease exists. */
export function checkKey(
  versions: KeyVersions,
  leases: ReadonlySet<bigint>,
  violations: Violations,
): void {
  let current: RowFacts | undefined = versions.base;
  for (const row of versions.later) {
    const problem = problemAfter(current, row);
    if (problem !== undefined) {
      violations.add("key-history", `${placeOf(row)}: ${problem}`);
    }
    current = row.deleted === 0 ? row : undefined;
  }
  if (current === undefined || current.lease === 0n) return;
  if (!leases.has(current.lease)) {
    const id = BigInt.asUintN(64, current.lease).toString(16);
    violations.add(
      "lease-missing",
      `${placeOf(current)}: there is no lease ${id}`,
    );
  }
}

/** `before` is the version that the key had; undefined if it did not exist. */
function problemAfter(
  before: RowFacts | undefined,
  row: RowFacts,
): string | undefined {
  if (row.deleted !== 0) {
    return before === undefined
      ? "it deletes a key that did not exist"
      : undefined;
  }
  const version = (before?.version ?? 0) + 1;
  const createRev = before?.createRev ?? row.rev;
  if (row.version === version && row.createRev === createRev) return undefined;
  return `version ${row.version} created at ${row.createRev}, ` +
    `where version ${version} created at ${createRev} was to come`;
}
