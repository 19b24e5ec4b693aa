import assert from "node:assert/strict";
import { EMPTY, utf8 } from "../../../src/base/bytes.ts";
import { looksLikeHttp2 } from "../../../src/transport/http2_preface.ts";

const PREFACE = utf8("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

Deno.test("looksLikeHttp2() waits for the whole preface, and not for what is none", () => {
  assert.equal(looksLikeHttp2(EMPTY), undefined);
  for (let n = 1; n < PREFACE.length; n++) {
    assert.equal(looksLikeHttp2(PREFACE.subarray(0, n)), undefined);
    const other = PREFACE.slice(0, n);
    other[n - 1]! ^= 1;
    assert.equal(looksLikeHttp2(other), false);
  }
  assert.equal(looksLikeHttp2(PREFACE), true);
  assert.equal(
    looksLikeHttp2(utf8("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore")),
    true,
  );
  for (const other of ["PUT / HTTP/1.1\r\n\r\n", "\0", "pri *"]) {
    assert.equal(looksLikeHttp2(utf8(other)), false);
  }
});
