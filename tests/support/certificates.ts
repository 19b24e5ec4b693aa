import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import {
  distinguishedName,
  makeCertificate,
  signedDer,
} from "../../src/transport/tls/certificate_maker.ts";
import {
  contextTag,
  der,
  derObjectId,
  derSequence,
  derTime,
  derUnsigned,
} from "../../src/transport/tls/der.ts";
import { writePem } from "../../src/transport/tls/pem.ts";

const COMMON_NAME = "2.5.4.3";
const DAY_MS = 24 * 3_600_000;
/** The fake clock stands in 2023, the runtime's own checks in today: both must find certificates valid. */
const NOT_BEFORE_MS = Date.UTC(2020, 0);

export interface IssueOptions {
  /** Default: `localhost` and `127.0.0.1`. */
  readonly hosts?: readonly string[];
  /** Default: both. */
  readonly usages?: readonly ("server" | "client")[];
  readonly notBeforeMs?: number;
  /** Default: in thirty days. */
  readonly notAfterMs?: number;
  readonly isAuthority?: boolean;
  readonly serial?: Uint8Array;
}

/** A certificate and its key, in PEM, as the options of `node:tls` take them. */
export class Identity {
  readonly cert: string;
  readonly key: string;

  constructor(
    readonly name: Uint8Array,
    readonly serial: Uint8Array,
    readonly bytes: Uint8Array,
    readonly privateKey: KeyObject,
  ) {
    this.cert = writePem("CERTIFICATE", bytes);
    this.key = String(privateKey.export({ type: "pkcs8", format: "pem" }));
  }
}

/** Somebody who issues certificates, and takes them back. */
export class Authority {
  constructor(readonly identity: Identity) {}

  /** One that has signed itself. */
  static create(commonName: string): Authority {
    return new Authority(issue(undefined, commonName, { isAuthority: true }));
  }

  /** In PEM. */
  get cert(): string {
    return this.identity.cert;
  }

  issue(commonName: string, options: IssueOptions = {}): Identity {
    return issue(this.identity, commonName, options);
  }

  /** An authority below this one. */
  intermediate(commonName: string): Authority {
    return new Authority(this.issue(commonName, { isAuthority: true }));
  }

  /** A list in DER. */
  revoke(
    revoked: readonly Identity[],
    { nextUpdateMs, extensions = [] }: {
      /** Default: it does not say. */
      nextUpdateMs?: number;
      /** Object identifiers of empty extensions. */
      extensions?: readonly string[];
    } = {},
  ): Uint8Array {
    const entries = revoked.map(({ serial }) =>
      derSequence(derUnsigned(serial), derTime(NOT_BEFORE_MS))
    );
    const marks = extensions.map((type) =>
      derSequence(derObjectId(type), der(0x04, derSequence()))
    );
    const tbs = derSequence(
      derUnsigned(Uint8Array.of(1)),
      derSequence(derObjectId("1.2.840.10045.4.3.2")),
      this.identity.name,
      derTime(NOT_BEFORE_MS),
      ...(nextUpdateMs === undefined ? [] : [derTime(nextUpdateMs)]),
      ...(entries.length === 0 ? [] : [derSequence(...entries)]),
      ...(marks.length === 0
        ? []
        : [der(contextTag(0, true), derSequence(...marks))]),
    );
    return signedDer(tbs, this.identity.privateKey);
  }
}

/** One that has signed itself, and is nobody's authority. */
export function selfSigned(commonName: string): Identity {
  return issue(undefined, commonName, {});
}

function issue(
  issuer: Identity | undefined,
  commonName: string,
  {
    hosts = ["localhost", "127.0.0.1"],
    usages = ["server", "client"],
    notBeforeMs = NOT_BEFORE_MS,
    notAfterMs = Date.now() + 30 * DAY_MS,
    isAuthority = false,
    serial = randomBytes(16),
  }: IssueOptions,
): Identity {
  const { publicKey, privateKey } = generateKeyPairSync("ec", {
    namedCurve: "P-256",
  });
  const name = distinguishedName({ [COMMON_NAME]: commonName });
  const bytes = makeCertificate({
    serial,
    subject: name,
    publicKey,
    issuer: issuer?.name ?? name,
    issuerKey: issuer?.privateKey ?? privateKey,
    notBeforeMs,
    notAfterMs,
    isAuthority,
    hosts: isAuthority ? [] : hosts,
    usages,
  });
  return new Identity(name, serial, bytes, privateKey);
}
