import type { DatabaseSync } from "node:sqlite";
import { equalBytes } from "../../../base/bytes.ts";
import {
  addChecksum,
  batchChecksum,
  NO_CHECKSUM,
  rowChecksum,
  stateChecksum,
  subtractSums,
} from "../../checksum.ts";
import { SCHEMA_VERSION_KEY } from "../../schema_version.ts";
import { StateKind } from "../../state_change.ts";
import { DamageError } from "./sqlite_error.ts";
import * as sql from "./sql.ts";
import { prepare } from "./statement.ts";
import type { CheckedBatchRow } from "./statements.ts";

/**
 * How the tables show that they are what was written: SQLite has no checksums of pages.
 *
 *   each row      its checksum
 *   each batch    its checksum; `rows_sum`, over all rows ever inserted; `state_sum`, over the state as it was then
 *   stele_removed the sum over all rows ever removed
 *
 * So rows and batches can be checked one by one, and rows and state that are missing, or there again, as a whole:
 * what the newest batch's `rows_sum` has more than `stele_removed` is the sum over the rows that are there. A batch
 * is written anyway, so that both sums cost it nothing; removing rows costs one more row for each transaction.
 */
export interface Sums {
  /** Over all rows ever inserted. */
  readonly rows: number;
  readonly state: number;
  /** Over all rows ever removed. */
  readonly removed: number;
}

/** Throws unless the row is what was written. */
export function checkRow(
  record: Uint8Array,
  row: {
    readonly rev: number;
    readonly sub: number;
    readonly deleted: boolean;
    readonly crc: number;
  },
): void {
  if (row.crc === NO_CHECKSUM || rowChecksum(record, row) === row.crc) return;
  throw corrupt(`row ${row.rev}/${row.sub} does not match its checksum`);
}

/** Throws unless the batch is what was written. */
export function checkBatch(batch: CheckedBatchRow): void {
  const [seq, id, firstRev, lastRev, timeMs, ops, rowsSum, stateSum, crc] =
    batch;
  if (crc === NO_CHECKSUM) return;
  const columns = {
    seq,
    id,
    firstRev,
    lastRev,
    timeMs,
    rowsSum,
    stateSum,
    ops,
  };
  if (id instanceof Uint8Array && ops instanceof Uint8Array) {
    if (batchChecksum(columns) === crc) return;
  }
  throw corrupt(`batch ${seq} does not match its checksum`);
}

/** Throws unless the rows that were read are those that there should be. */
export function checkRowsSum(found: number, sums: Sums): void {
  if (found === subtractSums(sums.rows, sums.removed)) return;
  throw corrupt("rows are missing, or there are more than were written");
}

/** Throws unless the state that was read is what there should be. */
export function checkStateSum(found: number, sums: Sums): void {
  if (found === sums.state) return;
  throw corrupt(
    "leases, users, alarms or settings do not match their checksum",
  );
}

/** The sum over all state that the tables hold. */
export function stateSumOf(db: DatabaseSync): number {
  let sum = 0;
  for (const kind of Object.values(StateKind)) {
    const entries = prepare<[key: Uint8Array, value: Uint8Array]>(
      db,
      sql.STATE_SQL[kind].after,
    ).all("", -1);
    for (const [key, value] of entries) {
      sum = addState(sum, { kind, key, value });
    }
  }
  return sum;
}

/** Adds an entry of state to a sum; the schema's version is none. */
export function addState(
  sum: number,
  entry: { kind: StateKind; key: Uint8Array; value: Uint8Array },
): number {
  const { kind, key, value } = entry;
  if (kind === StateKind.Meta && equalBytes(key, SCHEMA_VERSION_KEY)) {
    return sum;
  }
  return addChecksum(sum, stateChecksum(kind, key, value));
}

export function hasChecksums(db: DatabaseSync): boolean {
  return prepare<[number]>(db, sql.COUNT_CHECKSUM_COLUMNS).get()![0] > 0;
}

/** The error for what cannot be what was written. */
export function corrupt(what: string): DamageError {
  return new DamageError(what);
}
