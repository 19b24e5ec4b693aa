/**
 * Cipher suites by Go's names, which `--cipher-suites` uses, and whether the runtime can negotiate them. It has
 * rustls' suites: with TLS 1.2 the six that keep past traffic secret and cannot be tampered with.
 */
const TLS12_SUITES: ReadonlyMap<string, boolean> = new Map([
  ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", true],
  ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", true],
  ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", true],
  ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", true],
  ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", true],
  ["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", true],
  ["TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", false],
  ["TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", false],
  ["TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", false],
  ["TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", false],
  ["TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", false],
  ["TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", false],
  ["TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", false],
  ["TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", false],
  ["TLS_ECDHE_RSA_WITH_RC4_128_SHA", false],
  ["TLS_RSA_WITH_3DES_EDE_CBC_SHA", false],
  ["TLS_RSA_WITH_AES_128_CBC_SHA", false],
  ["TLS_RSA_WITH_AES_128_CBC_SHA256", false],
  ["TLS_RSA_WITH_AES_128_GCM_SHA256", false],
  ["TLS_RSA_WITH_AES_256_CBC_SHA", false],
  ["TLS_RSA_WITH_AES_256_GCM_SHA384", false],
  ["TLS_RSA_WITH_RC4_128_SHA", false],
]);

/** Names that Go knows too; TLS 1.3 leaves no choice of them. */
const TLS13_SUITES: ReadonlySet<string> = new Set([
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
]);

/** Older names, which etcd still takes. */
const ALIASES: ReadonlyMap<string, string> = new Map([
  [
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
  ],
  [
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
  ],
]);

/** The names of the suites of TLS 1.2 that can be negotiated. */
export const NEGOTIABLE_SUITES: readonly string[] = [...TLS12_SUITES]
  .filter(([, isNegotiable]) => isNegotiable).map(([name]) => name);

/** The suites of a list, sorted by what comes of them. */
export interface SuiteChoice {
  /** Of TLS 1.2, and negotiable. */
  readonly accepted: ReadonlySet<string>;
  /** Known, and never negotiated. */
  readonly unused: readonly string[];
  readonly unknown: readonly string[];
}

export function chooseSuites(names: readonly string[]): SuiteChoice {
  const accepted = new Set<string>();
  const unused: string[] = [];
  const unknown: string[] = [];
  for (const given of names) {
    const name = ALIASES.get(given) ?? given;
    const isNegotiable = TLS12_SUITES.get(name);
    if (isNegotiable === true) accepted.add(name);
    else if (isNegotiable === false) unused.push(given);
    else if (!TLS13_SUITES.has(name)) unknown.push(given);
  }
  return { accepted, unused, unknown };
}
