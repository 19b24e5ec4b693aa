import { BackendError, type BackendErrorKind, type RowId } from "../backend.ts";

/*
 * What every driver says to its worker, and hears of it: errors, ids of rows, records.
 */

/** A `BackendError` on its way between threads. */
export interface ErrorParts {
  readonly kind: BackendErrorKind;
  readonly message: string;
  readonly cure: string;
  readonly cause: string | undefined;
}

export function errorParts(error: BackendError): ErrorParts {
  const cause = error.cause instanceof Error ? error.cause.message : undefined;
  const { kind, message, cure } = error;
  return { kind, message, cure, cause };
}

/** The opposite of `errorParts`. */
export function errorOf(parts: ErrorParts): BackendError {
  const cause = parts.cause === undefined ? undefined : new Error(parts.cause);
  const { kind, cure } = parts;
  return new BackendError(parts.message, { kind, cure, cause });
}

/** Records of rows. */
export interface ValuesAnswer {
  /** The records, one behind the other. */
  readonly bytes: Uint8Array;
  /** Length of each record in the order asked for; `MISSING` where the row is gone. */
  readonly sizes: Uint32Array;
}

export const MISSING = 0xffffffff;

/** The records as views that share a buffer; undefined where the row is gone. */
export function recordsIn(
  { bytes, sizes }: ValuesAnswer,
): (Uint8Array | undefined)[] {
  const records: (Uint8Array | undefined)[] = [];
  let at = 0;
  for (const size of sizes) {
    if (size === MISSING) records.push(undefined);
    else records.push(bytes.subarray(at, at += size));
  }
  return records;
}

/** Row ids as pairs of numbers. */
export function packRowIds(rows: readonly RowId[]): Float64Array<ArrayBuffer> {
  const packed = new Float64Array(rows.length * 2);
  let at = 0;
  for (const { rev, sub } of rows) {
    packed[at++] = rev;
    packed[at++] = sub;
  }
  return packed;
}

/** The same bytes in a buffer that holds nothing else, so that it can be moved to another thread. */
export function ownBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length) {
    return bytes as Uint8Array<ArrayBuffer>;
  }
  return new Uint8Array(bytes);
}
