import assert from "node:assert/strict";
import { EMPTY, utf8 } from "../../../src/base/bytes.ts";
import {
  looksLikeHttp2,
  mayBeHttp1,
} from "../../../src/transport/http2_preface.ts";

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

Deno.test("mayBeHttp1() tells from what follows the method", () => {
  for (
    const head of [
      "G",
      "GET",
      "GET ",
      "GET / HTTP/1.1\r\n",
      "OPTIONS * HTTP/1.1\r\n",
      "GET http://host/ HTTP/1.1\r\n",
      "M".repeat(32) + " /",
    ]
  ) assert.equal(mayBeHttp1(utf8(head)), true, head);
  for (
    const head of [
      "INVALID CONNECTION PREFACE\r\n\r\n",
      "CONNECT example:443 HTTP/1.1\r\n",
      " / HTTP/1.1\r\n",
      "M".repeat(33),
      "M".repeat(33) + " /",
    ]
  ) assert.equal(mayBeHttp1(utf8(head)), false, head);
});
