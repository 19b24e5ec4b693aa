import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readCertificate } from "../../../../src/transport/tls/certificate.ts";
import { writePem } from "../../../../src/transport/tls/pem.ts";
import { RevocationList } from "../../../../src/transport/tls/revocation_list.ts";
import { Authority, type Identity } from "../../../support/certificates.ts";

const ca = Authority.create("ca");
const other = Authority.create("other");
const both = [ca, other].map(({ cert }) => new X509Certificate(cert));

function isRevoked(list: RevocationList, { bytes }: Identity): boolean {
  const { serial } = readCertificate(bytes);
  return list.revokes(serial, new X509Certificate(bytes));
}

Deno.test("RevocationList revokes what it lists, and nothing of another authority", () => {
  const serial = Uint8Array.of(0x80, 1);
  const listed = ca.issue("listed", { serial });
  const [list] = RevocationList.readAll(ca.revoke([listed]), both);
  assert.ok(list !== undefined);
  assert.equal(isRevoked(list, listed), true);
  assert.equal(isRevoked(list, ca.issue("not listed")), false);
  assert.equal(isRevoked(list, other.issue("same number", { serial })), false);
  assert.equal(list.nextUpdateMs, undefined);
});

Deno.test("RevocationList.readAll() takes several lists in PEM", () => {
  const [a, b] = [ca.issue("a"), other.issue("b")];
  const nextUpdateMs = Date.UTC(2024, 1, 2);
  const pem = writePem("X509 CRL", ca.revoke([a], { nextUpdateMs })) +
    writePem("X509 CRL", other.revoke([b]));
  const lists = RevocationList.readAll(new TextEncoder().encode(pem), both);
  assert.deepEqual(lists.map((list) => isRevoked(list, a)), [true, false]);
  assert.deepEqual(lists.map((list) => isRevoked(list, b)), [false, true]);
  assert.equal(lists[0]?.nextUpdateMs, nextUpdateMs);
});

Deno.test("RevocationList.readAll() takes a list that is empty", () => {
  const [list] = RevocationList.readAll(ca.revoke([]), both);
  assert.equal(list?.serials.size, 0);
});

Deno.test("RevocationList.readAll() refuses what no authority has signed", () => {
  const forged = ca.revoke([ca.issue("a")]);
  assert.throws(
    () => RevocationList.readAll(forged, [new X509Certificate(other.cert)]),
    /none of the trusted authorities has signed it/,
  );
  // One bit of a serial number.
  const changed = forged.slice();
  changed[Math.floor(forged.length / 2)]! ^= 1;
  assert.throws(() => RevocationList.readAll(changed, both));
});

Deno.test("RevocationList.readAll() refuses a delta, an empty file, and a file cut short", () => {
  const delta = ca.revoke([], { extensions: ["2.5.29.27"] });
  assert.throws(() => RevocationList.readAll(delta, both), /it is a delta/);
  const numbered = ca.revoke([], { extensions: ["2.5.29.20"] });
  assert.equal(RevocationList.readAll(numbered, both).length, 1);
  const empty = new Uint8Array();
  assert.throws(
    () => RevocationList.readAll(empty, both),
    /no revocation list/,
  );
  const whole = ca.revoke([ca.issue("a")]);
  for (let n = 1; n < whole.length; n++) {
    assert.throws(() => RevocationList.readAll(whole.subarray(0, n), both));
  }
});
