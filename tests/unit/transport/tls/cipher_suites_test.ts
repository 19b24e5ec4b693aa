import assert from "node:assert/strict";
import {
  chooseSuites,
  NEGOTIABLE_SUITES,
} from "../../../../src/transport/tls/cipher_suites.ts";

Deno.test("chooseSuites() takes what the runtime has, by Go's old names too", () => {
  const { accepted, unused, unknown } = chooseSuites([
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
  ]);
  assert.deepEqual([...accepted], [
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
  ]);
  assert.deepEqual([unused, unknown], [[], []]);
});

Deno.test("chooseSuites() tells apart what is never used, what TLS 1.3 has, and what is no suite", () => {
  const { accepted, unused, unknown } = chooseSuites([
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_AES_128_GCM_SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
  ]);
  assert.equal(accepted.size, 0);
  assert.deepEqual(unused, ["TLS_RSA_WITH_RC4_128_SHA"]);
  assert.deepEqual(unknown, ["ECDHE-RSA-AES128-GCM-SHA256"]);
});

Deno.test("NEGOTIABLE_SUITES are taken as they are", () => {
  assert.equal(NEGOTIABLE_SUITES.length, 6);
  const { accepted } = chooseSuites(NEGOTIABLE_SUITES);
  assert.deepEqual([...accepted], NEGOTIABLE_SUITES);
});
