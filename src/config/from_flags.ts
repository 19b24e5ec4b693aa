import { parseDurationMs } from "../base/duration.ts";
import type { LogFormat, LogLevel } from "../base/log.ts";
import { parseAutoCompaction } from "./auto_compaction.ts";
import type { Config } from "./config.ts";
import { ConfigError } from "./config_error.ts";
import { parseFeatureGates } from "./feature_gates.ts";
import {
  type FlagName,
  FLAGS,
  type FlagType,
  type FlagValues,
} from "./flags.ts";
import {
  parseBool,
  parseBytes,
  parseInteger,
  parseUnsigned,
} from "./numbers.ts";
import { parseUrls } from "./urls.ts";

/** What warning-unary-request-duration 0 means. */
const DEFAULT_SLOW_REQUEST_MS = 300;

/** What quota-backend-bytes 0 means. */
const DEFAULT_QUOTA_BYTES = 2 * 1024 ** 3;

/**
 * Turns the texts of flags into a `Config`; a flag without a text has its default. Only texts are checked
 * here: what values may be, and may be together, is `checkConfig`'s.
 */
export function fromFlags(texts: ReadonlyMap<string, string>): Config {
  const v = readValues(texts);
  const dataDir = v["data-dir"] === "" ? `${v.name}.etcd` : v["data-dir"];
  const peerUrls = v["initial-advertise-peer-urls"];
  return {
    name: v.name,
    dataDir,
    endpoint: v.endpoint === "" ? `sqlite://${dataDir}` : v.endpoint,
    datastore: {
      tablePrefix: v["table-prefix"],
      maxConnections: v["datastore-max-connections"],
      connectTimeoutMs: v["datastore-connect-timeout"],
      statementTimeoutMs: v["datastore-statement-timeout"],
      caFile: v["datastore-cafile"],
      certFile: v["datastore-certfile"],
      keyFile: v["datastore-keyfile"],
      password: v["datastore-password"],
      passwordFile: v["datastore-password-file"],
      passwordCommand: v["datastore-password-command"],
      commandEnvironment: {},
    },
    serveStaleReads: v["serve-stale-reads"],
    valueCacheBytes: v["value-cache-bytes"],
    eventWindowBytes: v["event-window-bytes"],
    quotaBackendBytes: quotaBytes(v["quota-backend-bytes"]),
    unsafeNoFsync: v["unsafe-no-fsync"],
    snapshotIntervalMs: v["snapshot-interval"],
    snapshotRetention: v["snapshot-retention"],
    snapshotDir: v["snapshot-dir"] || `${dataDir}/snapshots`,

    listenClientUrls: v["listen-client-urls"],
    advertiseClientUrls: v["advertise-client-urls"],
    listenClientHttpUrls: v["listen-client-http-urls"],
    listenMetricsUrls: v["listen-metrics-urls"],
    listenPeerUrls: v["listen-peer-urls"],
    initialAdvertisePeerUrls: peerUrls,
    initialCluster: v["initial-cluster"] ||
      peerUrls.map((url) => `${v.name}=${url}`).join(","),
    initialClusterState: choice(v, "initial-cluster-state", [
      "new",
      "existing",
    ]),
    initialClusterToken: v["initial-cluster-token"],

    maxTxnOps: v["max-txn-ops"],
    maxRequestBytes: v["max-request-bytes"],
    maxConcurrentStreams: v["max-concurrent-streams"],
    grpcKeepaliveMinTimeMs: v["grpc-keepalive-min-time"],
    grpcKeepaliveIntervalMs: v["grpc-keepalive-interval"],
    grpcKeepaliveTimeoutMs: v["grpc-keepalive-timeout"],
    socketReusePort: v["socket-reuse-port"],
    socketReuseAddress: v["socket-reuse-address"],
    watchProgressNotifyIntervalMs: v["watch-progress-notify-interval"],
    heartbeatIntervalMs: v["heartbeat-interval"],
    electionTimeoutMs: v["election-timeout"],
    featureGates: parseFeatureGates(v["feature-gates"]),

    autoCompaction: parseAutoCompaction(
      v["auto-compaction-mode"],
      v["auto-compaction-retention"],
    ),
    compactionBatchLimit: v["compaction-batch-limit"],
    compactionSleepIntervalMs: v["compaction-sleep-interval"],

    tls: {
      certFile: v["cert-file"],
      keyFile: v["key-file"],
      trustedCaFile: v["trusted-ca-file"],
      clientCertAuth: v["client-cert-auth"],
      clientCrlFile: v["client-crl-file"],
      clientCertAllowedHostnames: v["client-cert-allowed-hostname"],
      autoTls: v["auto-tls"],
      selfSignedCertValidityYears: v["self-signed-cert-validity"],
      minVersion: v["tls-min-version"],
      maxVersion: v["tls-max-version"],
      cipherSuites: v["cipher-suites"],
    },
    cors: v.cors,
    hostWhitelist: v["host-whitelist"],
    authToken: v["auth-token"],
    authTokenTtlSeconds: v["auth-token-ttl"],
    bcryptCost: v["bcrypt-cost"],
    auditLog: v["audit-log"],

    enableGrpcGateway: v["enable-grpc-gateway"],
    metrics: choice(v, "metrics", ["basic", "extensive"]),
    warningApplyDurationMs: v["warning-apply-duration"],
    // As etcd: 0 stands for the default.
    warningUnaryRequestDurationMs: v["warning-unary-request-duration"] ||
      DEFAULT_SLOW_REQUEST_MS,

    logLevel: logLevel(v),
    logFormat: choice<LogFormat>(v, "log-format", ["json", "console"]),
    logOutputs: v["log-outputs"],
  };
}

