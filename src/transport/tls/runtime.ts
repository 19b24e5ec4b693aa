/** The first version on which all that `TlsAcceptor` relies on was tried; 2.7.11 has none of it. */
const FIRST_MINOR = 9;

/**
 * Why this version of Deno cannot serve TLS; undefined: it can. Before 2.9, `node:tls` does not do the server's side on
 * sockets that were accepted elsewhere, offers no protocols (ALPN), and does not ask clients for certificates: with
 * `client-cert-auth` it would let everyone in.
 */
export function tlsObstacle(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major > 2 || (major === 2 && minor >= FIRST_MINOR)) return undefined;
  return `Deno ${version} cannot check client certificates nor offer HTTP/2: ` +
    `2.${FIRST_MINOR} or later is needed`;
}
