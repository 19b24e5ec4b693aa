import assert from "node:assert/strict";
import { nearest } from "../../../src/config/nearest.ts";

Deno.test("nearest() finds the name that differs least", () => {
  assert.equal(nearest("servve", ["serve", "version"]), "serve");
  assert.equal(nearest("hel", ["version", "help", "heap"]), "help");
  assert.equal(nearest("name", ["name", "nam"]), "name");
});

Deno.test("nearest() finds nothing when all are far away", () => {
  assert.equal(nearest("xyz", ["serve", "help"]), undefined);
  assert.equal(nearest("", ["serve"]), undefined);
});
