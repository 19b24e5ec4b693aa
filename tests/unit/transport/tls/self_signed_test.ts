import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { readCertificate } from "../../../../src/transport/tls/certificate.ts";
import { isForHost } from "../../../../src/transport/tls/host_name.ts";
import {
  ensureSelfSigned,
  type SelfSignedOptions,
} from "../../../../src/transport/tls/self_signed.ts";
import { FakeClock } from "../../../support/fake_clock.ts";
import { CapturingLogger } from "../../../support/log.ts";

const YEAR_MS = 365 * 24 * 3_600_000;

interface Setting {
  readonly options: SelfSignedOptions;
  readonly clock: FakeClock;
  readonly log: CapturingLogger;
}

function test(name: string, run: (setting: Setting) => void): void {
  Deno.test(`ensureSelfSigned() ${name}`, () => {
    const parent = Deno.makeTempDirSync();
    const [clock, log] = [new FakeClock(), new CapturingLogger()];
    const options = {
      directory: join(parent, "fixtures", "client"),
      hosts: ["localhost", "10.0.0.1"],
      validityYears: 2,
      clock,
      log,
    };
    try {
      run({ options, clock, log });
    } finally {
      Deno.removeSync(parent, { recursive: true });
    }
  });
}

test("makes a certificate for the hosts and the time that were asked for", ({ options, clock, log }) => {
  const { certFile, keyFile } = ensureSelfSigned(options);
  const certificate = new X509Certificate(Deno.readFileSync(certFile));
  assert.ok(certificate.verify(certificate.publicKey));
  const fields = readCertificate(certificate.raw);
  for (const host of options.hosts) assert.ok(isForHost(fields, host), host);
  assert.ok(fields.notBeforeMs < clock.wallMs());
  assert.equal(fields.notAfterMs, clock.wallMs() + 2 * YEAR_MS);
  assert.equal(Deno.statSync(keyFile).mode! & 0o777, 0o600);
  assert.equal(log.entries.length, 1);
});

test("uses what is there until it has expired", ({ options, clock }) => {
  const { certFile } = ensureSelfSigned(options);
  const first = Deno.readTextFileSync(certFile);
  clock.advance(2 * YEAR_MS - 1);
  ensureSelfSigned(options);
  assert.equal(Deno.readTextFileSync(certFile), first);
  clock.advance(1);
  ensureSelfSigned(options);
  assert.notEqual(Deno.readTextFileSync(certFile), first);
});

test("makes another where one of the files is gone or broken", ({ options }) => {
  const { certFile, keyFile } = ensureSelfSigned(options);
  let last = Deno.readTextFileSync(certFile);
  for (
    const spoil of [
      () => Deno.removeSync(certFile),
      () => Deno.removeSync(keyFile),
      () => Deno.writeTextFileSync(certFile, "x"),
    ]
  ) {
    spoil();
    ensureSelfSigned(options);
    const now = Deno.readTextFileSync(certFile);
    assert.notEqual(now, last);
    last = now;
  }
});
