import type { DatabaseSync } from "node:sqlite";
import { RowBlockWriter } from "../../row_block_writer.ts";
import {
  checkBatch,
  checkRowsSum,
  checkStateSum,
  hasChecksums,
  stateSumOf,
  type Sums,
} from "./checksums.ts";
import { RowScan } from "./row_scan.ts";
import * as sql from "./sql.ts";
import { prepare } from "./statement.ts";
import type { CheckedBatchRow } from "./statements.ts";

/**
 * Reads everything in a file that no server has open, and says which checksum does not match first; undefined if
 * all do, or if the file is of a schema that has none.
 */
export function checksumProblem(db: DatabaseSync): string | undefined {
  if (!hasChecksums(db)) return undefined;
  try {
    const sums = readSums(db);
    checkBatches(db);
    checkStateSum(stateSumOf(db), sums);
    checkRowsSum(scanRows(db), sums);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** As the newest batch and `stele_removed` have them. */
export function readSums(db: DatabaseSync): Sums {
  const last = prepare<CheckedBatchRow>(db, sql.SELECT_LAST_BATCH).get();
  const [removed] = prepare<[number]>(db, sql.SELECT_REMOVED).get() ?? [NaN];
  if (last === undefined) return { rows: 0, state: 0, removed };
  checkBatch(last);
  const [, , , , , , rows, state] = last;
  return { rows, state, removed };
}

function checkBatches(db: DatabaseSync): void {
  const statement = prepare<CheckedBatchRow>(
    db,
    sql.SELECT_CHECKED_BATCHES_AFTER,
  );
  let after = Number.MIN_SAFE_INTEGER;
  for (;;) {
    const slice = statement.all(after, BATCHES_PER_SLICE);
    for (const batch of slice) checkBatch(batch);
    if (slice.length < BATCHES_PER_SLICE) return;
    after = slice.at(-1)![0];
  }
}

/** The sum over all rows, each checked. */
function scanRows(db: DatabaseSync): number {
  const scan = new RowScan(db);
  const cursor = { rev: Number.MIN_SAFE_INTEGER, sub: -1 };
  const out = new RowBlockWriter();
  for (;;) {
    const slice = scan.next(cursor, Number.MAX_SAFE_INTEGER);
    if (slice === undefined) return scan.sum;
    scan.write(slice, out, { cursor, maxBytes: Infinity });
    out.take();
  }
}

const BATCHES_PER_SLICE = 1000;
