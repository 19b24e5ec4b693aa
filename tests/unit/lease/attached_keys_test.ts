import assert from "node:assert/strict";
import { text, utf8 } from "../../../src/base/bytes.ts";
import { AttachedKeys } from "../../../src/lease/attached_keys.ts";

function names(keys: AttachedKeys): string[] {
  return keys.sorted().map((key) => text(key));
}

Deno.test("AttachedKeys.sorted() gives the keys in the order of bytes", () => {
  const keys = new AttachedKeys();
  assert.deepEqual(names(keys), []);
  for (const name of ["b", "a", "ab", "c"]) keys.add(utf8(name));
  assert.deepEqual(names(keys), ["a", "ab", "b", "c"]);
  assert.equal(keys.size, 4);
});

Deno.test("AttachedKeys.add() keeps a key once", () => {
  const keys = new AttachedKeys();
  const a = utf8("a");
  keys.add(a);
  keys.add(a);
  keys.add(utf8("a"));
  assert.equal(keys.size, 1);
});

Deno.test("AttachedKeys.delete() finds the array itself and an equal one, alone and among many", () => {
  for (const others of [[], ["b", "c"]]) {
    for (const isCopy of [false, true]) {
      const keys = new AttachedKeys();
      const a = utf8("a");
      keys.add(a);
      for (const other of others) keys.add(utf8(other));
      assert.equal(keys.delete(utf8("d")), false);
      assert.equal(keys.delete(isCopy ? utf8("a") : a), true);
      assert.equal(keys.delete(a), false);
      assert.deepEqual(names(keys), others);
      assert.equal(keys.size, others.length);
    }
  }
});

Deno.test("AttachedKeys.delete() of nothing", () => {
  assert.equal(new AttachedKeys().delete(utf8("a")), false);
});
