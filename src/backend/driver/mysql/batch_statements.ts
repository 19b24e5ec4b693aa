import { RecordColumns } from "../../record.ts";
import { RowReader } from "../../row_block.ts";
import { type NewBatch, ROW_OVERHEAD_BYTES } from "../remote/dialect.ts";
import { decimal, leaseText } from "../remote/row_output.ts";
import { stateId } from "../remote/state_id.ts";
import { bind, bytesLiteral } from "./literal.ts";
import type { ListStatement, MysqlSql } from "./sql.ts";

/**
 * The statements of the transaction that adds a batch, none longer than `maxBytes` unless a row or the batch's own
 * changes alone are.
 */
export function batchStatements(
  sql: MysqlSql,
  batch: NewBatch,
  maxBytes: number,
): string[] {
  const { tuples, addedBytes } = rowTuples(batch.rows);
  const { set, gone } = stateTuples(batch);
  const previousId = batch.previousId ?? new Uint8Array(0);
  const { seq, id, firstRev, lastRev, timeMs, ops } = batch;
  return [
    bind(sql.selectBefore, [seq - 1, previousId, previousId]),
    bind(sql.insertBatch, [
      ...[seq, id, firstRev, lastRev, timeMs, ops, addedBytes],
    ]),
    ...listStatements(sql.insertRows, tuples, maxBytes),
    ...listStatements(sql.replaceState, set, maxBytes),
    ...listStatements(sql.deleteState, gone, maxBytes),
  ];
}

/** As few statements as hold all the tuples. */
function listStatements(
  list: ListStatement,
  tuples: readonly string[],
  maxBytes: number,
): string[] {
  const statements: string[] = [];
  const fixedBytes = list.head.length + list.tail.length;
  let open = "";
  let count = 0;
  for (const tuple of tuples) {
    const bytes = fixedBytes + open.length + 1 + tuple.length;
    if (open !== "" && (count === list.maxTuples || bytes > maxBytes)) {
      statements.push(list.head + open + list.tail);
      open = "";
      count = 0;
    }
    open += open === "" ? tuple : `,${tuple}`;
    count++;
  }
  if (open !== "") statements.push(list.head + open + list.tail);
  return statements;
}

function rowTuples(rows: Uint8Array): { tuples: string[]; addedBytes: number } {
  const columns = new RecordColumns();
  const reader = new RowReader(rows);
  const tuples: string[] = [];
  let addedBytes = 0;
  while (reader.next()) {
    columns.read(rows, reader.recordStart, reader.recordEnd);
    const key = rows.subarray(columns.keyStart, columns.keyEnd);
    const value = rows.subarray(columns.valueStart, columns.valueEnd);
    tuples.push(
      `(${decimal(columns.modRev)},${decimal(reader.sub)},${
        bytesLiteral(key)
      },` +
        `${bytesLiteral(value)},${decimal(columns.createRev)},` +
        `${decimal(columns.version)},${leaseText(columns)},${
          reader.deleted ? 1 : 0
        })`,
    );
    addedBytes += key.length + value.length + ROW_OVERHEAD_BYTES;
  }
  return { tuples, addedBytes };
}

function stateTuples({ state }: NewBatch): { set: string[]; gone: string[] } {
  const set: string[] = [];
  const gone: string[] = [];
  for (const { kind, key, value } of state) {
    const id = `${decimal(kind)},${bytesLiteral(stateId(key))}`;
    if (value === undefined) gone.push(`(${id})`);
    else set.push(`(${id},${bytesLiteral(key)},${bytesLiteral(value)})`);
  }
  return { set, gone };
}
