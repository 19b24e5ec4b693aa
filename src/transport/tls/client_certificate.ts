import { X509Certificate } from "node:crypto";
import type { DetailedPeerCertificate, TLSSocket } from "node:tls";
import { readCertificate } from "./certificate.ts";
import { isForHost } from "./host_name.ts";
import type { TlsMaterial } from "./tls_material.ts";

/** Longer chains are refused: each link costs a signature. */
const MAX_CHAIN = 10;

export interface ClientCheckOptions {
  /** One of them must be in the certificate; empty: any certificate will do. */
  readonly allowedHostnames: readonly string[];
  readonly nowMs: number;
}

/** What a client's certificate has come to. */
export type ClientVerdict =
  | { readonly isValid: true; readonly commonName: string }
  | { readonly isValid: false; readonly reason: string };

/**
 * Judges the certificate of a client whose handshake is done.
 *
 * The runtime has checked the chain, its purpose and its dates, but only in the handshake that was not a resumed one,
 * and against the authorities of that day: a session of an authority that has been removed since, or of a certificate
 * that has expired since, is resumed as `authorized` (seen on Deno 2.9.6). It knows no revocation lists at all. So
 * everything that can change is looked at here, each time.
 */
export function checkClient(
  socket: TLSSocket,
  { authorities, revocations }: TlsMaterial,
  { allowedHostnames, nowMs }: ClientCheckOptions,
): ClientVerdict {
  if (!socket.authorized) return refuse("not trusted");
  const chain = chainOf(socket);
  const leaf = chain[0];
  if (leaf === undefined) return refuse("none was given");
  const path = pathToAuthority(chain, authorities);
  if (path === undefined) return refuse("no trusted authority has issued it");
  const fields = readCertificate(leaf.raw);
  for (const certificate of path) {
    const { serial, notBeforeMs, notAfterMs } = readCertificate(
      certificate.raw,
    );
    if (nowMs < notBeforeMs) return refuse("it is not valid yet");
    if (nowMs > notAfterMs) return refuse("it has expired");
    if (revocations.some((list) => list.revokes(serial, certificate))) {
      return refuse("it has been revoked");
    }
  }
  if (
    allowedHostnames.length > 0 &&
    !allowedHostnames.some((host) => isForHost(fields, host))
  ) {
    return refuse("it is for none of client-cert-allowed-hostname");
  }
  return { isValid: true, commonName: fields.commonName };
}

function refuse(reason: string): ClientVerdict {
  return { isValid: false, reason };
}

/** What the client sent, its own certificate first. */
function chainOf(socket: TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let at: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (at?.raw !== undefined && chain.length < MAX_CHAIN) {
    chain.push(new X509Certificate(at.raw));
    if (at.issuerCertificate === at) break;
    at = at.issuerCertificate;
  }
  return chain;
}

/** The client's certificate and those between it and one of the authorities; undefined: there is no such path. */
function pathToAuthority(
  chain: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
): X509Certificate[] | undefined {
  const path: X509Certificate[] = [];
  for (const certificate of chain) {
    const below = path.at(-1);
    const isLinked = below === undefined ||
      (certificate.ca && isIssuedBy(below, certificate));
    if (!isLinked) return undefined;
    path.push(certificate);
    const isTrusted = authorities.some((authority) =>
      authority.raw.equals(certificate.raw) ||
      isIssuedBy(certificate, authority)
    );
    if (isTrusted) return path;
  }
  return undefined;
}

function isIssuedBy(
  certificate: X509Certificate,
  issuer: X509Certificate,
): boolean {
  return certificate.checkIssued(issuer) &&
    certificate.verify(issuer.publicKey);
}
