import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/log.ts";
import { readCertificate } from "./certificate.ts";
import { distinguishedName, makeCertificate } from "./certificate_maker.ts";
import { readPem, writePem } from "./pem.ts";

export interface SelfSignedOptions {
  /** Where it is kept: `cert.pem` and `key.pem`. */
  readonly directory: string;
  /** Names and addresses it is made for. */
  readonly hosts: readonly string[];
  readonly validityYears: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** As etcd counts them. */
const YEAR_MS = 365 * 24 * 3_600_000;
/** Clocks of clients may be behind ours by this much. */
const BACKDATE_MS = 5 * 60_000;
const SERIAL_BYTES = 16;
const ORGANIZATION = "2.5.4.10";

/**
 * The files of a certificate that the server has made for itself: for encryption without any set-up, where clients do
 * not ask who the server is, or are given `cert.pem`. What is there is used until it expires.
 */
export function ensureSelfSigned(
  options: SelfSignedOptions,
): { readonly certFile: string; readonly keyFile: string } {
  const { directory, clock, log } = options;
  const certFile = join(directory, "cert.pem");
  const keyFile = join(directory, "key.pem");
  if (!isUsable(certFile, keyFile, clock.wallMs())) {
    const notAfterMs = make(certFile, keyFile, options);
    log.info("made a self-signed certificate", {
      certFile,
      notAfter: new Date(notAfterMs),
    });
  }
  return { certFile, keyFile };
}

function isUsable(certFile: string, keyFile: string, nowMs: number): boolean {
  try {
    readFileSync(keyFile);
    const [certificate] = readPem(
      readFileSync(certFile, "utf8"),
      "CERTIFICATE",
    );
    return certificate !== undefined &&
      nowMs < readCertificate(certificate).notAfterMs;
  } catch {
    return false; // not there, or not readable as what it should be: a new one is made
  }
}

function make(
  certFile: string,
  keyFile: string,
  { directory, hosts, validityYears, clock }: SelfSignedOptions,
): number {
  const { publicKey, privateKey } = generateKeyPairSync("ec", {
    namedCurve: "P-256",
  });
  const name = distinguishedName({ [ORGANIZATION]: "stele" });
  const now = clock.wallMs();
  const notAfterMs = now + validityYears * YEAR_MS;
  const certificate = makeCertificate({
    serial: randomBytes(SERIAL_BYTES),
    subject: name,
    publicKey,
    issuer: name,
    issuerKey: privateKey,
    notBeforeMs: now - BACKDATE_MS,
    notAfterMs,
    hosts,
    usages: ["server"],
  });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const key = privateKey.export({ type: "pkcs8", format: "pem" });
  replace(keyFile, String(key), 0o600);
  replace(certFile, writePem("CERTIFICATE", certificate), 0o644);
  return notAfterMs;
}

/** Nobody sees half of it, and the old file's mode does not stay. */
function replace(file: string, content: string, mode: number): void {
  const fresh = `${file}.new`;
  writeFileSync(fresh, content, { mode });
  renameSync(fresh, file);
}
