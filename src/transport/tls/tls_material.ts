import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync, type Stats, statSync } from "node:fs";
import type { TlsOptions } from "./tls_options.ts";
import { readPem } from "./pem.ts";
import { RevocationList } from "./revocation_list.ts";

/** What the files hold, checked. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  /** Undefined: clients are not asked for certificates. */
  readonly ca: string | undefined;
  readonly authorities: readonly X509Certificate[];
  readonly revocations: readonly RevocationList[];
}

/** A file others may read is for everyone on the machine. */
const GROUP_AND_OTHERS_READ = 0o044;

/** What the runtime can sign with; it would take another key, and fail every handshake. */
const MIN_RSA_BITS = 2048;
const CURVES: readonly string[] = ["prime256v1", "secp384r1", "secp521r1"];

/** Reads all files. Throws, with the name of the file, for what is not there or cannot be used together. */
export function readMaterial(options: TlsOptions): TlsMaterial {
  const { certFile, keyFile, trustedCaFile, clientCrlFile } = options;
  const cert = readText(certFile);
  const [certificate] = certificatesOf(certFile, cert);
  const key = readText(keyFile);
  const privateKey = attempt(
    `Cannot use key "${keyFile}"`,
    () => createPrivateKey(key),
  );
  if (!isUsable(privateKey)) {
    throw new Error(
      `Cannot use key "${keyFile}": it must be RSA of at least ${MIN_RSA_BITS} bits, ` +
        `ECDSA on P-256, P-384 or P-521, or Ed25519`,
    );
  }
  if (!certificate!.checkPrivateKey(privateKey)) {
    throw new Error(
      `Cannot use key "${keyFile}": it does not belong to the certificate "${certFile}"`,
    );
  }
  const ca = trustedCaFile === "" ? undefined : readText(trustedCaFile);
  const authorities = ca === undefined ? [] : certificatesOf(trustedCaFile, ca);
  const revocations = clientCrlFile === "" ? [] : attempt(
    `Cannot use revocation list "${clientCrlFile}"`,
    () => RevocationList.readAll(readFileSync(clientCrlFile), authorities),
  );
  return { cert, key, ca, authorities, revocations };
}

/** What changes when a file does, or when another is put in its place; a file that is missing is a state too. */
export function stampOf(options: TlsOptions): string {
  const { certFile, keyFile, trustedCaFile, clientCrlFile } = options;
  return [certFile, keyFile, trustedCaFile, clientCrlFile].map((file) => {
    const stats = file === "" ? undefined : statOf(file);
    if (stats === undefined) return "";
    const { dev, ino, mode, size, mtimeMs } = stats;
    return [dev, ino, mode, size, mtimeMs].join(":");
  }).join("|");
}

/** Whether users other than the key's owner may read it. */
export function isReadByOthers(keyFile: string): boolean {
  const stats = statOf(keyFile);
  return stats !== undefined && (stats.mode & GROUP_AND_OTHERS_READ) !== 0;
}

function isUsable(
  { asymmetricKeyType: kind, asymmetricKeyDetails: details = {} }: KeyObject,
): boolean {
  switch (kind) {
    case "rsa":
      return (details.modulusLength ?? 0) >= MIN_RSA_BITS;
    case "ec":
      return CURVES.includes(details.namedCurve ?? "");
    default:
      return kind === "ed25519";
  }
}

function statOf(file: string): Stats | undefined {
  try {
    return statSync(file);
  } catch {
    return undefined; // reading it says why
  }
}

function readText(file: string): string {
  return attempt(`Cannot read "${file}"`, () => readFileSync(file, "utf8"));
}

function certificatesOf(file: string, text: string): X509Certificate[] {
  const what = `Cannot use certificate "${file}"`;
  const blocks = readPem(text, "CERTIFICATE");
  if (blocks.length === 0) throw new Error(`${what}: no certificate in it`);
  return attempt(what, () => blocks.map((der) => new X509Certificate(der)));
}

function attempt<T>(what: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw new Error(what, { cause });
  }
}
