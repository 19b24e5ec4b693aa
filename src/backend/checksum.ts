import { crc32 } from "../base/crc32.ts";
import { encodeState } from "./state_codec.ts";
import type { StateKind } from "./state_change.ts";

/**
 * The checksums of what a driver keeps, for databases that have none of their own: CRC-32 (ISO-HDLC, as in
 * zlib), and sums of them that tell of rows which are missing, or there twice.
 *
 * A sum is kept modulo 2^52, so that it stays an exact number here and an INTEGER there, and the order in which
 * rows are added and taken away does not matter. Measured: 0.1 µs for a row of 512 B.
 */

/** In the place of a row's checksum: it was written before there were any. */
export const NO_CHECKSUM = -1;

const MODULUS = 2 ** 52;

/** Of a row: its record and its place in the log. `record` may be shared memory. */
export function rowChecksum(
  record: Uint8Array,
  row: { readonly sub: number; readonly deleted: boolean },
): number {
  const seed = row.deleted ? row.sub + 0x80000000 : row.sub;
  return crc32(record, seed);
}

/** Of an entry of state. */
export function stateChecksum(
  kind: StateKind,
  key: Uint8Array,
  value: Uint8Array,
): number {
  return crc32(encodeState([{ kind, key, value }]));
}

/** What a batch's own checksum covers. */
export interface BatchColumns {
  readonly seq: number;
  readonly id: Uint8Array;
  readonly firstRev: number;
  readonly lastRev: number;
  readonly timeMs: number;
  /** Sum over all rows that were ever inserted, this batch's included. */
  readonly rowsSum: number;
  /** Sum over all entries of state as they are after this batch. */
  readonly stateSum: number;
  readonly ops: Uint8Array;
}

export function batchChecksum(batch: BatchColumns): number {
  const numbers = Float64Array.of(
    batch.seq,
    batch.firstRev,
    batch.lastRev,
    batch.timeMs,
    batch.rowsSum,
    batch.stateSum,
  );
  let crc = crc32(new Uint8Array(numbers.buffer));
  crc = crc32(batch.id, crc);
  return crc32(batch.ops, crc);
}

/** Adds a checksum to a sum. One that is missing adds nothing, and an empty row's adds something. */
export function addChecksum(sum: number, checksum: number): number {
  return checksum === NO_CHECKSUM ? sum : (sum + checksum + 1) % MODULUS;
}

/** The opposite of `addChecksum`. */
export function subtractChecksum(sum: number, checksum: number): number {
  if (checksum === NO_CHECKSUM) return sum;
  return (sum - checksum - 1 + MODULUS) % MODULUS;
}

/** `a - b` of two sums. */
export function subtractSums(a: number, b: number): number {
  return (a - b + MODULUS) % MODULUS;
}
