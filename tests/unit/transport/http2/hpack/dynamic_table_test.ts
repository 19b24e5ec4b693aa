import assert from "node:assert/strict";
import { DynamicTable } from "../../../../../src/transport/http2/hpack/dynamic_table.ts";

/** Size of an entry with a name and a value of one byte. */
const ENTRY = 34;

function names(table: DynamicTable): string[] {
  const names: string[] = [];
  for (let i = 0; i < table.length; i++) names.push(table.at(i)!.name);
  return names;
}

Deno.test("DynamicTable.add() evicts the oldest entries when the table is full", () => {
  const table = new DynamicTable(3 * ENTRY);
  for (const name of "abc") table.add(name, "1", 0);
  assert.deepEqual(names(table), ["c", "b", "a"]);
  table.add("d", "1", 0);
  assert.deepEqual(names(table), ["d", "c", "b"]);
  assert.equal(table.bytes, 3 * ENTRY);
  table.add("e", "12", 0);
  assert.deepEqual(names(table), ["e", "d"]);
});

Deno.test("DynamicTable.add() empties the table for an entry that is larger", () => {
  const table = new DynamicTable(2 * ENTRY);
  table.add("a", "1", 0);
  table.add("b", "x".repeat(2 * ENTRY - 33), 0);
  assert.deepEqual(names(table), ["b"]);
  table.add("c", "x".repeat(2 * ENTRY - 32), 0);
  assert.deepEqual(names(table), []);
  assert.equal(table.bytes, 0);
});

Deno.test("DynamicTable keeps the order while its ring grows and turns", () => {
  const table = new DynamicTable(40 * (ENTRY + 2));
  for (let i = 100; i < 300; i++) {
    table.add(String(i), "1", 0);
    const expected: string[] = [];
    for (let j = i; j > Math.max(99, i - 40); j--) expected.push(String(j));
    assert.deepEqual(names(table), expected);
  }
});

Deno.test("DynamicTable.resize() evicts, and room comes back empty", () => {
  const table = new DynamicTable(4 * ENTRY);
  for (const name of "abcd") table.add(name, "1", 0);
  table.resize(2 * ENTRY);
  assert.deepEqual(names(table), ["d", "c"]);
  table.resize(4 * ENTRY);
  assert.deepEqual(names(table), ["d", "c"]);
  table.resize(0);
  assert.deepEqual(names(table), []);
});

Deno.test("DynamicTable.find() and findName() give the newest", () => {
  const table = new DynamicTable(4096);
  table.add("a", "1", 0);
  table.add("a", "2", 0);
  table.add("b", "1", 0);
  assert.equal(table.find("a", "1"), 2);
  assert.equal(table.findName("a"), 1);
  assert.equal(table.find("b", "2"), -1);
  assert.equal(table.findName("c"), -1);
});
