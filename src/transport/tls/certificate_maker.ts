import { type KeyObject, sign } from "node:crypto";
import {
  contextTag,
  der,
  derBitString,
  derObjectId,
  derSequence,
  derTime,
  derUnsigned,
  Tag,
} from "./der.ts";
import { certificateAddress } from "./host_name.ts";

/** What a certificate is to say. */
export interface CertificateRequest {
  /** Most significant byte first. */
  readonly serial: Uint8Array;
  readonly subject: Uint8Array;
  readonly publicKey: KeyObject;
  readonly issuer: Uint8Array;
  /** On the curve P-256. */
  readonly issuerKey: KeyObject;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Default: not. */
  readonly isAuthority?: boolean;
  /** Names and addresses. */
  readonly hosts?: readonly string[];
  /** Default: both. */
  readonly usages?: readonly ("server" | "client")[];
}

const ECDSA_WITH_SHA256 = derSequence(derObjectId("1.2.840.10045.4.3.2"));
const TRUE = der(Tag.Boolean, Uint8Array.of(0xff));
const USAGES = {
  server: derObjectId("1.3.6.1.5.5.7.3.1"),
  client: derObjectId("1.3.6.1.5.5.7.3.2"),
} as const;
/** As bits of a BIT STRING whose first byte counts the unused ones. */
const KEY_USAGE_LEAF = Uint8Array.of(7, 0x80); // digitalSignature
const KEY_USAGE_AUTHORITY = Uint8Array.of(1, 0x06); // keyCertSign, cRLSign
const DNS_NAME = contextTag(2, false);
const IP_ADDRESS = contextTag(7, false);

/** A name of one attribute each, such as `{ "2.5.4.3": "common name" }`. */
export function distinguishedName(
  attributes: Readonly<Record<string, string>>,
): Uint8Array {
  const sets = Object.entries(attributes).map(([type, value]) =>
    der(
      Tag.Set,
      derSequence(
        derObjectId(type),
        der(Tag.Utf8String, new TextEncoder().encode(value)),
      ),
    )
  );
  return derSequence(...sets);
}

/** An X.509 certificate of version 3 (RFC 5280 §4.1), in DER. */
export function makeCertificate(request: CertificateRequest): Uint8Array {
  const { publicKey, issuerKey, notBeforeMs, notAfterMs } = request;
  const tbs = derSequence(
    der(contextTag(0, true), derUnsigned(Uint8Array.of(2))),
    derUnsigned(request.serial),
    ECDSA_WITH_SHA256,
    request.issuer,
    derSequence(derTime(notBeforeMs), derTime(notAfterMs)),
    request.subject,
    publicKey.export({ type: "spki", format: "der" }),
    der(contextTag(3, true), derSequence(...extensionsOf(request))),
  );
  return signedDer(tbs, issuerKey);
}

/** What is to be signed, with the kind of signature and the signature behind it. */
export function signedDer(tbs: Uint8Array, key: KeyObject): Uint8Array {
  const signature = sign("sha256", tbs, key);
  return derSequence(tbs, ECDSA_WITH_SHA256, derBitString(signature));
}

function extensionsOf(
  { isAuthority = false, hosts = [], usages = ["server", "client"] }:
    CertificateRequest,
): Uint8Array[] {
  const keyUsage = isAuthority ? KEY_USAGE_AUTHORITY : KEY_USAGE_LEAF;
  const extensions = [
    extension(
      "2.5.29.19",
      TRUE,
      isAuthority ? derSequence(TRUE) : derSequence(),
    ),
    extension("2.5.29.15", TRUE, der(Tag.BitString, keyUsage)),
  ];
  if (!isAuthority) {
    const list = usages.map((usage) => USAGES[usage]);
    extensions.push(extension("2.5.29.37", derSequence(...list)));
  }
  if (hosts.length > 0) {
    const names = hosts.map((host) => {
      const address = certificateAddress(host);
      return address === undefined
        ? der(DNS_NAME, new TextEncoder().encode(host))
        : der(IP_ADDRESS, address);
    });
    extensions.push(extension("2.5.29.17", derSequence(...names)));
  }
  return extensions;
}

/** The last part is the value. */
function extension(type: string, ...parts: Uint8Array[]): Uint8Array {
  const value = der(Tag.OctetString, parts.at(-1)!);
  return derSequence(derObjectId(type), ...parts.slice(0, -1), value);
}
