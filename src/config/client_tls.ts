import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import { chooseSuites } from "../transport/tls/cipher_suites.ts";
import { ensureSelfSigned } from "../transport/tls/self_signed.ts";
import type { TlsOptions, TlsVersion } from "../transport/tls/tls_options.ts";
import type { Config } from "./config.ts";
import { listenUrls } from "./listen_urls.ts";
import { parseUrl } from "./urls.ts";

export { usesTls } from "./listen_urls.ts";

/** Where `auto-tls` keeps its certificate, below the data directory; as etcd. */
const SELF_SIGNED_DIRECTORY = ["fixtures", "client"];
/** Those a client on this machine may use. */
const LOCAL_HOSTS = ["localhost", "127.0.0.1", "::1"];

/** What to serve TLS with. Makes the certificate of `auto-tls` if there is none that is still valid. */
export function clientTlsOptions(
  config: Config,
  clock: Clock,
  log: Logger,
): TlsOptions {
  const { tls } = config;
  const { certFile, keyFile } = tls.certFile !== "" ? tls : ensureSelfSigned({
    directory: join(config.dataDir, ...SELF_SIGNED_DIRECTORY),
    hosts: certifiedHosts(config),
    validityYears: tls.selfSignedCertValidityYears,
    clock,
    log,
  });
  return {
    certFile,
    keyFile,
    trustedCaFile: tls.trustedCaFile,
    clientCertAuth: tls.clientCertAuth,
    clientCrlFile: tls.clientCrlFile,
    clientCertAllowedHostnames: tls.clientCertAllowedHostnames,
    minVersion: versionOf(tls.minVersion, "TLSv1.2"),
    maxVersion: versionOf(tls.maxVersion, "TLSv1.3"),
    cipherSuites: tls.cipherSuites,
  };
}

/** Tells of settings that will not do what they seem to. */
export function warnOfClientTls(config: Config, log: Logger): void {
  const { tls } = config;
  if (tls.autoTls && tls.certFile !== "") {
    log.warn("auto-tls is ignored: there is a cert-file");
  }
  const urls = listenUrls(config).filter((url) => !parseUrl(url).isSecure);
  const isMetricsOnly = urls.every((url) =>
    config.listenMetricsUrls.includes(url)
  );
  if (!isMetricsOnly && (tls.certFile !== "" || tls.autoTls)) {
    log.warn("addresses with http or unix are served without TLS", { urls });
  }
  if (!isMetricsOnly && tls.clientCertAuth) {
    log.warn("clients need no certificate at http or unix addresses", { urls });
  }
  const { unused } = chooseSuites(tls.cipherSuites);
  if (unused.length > 0) {
    log.warn("cipher suites that are never negotiated", { unused });
  }
}

function certifiedHosts(config: Config): string[] {
  const hosts = [...listenUrls(config), ...config.advertiseClientUrls]
    .map(parseUrl)
    .flatMap((target) => target.kind === "tcp" ? [target.host] : [])
    .filter((host) => host !== "");
  return [...new Set([...hosts, ...LOCAL_HOSTS])];
}

function versionOf(text: string, otherwise: TlsVersion): TlsVersion {
  switch (text) {
    case "TLS1.2":
      return "TLSv1.2";
    case "TLS1.3":
      return "TLSv1.3";
    default:
      return otherwise;
  }
}
