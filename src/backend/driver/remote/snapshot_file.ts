import { DatabaseSync } from "node:sqlite";
import { addChecksum, batchChecksum, rowChecksum } from "../../checksum.ts";
import { addState } from "../sqlite/checksums.ts";
import { configure, createOrCheckSchema } from "../sqlite/schema.ts";
import { INSERT_BATCH, INSERT_ROW, STATE_SQL } from "../sqlite/sql.ts";
import type { LogReader, StoredRow } from "./dialect.ts";
import { rowPages, stateChanges } from "./pages.ts";
import { RowOutput } from "./row_output.ts";

/**
 * A snapshot of a remote database: the bytes of a file as the embedded driver has it, so that one command restores
 * the snapshots of every engine, into any.
 *
 * It is built in memory, in the worker, which may not touch a file: it takes as much memory as the store is large.
 */
export async function snapshotFile(reader: LogReader): Promise<Uint8Array> {
  const db = new DatabaseSync(":memory:");
  try {
    configure(db, { synchronous: "off", maxPageCount: 0 });
    createOrCheckSchema(db, "snapshot");
    const head = await reader.head();
    db.exec("BEGIN");
    const stateSum = await copyState(reader, db);
    const rowsSum = await copyRows(reader, db, head.revision);
    if (head.seq > 0) {
      const batch = {
        seq: head.seq,
        id: new Uint8Array(16),
        firstRev: head.revision + 1,
        lastRev: head.revision,
        timeMs: 0,
        ops: new Uint8Array(0),
        rowsSum,
        stateSum,
      };
      const { seq, id, firstRev, lastRev, timeMs, ops } = batch;
      db.prepare(INSERT_BATCH).run(
        ...[seq, id, firstRev, lastRev, timeMs, ops],
        ...[rowsSum, stateSum, batchChecksum(batch)],
      );
    }
    db.exec("COMMIT");
    return serialize(db);
  } finally {
    db.close();
  }
}

async function copyState(reader: LogReader, db: DatabaseSync): Promise<number> {
  let sum = 0;
  for await (const changes of stateChanges(reader)) {
    for (const { kind, key, value } of changes) {
      if (value === undefined) continue;
      db.prepare(STATE_SQL[kind].upsert).run(key, value);
      sum = addState(sum, { kind, key, value });
    }
  }
  return sum;
}

async function copyRows(
  reader: LogReader,
  db: DatabaseSync,
  throughRev: number,
): Promise<number> {
  const insert = db.prepare(INSERT_ROW);
  let sum = 0;
  const range = { afterRev: 0, throughRev, ahead: true };
  for await (const rows of rowPages(reader, range)) {
    for (const row of rows) {
      const crc = checksumOf(row);
      const { rev, sub, bytes, keyBytes, createRev, version } = row;
      insert.run(
        ...[rev, sub, bytes.subarray(0, keyBytes), bytes.subarray(keyBytes)],
        ...[createRev, version, BigInt(row.lease), Number(row.deleted), crc],
      );
      sum = addChecksum(sum, crc);
    }
  }
  return sum;
}

function checksumOf(row: StoredRow): number {
  const out = new RowOutput();
  out.addRecord(row);
  return rowChecksum(out.take(), row);
}

/** Missing in the types of `node:sqlite`; in Deno since 2.9. */
function serialize(db: DatabaseSync): Uint8Array {
  return (db as DatabaseSync & { serialize(): Uint8Array }).serialize();
}
