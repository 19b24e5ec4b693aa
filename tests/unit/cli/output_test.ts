import assert from "node:assert/strict";
import {
  byteSize,
  type Column,
  type OutputFormat,
  RowWriter,
} from "../../../src/cli/output.ts";
import { FakeProcess } from "../../support/fake_process.ts";

const COLUMNS: readonly Column[] = [
  { title: "KEY", name: "key" },
  { title: "SIZE", name: "size", align: "right", only: "people" },
  { title: "", name: "bytes", only: "json" },
];

function written(format: OutputFormat, rows: number): string {
  const process = new FakeProcess();
  const writer = new RowWriter(process, format, COLUMNS);
  for (let i = 0; i < rows; i++) {
    writer.write({ key: "k".repeat(i + 1), size: `${i} B`, bytes: i });
  }
  writer.flush();
  writer.flush();
  return process.out;
}

Deno.test("RowWriter aligns columns with simple", () => {
  assert.equal(written("simple", 2), "KEY  SIZE\nk     0 B\nkk    1 B\n");
  assert.equal(written("simple", 0), "KEY  SIZE\n");
});

Deno.test("RowWriter frames them with table", () => {
  assert.equal(
    written("table", 1),
    [
      "+-----+------+",
      "| KEY | SIZE |",
      "+-----+------+",
      "| k   |  0 B |",
      "+-----+------+",
      "",
    ].join("\n"),
  );
});

Deno.test("RowWriter writes an object a line with json", () => {
  assert.equal(
    written("json", 2),
    '{"key":"k","bytes":0}\n{"key":"kk","bytes":1}\n',
  );
  assert.equal(written("json", 0), "");
});

Deno.test("RowWriter writes rows of simple as they come, with wider columns later", () => {
  const process = new FakeProcess();
  const writer = new RowWriter(process, "simple", [
    { title: "A", name: "a" },
    { title: "B", name: "b" },
  ]);
  for (let i = 0; i < 200; i++) writer.write({ a: "x", b: i });
  const early = process.out;
  assert.equal(early.split("\n").length, 202);
  writer.write({ a: "wide", b: ["p", "q"] });
  assert.equal(process.out, early);
  writer.flush();
  assert.equal(process.out, early + "wide  p, q\n");
});

Deno.test("byteSize() changes the unit at its boundary", () => {
  assert.equal(byteSize(1023), "1023 B");
  assert.equal(byteSize(1024), "1.0 KiB");
  assert.equal(byteSize(20_480), "20 KiB");
  assert.equal(byteSize(2 * 1024 ** 3), "2.0 GiB");
  assert.equal(byteSize(5000 * 1024 ** 4), "5000 TiB");
});
