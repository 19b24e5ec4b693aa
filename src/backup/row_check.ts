import type {
  RowFacts,
  StoreFile,
} from "../backend/driver/sqlite/store_file.ts";
import { MAX_SUB } from "../backend/row_block.ts";
import { placeOf } from "./row_names.ts";
import type { Violations } from "./violation.ts";

/** The first write of an empty store makes revision 2. */
const FIRST_REVISION = 2;

/** What the rows are held against. */
export interface LogBounds {
  /** -1 before the first compaction. */
  readonly compactRevision: number;
  /** Of the newest batch. */
  readonly lastRevision: number;
}

/**
 * Checks each row by itself, and that revisions above the compact revision are all there, each with the
 * sub-revisions 0, 1, 2… Below it compaction has taken what it liked. Returns the number of rows.
 */
export function checkRows(
  file: StoreFile,
  bounds: LogBounds,
  violations: Violations,
  onRow: (count: number) => void,
): number {
  let count = 0;
  const floor = Math.max(bounds.compactRevision, FIRST_REVISION - 1);
  let revision = floor;
  let sub = 0;
  for (const row of file.rows()) {
    onRow(++count);
    const problem = problemOf(row);
    if (problem !== undefined) {
      violations.add("row-malformed", `${placeOf(row)}: ${problem}`);
    }
    if (row.rev <= floor) continue;
    if (row.rev > bounds.lastRevision) {
      violations.add(
        "revision-beyond-log",
        `${placeOf(row)}: the log ends at ${bounds.lastRevision}`,
      );
    }
    if (row.rev !== revision) {
      if (row.rev > revision + 1) reportGap(revision + 1, row.rev - 1);
      revision = row.rev;
      sub = -1;
    }
    if (row.sub !== sub + 1) {
      violations.add(
        "sub-revision-gap",
        `${placeOf(row)}: ${revision}/${sub + 1} was to come next`,
      );
    }
    sub = row.sub;
  }
  if (revision < bounds.lastRevision) {
    reportGap(revision + 1, bounds.lastRevision);
  }
  return count;

  function reportGap(first: number, last: number): void {
    violations.add(
      "revision-missing",
      first === last
        ? `revision ${first}: it has no row`
        : `revisions ${first} to ${last}: they have no rows`,
    );
  }
}

function problemOf(row: RowFacts): string | undefined {
  const { rev, sub, createRev, version, lease } = row;
  if (!Number.isSafeInteger(rev) || rev < FIRST_REVISION) {
    return "no such revision is ever given";
  }
  if (sub < 0 || sub > MAX_SUB) return "no such sub-revision is ever given";
  if (row.key.length === 0) return "the key is empty";
  if (row.deleted === 1) {
    const isPlain = createRev === 0 && version === 0 && lease === 0n &&
      row.valueBytes === 0;
    return isPlain ? undefined : "a tombstone has a value, version or lease";
  }
  if (row.deleted !== 0) return `deleted is ${row.deleted}`;
  if (!Number.isSafeInteger(version) || version < 1) {
    return `version ${version}`;
  }
  if (createRev < FIRST_REVISION || createRev > rev) {
    return `create revision ${createRev}`;
  }
  if ((version === 1) !== (createRev === rev)) {
    return `version ${version} with create revision ${createRev}`;
  }
  return undefined;
}
