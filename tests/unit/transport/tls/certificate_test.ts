import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readCertificate } from "../../../../src/transport/tls/certificate.ts";
import { Authority } from "../../../support/certificates.ts";

const ca = Authority.create("ca");

Deno.test("readCertificate() reads what node:crypto reads", () => {
  const notBeforeMs = Date.UTC(2021, 2, 3, 4, 5, 6);
  const notAfterMs = Date.UTC(2055, 6, 7, 8, 9, 10);
  const { bytes } = ca.issue("some client", {
    hosts: ["a.example", "*.b.example", "10.0.0.1", "::1"],
    serial: Uint8Array.of(0xfe, 0xdc),
    notBeforeMs,
    notAfterMs,
  });
  const fields = readCertificate(bytes);
  const theirs = new X509Certificate(bytes);
  assert.equal(fields.serial, theirs.serialNumber.toLowerCase());
  assert.equal(fields.commonName, "some client");
  assert.equal(theirs.subject, "CN=some client");
  assert.equal(fields.notBeforeMs, notBeforeMs);
  assert.equal(fields.notAfterMs, notAfterMs);
  assert.deepEqual(fields.dnsNames, ["a.example", "*.b.example"]);
  assert.deepEqual(fields.ipAddresses.map((ip) => ip.length), [4, 16]);
  assert.ok(theirs.verify(new X509Certificate(ca.cert).publicKey));
  assert.equal(theirs.ca, false);
  assert.equal(new X509Certificate(ca.cert).ca, true);
});

Deno.test("readCertificate() does not take part of a name for a name", () => {
  const commonName = "client\nCN=root, CN=root";
  assert.equal(
    readCertificate(ca.issue(commonName).bytes).commonName,
    commonName,
  );
});

Deno.test("readCertificate() refuses a certificate that is cut short, wherever", () => {
  const { bytes } = ca.issue("client");
  for (let n = 0; n < bytes.length; n++) {
    assert.throws(() => readCertificate(bytes.subarray(0, n)));
  }
});
