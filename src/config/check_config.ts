import { faultOfSettings } from "../backend/driver/remote/datastore_settings.ts";
import {
  chooseSuites,
  NEGOTIABLE_SUITES,
} from "../transport/tls/cipher_suites.ts";
import { tlsObstacle } from "../transport/tls/runtime.ts";
import type { Config } from "./config.ts";
import { ConfigError } from "./config_error.ts";
import { parseEndpoint } from "./endpoint.ts";
import { usesTls } from "./listen_urls.ts";
import { checkAdvertisedUrl, checkBindUrl, parseUrl } from "./urls.ts";

/** As etcd: an election that takes longer is a mistake. */
const MAX_ELECTION_TIMEOUT_MS = 50_000;
const MAX_UINT32 = 2 ** 32 - 1;
/** bcrypt's own bounds. */
const MIN_BCRYPT_COST = 4;
const MAX_BCRYPT_COST = 31;

/** Throws `ConfigError` for the first value that cannot be, alone or together with another. */
export function checkConfig(config: Config): void {
  const fault = faultOfSettings(config.datastore);
  need(fault === undefined, `Cannot use ${fault}`);
  parseEndpoint(config.endpoint, config.datastore);
  checkUrls(config);
  checkTimes(config);
  checkLimits(config);
  checkSnapshots(config);
  checkTls(config);
  checkAuth(config);
  checkLogOutputs(config.logOutputs);
}

function checkUrls(config: Config): void {
  config.listenClientUrls.forEach(checkBindUrl);
  config.listenClientHttpUrls.forEach(checkBindUrl);
  config.listenMetricsUrls.forEach(checkBindUrl);
  config.listenPeerUrls.forEach(checkBindUrl);
  config.advertiseClientUrls.forEach(checkAdvertisedUrl);
  config.initialAdvertisePeerUrls.forEach(checkAdvertisedUrl);
  need(
    config.listenClientUrls.length > 0,
    "Cannot serve clients: listen-client-urls is empty",
  );
  need(
    config.advertiseClientUrls.length > 0,
    "Cannot tell clients where to connect: advertise-client-urls is empty",
  );
}

function checkTimes(config: Config): void {
  const { heartbeatIntervalMs, electionTimeoutMs } = config;
  need(
    heartbeatIntervalMs > 0,
    "Cannot use heartbeat-interval 0: it must be positive",
  );
  need(
    electionTimeoutMs >= 5 * heartbeatIntervalMs,
    `Cannot use election-timeout ${electionTimeoutMs}: ` +
      `it must be at least 5 times heartbeat-interval (${heartbeatIntervalMs})`,
  );
  need(
    electionTimeoutMs <= MAX_ELECTION_TIMEOUT_MS,
    `Cannot use election-timeout ${electionTimeoutMs}: ` +
      `it must be at most ${MAX_ELECTION_TIMEOUT_MS}`,
  );
  needNotNegative("grpc-keepalive-min-time", config.grpcKeepaliveMinTimeMs);
  needNotNegative("grpc-keepalive-interval", config.grpcKeepaliveIntervalMs);
  needNotNegative("grpc-keepalive-timeout", config.grpcKeepaliveTimeoutMs);
  needNotNegative(
    "compaction-sleep-interval",
    config.compactionSleepIntervalMs,
  );
  needNotNegative(
    "watch-progress-notify-interval",
    config.watchProgressNotifyIntervalMs,
  );
  needNotNegative("warning-apply-duration", config.warningApplyDurationMs);
  needNotNegative(
    "warning-unary-request-duration",
    config.warningUnaryRequestDurationMs,
  );
}

function checkLimits(config: Config): void {
  needPositive("max-txn-ops", config.maxTxnOps);
  needPositive("max-request-bytes", config.maxRequestBytes);
  need(
    config.maxRequestBytes <= MAX_UINT32,
    `Cannot use max-request-bytes ${config.maxRequestBytes}: no message can be so long`,
  );
  needPositive("max-concurrent-streams", config.maxConcurrentStreams);
  need(
    config.maxConcurrentStreams <= MAX_UINT32,
    `Cannot use max-concurrent-streams ${config.maxConcurrentStreams}: ` +
      `it must be at most ${MAX_UINT32}`,
  );
  needPositive("compaction-batch-limit", config.compactionBatchLimit);
}

function checkSnapshots(config: Config): void {
  needNotNegative("snapshot-interval", config.snapshotIntervalMs);
  needPositive("snapshot-retention", config.snapshotRetention);
  need(
    config.snapshotIntervalMs === 0 || config.endpoint.startsWith("sqlite:"),
    `Cannot use snapshot-interval: snapshots are made of sqlite databases only`,
  );
}

