import type {
  RowFacts,
  StoreFile,
} from "../backend/driver/sqlite/store_file.ts";
import { equalBytes } from "../base/bytes.ts";

/** The rows of one key, oldest first, divided at the compact revision. */
export interface KeyVersions {
  readonly key: Uint8Array;
  /** Rows that compaction will remove: it removes them a few at a time, after it has answered. */
  readonly leftover: readonly RowFacts[];
  /** The newest up to the compact revision; undefined if the key did not exist there. */
  readonly base: RowFacts | undefined;
  /** All above the compact revision. */
  readonly later: readonly RowFacts[];
}

/** All keys in order; one key's rows are in memory at a time. */
export function* keyVersions(
  file: StoreFile,
  compactRevision: number,
): Generator<KeyVersions, void, undefined> {
  let rows: RowFacts[] = [];
  for (const row of file.rowsByKey()) {
    const first = rows[0];
    if (first !== undefined && !equalBytes(first.key, row.key)) {
      yield divide(rows, compactRevision);
      rows = [];
    }
    rows.push(row);
  }
  if (rows.length > 0) yield divide(rows, compactRevision);
}

/** The versions that some reader can see, oldest first. */
export function readableVersions(versions: KeyVersions): readonly RowFacts[] {
  return versions.base === undefined
    ? versions.later
    : [versions.base, ...versions.later];
}

/** Whether the key exists now. */
export function isLive(versions: KeyVersions): boolean {
  return (versions.later.at(-1) ?? versions.base)?.deleted === 0;
}

function divide(
  rows: readonly RowFacts[],
  compactRevision: number,
): KeyVersions {
  const at = rows.findIndex((row) => row.rev > compactRevision);
  const older = at < 0 ? rows : rows.slice(0, at);
  const newest = older.at(-1);
  const base = newest?.deleted === 0 ? newest : undefined;
  // The index keeps a tombstone that was written at the compact revision itself, as etcd's does.
  const isKept = base !== undefined || newest?.rev === compactRevision;
  return {
    key: rows[0]!.key,
    leftover: isKept ? older.slice(0, -1) : older,
    base,
    later: at < 0 ? [] : rows.slice(at),
  };
}
