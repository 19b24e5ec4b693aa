import assert from "node:assert/strict";
import { isRuntimeFault } from "../../../src/base/runtime_fault.ts";

const FRAME =
  "    at TCP.#read (ext:deno_node/internal_binding/stream_wrap.ts:249:45)";

function thrown(...frames: string[]): Error {
  const error = new TypeError("Cannot read properties of undefined");
  error.stack = [`TypeError: ${error.message}`, ...frames].join("\n");
  return error;
}

Deno.test("isRuntimeFault() knows what was thrown by the reader of sockets alone", () => {
  assert.equal(isRuntimeFault(thrown(FRAME)), true);
  assert.equal(isRuntimeFault(thrown(FRAME, FRAME)), true);
});

Deno.test("isRuntimeFault() takes nothing else for it", () => {
  const ours = "    at Store.apply (file:///stele/src/mvcc/store.ts:1:1)";
  assert.equal(isRuntimeFault(thrown(ours)), false);
  assert.equal(isRuntimeFault(thrown(FRAME, ours)), false);
  assert.equal(isRuntimeFault(thrown()), false);
  assert.equal(isRuntimeFault(new Error("x")), false);
  assert.equal(isRuntimeFault(FRAME), false);
});