/** Reads a text as a flag of this type; undefined if it is none. URLs throw for themselves. */
function readValue(type: FlagType, text: string): unknown {
  switch (type) {
    case "string":
      return text;
    case "bool":
      return parseBool(text);
    case "int":
      return parseInteger(text);
    case "uint":
      return parseUnsigned(text);
    case "bytes":
      return parseBytes(text);
    case "duration":
      return parseDurationMs(text);
    case "list":
      return readList(text);
    case "urls":
      return parseUrls(text);
  }
}

const NEEDED: Readonly<Record<FlagType, string>> = {
  string: "a text is needed",
  bool: "true or false is needed",
  int: "an integer is needed",
  uint: "an integer that is not negative is needed",
  bytes: "a size such as 1048576 or 64MiB is needed",
  duration: "a duration with its unit, such as 10m or 1.5s, is needed",
  list: "texts divided by commas are needed",
  urls: "URLs divided by commas are needed",
};

function readValues(texts: ReadonlyMap<string, string>): FlagValues {
  const values: Partial<Record<FlagName, unknown>> = {};
  for (const { name, type, fallback } of FLAGS.values()) {
    const text = texts.get(name) ?? fallback;
    let value: unknown;
    try {
      value = readValue(type, text);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      throw new ConfigError(`${error.message} (${name})`);
    }
    if (value === undefined) {
      throw new ConfigError(`Cannot use ${name} "${text}": ${NEEDED[type]}`);
    }
    values[name] = value;
  }
  // Each flag of the table was read as its own type.
  return values as FlagValues;
}

function readList(text: string): readonly string[] {
  if (text === "") return [];
  return [...new Set(text.split(",").map((item) => item.trim()))];
}

function quotaBytes(bytes: number): number {
  if (bytes < 0) return Infinity;
  return bytes === 0 ? DEFAULT_QUOTA_BYTES : bytes;
}

function choice<T extends string>(
  values: FlagValues,
  name: FlagName,
  choices: readonly T[],
): T {
  const value = values[name];
  const chosen = choices.find((one) => one === value);
  if (chosen === undefined) {
    throw new ConfigError(
      `Cannot use ${name} "${value}": it must be ${choices.join(" or ")}`,
    );
  }
  return chosen;
}

/** etcd knows some levels above error too. */
function logLevel(values: FlagValues): LogLevel {
  const level = choice(values, "log-level", [
    "debug",
    "info",
    "warn",
    "error",
    "dpanic",
    "panic",
    "fatal",
  ]);
  return level === "dpanic" || level === "panic" || level === "fatal"
    ? "error"
    : level;
}
