import { contextTag, DerReader, hexText, readDerTime, Tag } from "./der.ts";

/**
 * What we need to know of a certificate (RFC 5280), read from its DER. The texts that `node:crypto` makes of the same
 * fields leave it open where one name ends and the next begins.
 */
export interface CertificateFields {
  /** Most significant byte first, without leading zeros, as hex. */
  readonly serial: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** The last one if there are several, as Go has it; empty: none. */
  readonly commonName: string;
  readonly dnsNames: readonly string[];
  /** Four or sixteen bytes each. */
  readonly ipAddresses: readonly Uint8Array[];
}

const COMMON_NAME = "550403";
const SUBJECT_ALT_NAME = "551d11";
const DNS_NAME = contextTag(2, false);
const IP_ADDRESS = contextTag(7, false);
/** What DirectoryString may be, and the two that Go reads beside them. */
const STRING_LABELS: Readonly<Record<number, string>> = {
  0x0c: "utf-8",
  0x12: "ascii",
  0x13: "ascii",
  0x14: "latin1",
  0x16: "ascii",
  0x1e: "utf-16be",
};

/** Throws `DerError` if it is none. */
export function readCertificate(bytes: Uint8Array): CertificateFields {
  const tbs = DerReader.of(bytes, Tag.Sequence).enter(Tag.Sequence);
  tbs.readIf(contextTag(0, true)); // version
  const serial = serialText(tbs.read(Tag.Integer).content);
  tbs.read(Tag.Sequence); // signature algorithm
  tbs.read(Tag.Sequence); // issuer
  const validity = tbs.enter(Tag.Sequence);
  const notBeforeMs = readDerTime(validity);
  const notAfterMs = readDerTime(validity);
  const commonName = readCommonName(tbs.enter(Tag.Sequence));
  tbs.read(Tag.Sequence); // public key
  tbs.readIf(contextTag(1, false));
  tbs.readIf(contextTag(2, false));
  const names = { dnsNames: [] as string[], ipAddresses: [] as Uint8Array[] };
  const extensions = tbs.readIf(contextTag(3, true));
  if (extensions !== undefined) {
    const list = DerReader.of(extensions.content, Tag.Sequence);
    while (!list.isAtEnd) readExtension(list.enter(Tag.Sequence), names);
  }
  return { serial, notBeforeMs, notAfterMs, commonName, ...names };
}

/** A serial number as text that can be compared. */
export function serialText(content: Uint8Array): string {
  return hexText(content).replace(/^(00)+(?=.)/, "");
}

function readCommonName(name: DerReader): string {
  let commonName = "";
  while (!name.isAtEnd) {
    const attributes = name.enter(Tag.Set);
    while (!attributes.isAtEnd) {
      const attribute = attributes.enter(Tag.Sequence);
      const type = hexText(attribute.read(Tag.ObjectId).content);
      const { tag, content } = attribute.next();
      const label = STRING_LABELS[tag];
      if (type !== COMMON_NAME || label === undefined) continue;
      commonName = new TextDecoder(label, { fatal: true }).decode(content);
    }
  }
  return commonName;
}

function readExtension(
  extension: DerReader,
  names: { dnsNames: string[]; ipAddresses: Uint8Array[] },
): void {
  if (hexText(extension.read(Tag.ObjectId).content) !== SUBJECT_ALT_NAME) {
    return;
  }
  extension.readIf(Tag.Boolean); // critical
  const value = extension.read(Tag.OctetString).content;
  const list = DerReader.of(value, Tag.Sequence);
  while (!list.isAtEnd) {
    const { tag, content } = list.next();
    if (tag === DNS_NAME) {
      names.dnsNames.push(new TextDecoder().decode(content));
    }
    if (tag === IP_ADDRESS) names.ipAddresses.push(content);
  }
}
