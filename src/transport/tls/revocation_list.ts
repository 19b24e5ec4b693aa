import { verify, type X509Certificate } from "node:crypto";
import { serialText } from "./certificate.ts";
import {
  contextTag,
  DerError,
  DerReader,
  hexText,
  readDerTime,
  Tag,
} from "./der.ts";
import { readPem } from "./pem.ts";

/** Ways to sign a list, by object identifier as hex: the hash, or null where the key alone says it. */
const SIGNATURE_HASHES: ReadonlyMap<string, string | null> = new Map([
  ["2a8648ce3d040302", "sha256"], // ECDSA
  ["2a8648ce3d040303", "sha384"],
  ["2a8648ce3d040304", "sha512"],
  ["2a864886f70d01010b", "sha256"], // RSA
  ["2a864886f70d01010c", "sha384"],
  ["2a864886f70d01010d", "sha512"],
  ["2b6570", null], // Ed25519
]);

const DELTA_INDICATOR = "551d1b";
const CERTIFICATE_ISSUER = "551d1d";

/**
 * Certificates that their authority has taken back (RFC 5280 §5).
 *
 * etcd compares serial numbers and nothing else. Here the list must be signed by one of the authorities, and speaks
 * of that authority's certificates only: two authorities may well use the same number.
 */
export class RevocationList {
  private constructor(
    readonly authority: X509Certificate,
    /** When the next list was to be there; undefined: it does not say. The list holds beyond it, as in etcd. */
    readonly nextUpdateMs: number | undefined,
    readonly serials: ReadonlySet<string>,
  ) {}

  /**
   * Reads a file with one list in DER, as etcd has it, or any number in PEM. Throws if there is none, or one that no
   * authority has signed, or one that says what cannot be heeded.
   */
  static readAll(
    file: Uint8Array,
    authorities: readonly X509Certificate[],
  ): RevocationList[] {
    const isDer = file[0] === Tag.Sequence;
    const blocks = isDer
      ? [file]
      : readPem(new TextDecoder().decode(file), "X509 CRL");
    if (blocks.length === 0) throw new DerError("no revocation list in it");
    return blocks.map((bytes) => RevocationList.#read(bytes, authorities));
  }

  /** Whether the list takes this certificate back. */
  revokes(serial: string, certificate: X509Certificate): boolean {
    // The signature is looked at only for a number that is on the list.
    return this.serials.has(serial) &&
      certificate.verify(this.authority.publicKey);
  }

  static #read(
    bytes: Uint8Array,
    authorities: readonly X509Certificate[],
  ): RevocationList {
    const outer = DerReader.of(bytes, Tag.Sequence);
    const signed = outer.read(Tag.Sequence);
    const algorithm = outer.enter(Tag.Sequence).read(Tag.ObjectId).content;
    const signature = outer.read(Tag.BitString).content;
    outer.end();

    const tbs = new DerReader(signed.content);
    tbs.readIf(Tag.Integer); // version
    tbs.read(Tag.Sequence); // signature algorithm again
    tbs.read(Tag.Sequence); // issuer
    readDerTime(tbs);
    const hasNext = tbs.nextTag === Tag.UtcTime ||
      tbs.nextTag === Tag.GeneralizedTime;
    const nextUpdateMs = hasNext ? readDerTime(tbs) : undefined;
    const serials = new Set<string>();
    const entries = tbs.readIf(Tag.Sequence);
    if (entries !== undefined) readEntries(entries.content, serials);
    const extensions = tbs.readIf(contextTag(0, true));
    tbs.end();
    if (extensions !== undefined) {
      const list = DerReader.of(extensions.content, Tag.Sequence);
      while (!list.isAtEnd) {
        refuse(list.enter(Tag.Sequence), DELTA_INDICATOR, "it is a delta");
      }
    }

    const hash = SIGNATURE_HASHES.get(hexText(algorithm));
    if (hash === undefined || signature[0] !== 0) {
      throw new DerError("its signature is of a kind that is not accepted");
    }
    const authority = authorities.find(({ publicKey }) =>
      isSigned(signed.raw, signature.subarray(1), { hash, publicKey })
    );
    if (authority === undefined) {
      throw new DerError("none of the trusted authorities has signed it");
    }
    return new RevocationList(authority, nextUpdateMs, serials);
  }
}

function isSigned(
  bytes: Uint8Array,
  signature: Uint8Array,
  { hash, publicKey }: {
    hash: string | null;
    publicKey: X509Certificate["publicKey"];
  },
): boolean {
  try {
    return verify(hash, bytes, publicKey, signature);
  } catch {
    return false; // the key is of another kind than the signature
  }
}

function readEntries(bytes: Uint8Array, serials: Set<string>): void {
  const list = new DerReader(bytes);
  while (!list.isAtEnd) {
    const entry = list.enter(Tag.Sequence);
    serials.add(serialText(entry.read(Tag.Integer).content));
    readDerTime(entry);
    if (entry.isAtEnd) continue;
    const extensions = entry.enter(Tag.Sequence);
    while (!extensions.isAtEnd) {
      const why = "it lists certificates of another authority";
      refuse(extensions.enter(Tag.Sequence), CERTIFICATE_ISSUER, why);
    }
  }
}

function refuse(extension: DerReader, type: string, why: string): void {
  if (hexText(extension.read(Tag.ObjectId).content) === type) {
    throw new DerError(`${why}, which is not supported`);
  }
}
