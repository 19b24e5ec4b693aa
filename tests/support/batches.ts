import type { Batch } from "../../src/backend/backend.ts";
import { RecordColumns } from "../../src/backend/record.ts";
import { RowReader } from "../../src/backend/row_block.ts";
import { RowBlockWriter } from "../../src/backend/row_block_writer.ts";
import type { StateChange } from "../../src/backend/state_change.ts";
import { concatBytes, utf8 } from "../../src/base/bytes.ts";

/** One change of a key, spelled out. */
export interface Row {
  readonly rev: number;
  readonly sub: number;
  readonly key: Uint8Array;
  /** Undefined for a tombstone. */
  readonly put?: {
    readonly value: Uint8Array;
    readonly createRev: number;
    readonly version: number;
    readonly lease: bigint;
  };
}

/** A row block of `rows`. */
export function rowBlock(rows: readonly Row[]): Uint8Array<ArrayBuffer> {
  const out = new RowBlockWriter();
  const columns = new RecordColumns();
  for (const { rev, sub, key, put } of rows) {
    const source = concatBytes(key, put?.value ?? new Uint8Array(0));
    columns.keyStart = 0;
    columns.keyEnd = columns.valueStart = key.length;
    columns.valueEnd = source.length;
    columns.modRev = rev;
    columns.createRev = put?.createRev ?? 0;
    columns.version = put?.version ?? 0;
    const lease = BigInt.asUintN(64, put?.lease ?? 0n);
    columns.leaseHigh = Number(lease >> 32n);
    columns.leaseLow = Number(lease & 0xffffffffn);
    out.add(columns, { source, sub, deleted: put === undefined });
  }
  return out.take();
}

/** The rows of a block, for comparing. */
export function rowsOf(block: Uint8Array): Row[] {
  const reader = new RowReader(block);
  const columns = new RecordColumns();
  const rows: Row[] = [];
  while (reader.next()) {
    columns.read(block, reader.recordStart, reader.recordEnd);
    const key = block.slice(columns.keyStart, columns.keyEnd);
    const name = { rev: columns.modRev, sub: reader.sub, key };
    if (reader.deleted) rows.push(name);
    else {
      rows.push({
        ...name,
        put: {
          value: block.slice(columns.valueStart, columns.valueEnd),
          createRev: columns.createRev,
          version: columns.version,
          lease: BigInt(columns.lease),
        },
      });
    }
  }
  return rows;
}

/** The batch's revisions are those of `rows`, which may be none. */
export function batchOf(
  at: { seq: number; afterRev: number },
  rows: readonly Row[],
  state: readonly StateChange[] = [],
): Batch {
  return {
    seq: at.seq,
    id: crypto.getRandomValues(new Uint8Array(16)),
    firstRev: at.afterRev + 1,
    lastRev: rows.at(-1)?.rev ?? at.afterRev,
    timeMs: 1_700_000_000_000 + at.seq,
    rows: rowBlock(rows),
    state,
  };
}

export interface BatchShape {
  /** Revisions, each one put. Default 1. */
  readonly rows?: number;
  /** Bytes of each value. Default 512. */
  readonly valueBytes?: number;
  /** Instead of puts: tombstones, all in one revision. */
  readonly deletes?: number;
}

/** A batch like those of a busy server; the same arguments always give the same rows. */
export function makeBatch(
  seq: number,
  afterRev: number,
  shape: BatchShape = {},
): Batch {
  const rows: Row[] = [];
  if (shape.deletes !== undefined) {
    for (let sub = 0; sub < shape.deletes; sub++) {
      rows.push({ rev: afterRev + 1, sub, key: keyOf(sub) });
    }
    return batchOf({ seq, afterRev }, rows);
  }
  const value = new Uint8Array(shape.valueBytes ?? 512);
  for (let i = 0; i < value.length; i++) value[i] = seq + i;
  for (let i = 1; i <= (shape.rows ?? 1); i++) {
    const rev = afterRev + i;
    rows.push({
      rev,
      sub: 0,
      key: keyOf(rev),
      put: { value, createRev: rev, version: 1, lease: 0n },
    });
  }
  return batchOf({ seq, afterRev }, rows);
}

function keyOf(n: number): Uint8Array {
  return utf8(`/registry/things/default/${String(n).padStart(12, "0")}`);
}