function checkTls(config: Config): void {
  const { tls } = config;
  checkTlsFiles(config);
  const { minVersion, maxVersion, cipherSuites } = tls;
  need(
    ["", "TLS1.2", "TLS1.3"].includes(minVersion),
    `Cannot use tls-min-version "${minVersion}": it must be TLS1.2 or TLS1.3`,
  );
  need(
    ["", "TLS1.2", "TLS1.3"].includes(maxVersion),
    `Cannot use tls-max-version "${maxVersion}": it must be TLS1.2 or TLS1.3`,
  );
  need(
    maxVersion === "" || minVersion <= maxVersion,
    `Cannot use tls-max-version "${maxVersion}": it is below tls-min-version`,
  );
  need(
    minVersion !== "TLS1.3" || cipherSuites.length === 0,
    "Cannot use cipher-suites: TLS1.3 alone leaves no choice of them",
  );
  const { unknown, accepted } = chooseSuites(cipherSuites);
  const known = NEGOTIABLE_SUITES.join(", ");
  need(
    unknown.length === 0,
    `Cannot use cipher-suites: unexpected TLS cipher suite "${
      unknown[0]
    }"; known are ${known}`,
  );
  need(
    maxVersion !== "TLS1.2" || cipherSuites.length === 0 || accepted.size > 0,
    `Cannot use cipher-suites: with TLS1.2 alone one of these is needed: ${known}`,
  );
}

function checkTlsFiles(config: Config): void {
  const { tls } = config;
  const { certFile, keyFile, trustedCaFile, autoTls } = tls;
  need(
    (certFile === "") === (keyFile === ""),
    "Cannot serve TLS: KeyFile and CertFile must both be present" +
      `[key: ${keyFile}, cert: ${certFile}]`,
  );
  need(
    !autoTls || tls.selfSignedCertValidityYears > 0,
    "Cannot use self-signed-cert-validity 0: it must be positive",
  );
  const whoNeedsCa = [
    tls.clientCertAuth ? "client-cert-auth" : "",
    tls.clientCrlFile === "" ? "" : "client-crl-file",
    tls.clientCertAllowedHostnames.length === 0
      ? ""
      : "client-cert-allowed-hostname",
  ].find((name) => name !== "");
  need(
    whoNeedsCa === undefined || trustedCaFile !== "",
    `Cannot use ${whoNeedsCa}: trusted-ca-file must name the authorities that client certificates come from`,
  );
  const hasCertificate = certFile !== "" || autoTls;
  for (
    const url of [...config.listenClientUrls, ...config.listenClientHttpUrls]
  ) {
    need(
      hasCertificate || !parseUrl(url).isSecure,
      `Cannot serve TLS: TLS key/cert (--cert-file, --key-file) must be provided for client url ${url} with HTTPS scheme`,
    );
  }
  for (const url of config.listenMetricsUrls) {
    need(
      hasCertificate || !parseUrl(url).isSecure,
      "Cannot serve TLS: client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url",
    );
  }
  const obstacle = tlsObstacle(Deno.version.deno);
  const isWanted = tls.clientCertAuth || usesTls(config);
  need(
    !isWanted || obstacle === undefined,
    `Cannot serve TLS: ${obstacle}`,
  );
}

function checkAuth(
  { authToken, authTokenTtlSeconds, bcryptCost }: Config,
): void {
  need(
    authToken === "" || /^(simple|jwt)(,|$)/.test(authToken),
    "Cannot use auth-token: its kind must be simple or jwt",
  );
  needPositive("auth-token-ttl", authTokenTtlSeconds);
  need(
    bcryptCost >= MIN_BCRYPT_COST && bcryptCost <= MAX_BCRYPT_COST,
    `Cannot use bcrypt-cost ${bcryptCost}: ` +
      `it must be from ${MIN_BCRYPT_COST} to ${MAX_BCRYPT_COST}`,
  );
}

function checkLogOutputs(outputs: readonly string[]): void {
  need(outputs.length > 0, "Cannot log: log-outputs is empty");
  need(
    outputs.length === 1 || !outputs.includes("default"),
    'Cannot log to "default" and elsewhere: name stderr or stdout instead',
  );
  need(!outputs.includes(""), "Cannot log: log-outputs has an empty name");
}

function needPositive(name: string, value: number): void {
  need(value > 0, `Cannot use ${name} ${value}: it must be positive`);
}

function needNotNegative(name: string, ms: number): void {
  need(ms >= 0, `Cannot use ${name} ${ms}ms: it must not be negative`);
}

function need(condition: boolean, message: string): asserts condition {
  if (!condition) throw new ConfigError(message);
}
