import assert from "node:assert/strict";
import { RecordColumns } from "../../../src/backend/record.ts";
import { RowBlockWriter } from "../../../src/backend/row_block_writer.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import { rowsOf } from "../../support/batches.ts";

function columnsOf(source: Uint8Array, rev: number): RecordColumns {
  const columns = new RecordColumns();
  columns.keyEnd = columns.valueStart = 1;
  columns.valueEnd = source.length;
  columns.modRev = columns.createRev = rev;
  columns.version = 1;
  return columns;
}

Deno.test("RowBlockWriter.add() grows as far as it must", () => {
  const source = new Uint8Array(10_000).fill(5);
  const out = new RowBlockWriter({ expectedBytes: 16 });
  for (let rev = 1; rev <= 100; rev++) {
    out.add(columnsOf(source, rev), { source, sub: rev, deleted: false });
  }
  const size = out.byteLength;
  const block = out.take();
  assert.equal(block.length, size);
  assert.equal(block.buffer.byteLength, size);
  const rows = rowsOf(block);
  assert.equal(rows.length, 100);
  assert.deepEqual(rows[99]!.put!.value, source.subarray(1));
  assert.equal(rows[99]!.sub, 100);
});

Deno.test("RowBlockWriter.take() starts afresh", () => {
  const source = utf8("kv");
  const out = new RowBlockWriter();
  assert.equal(out.take().length, 0);
  out.add(columnsOf(source, 1), { source, sub: 0, deleted: true });
  assert.equal(rowsOf(out.take()).length, 1);
  assert.equal(out.byteLength, 0);
  out.add(columnsOf(source, 2), { source, sub: 0, deleted: false });
  assert.deepEqual(rowsOf(out.take()).map((row) => row.rev), [2]);
});

Deno.test("RowBlockWriter.addRecord() writes no header and says how long it was", () => {
  const source = utf8("kv");
  const out = new RowBlockWriter();
  const size = out.addRecord(columnsOf(source, 1), { source, deleted: false });
  const record = out.take();
  assert.equal(record.length, size);
  assert.equal(record[0], 0x0a);
});
