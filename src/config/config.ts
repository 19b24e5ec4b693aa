import type { DatastoreSettings } from "../backend/driver/remote/datastore_settings.ts";
import type { LogFormat, LogLevel } from "../base/log.ts";
import type { AutoCompaction } from "./auto_compaction.ts";
import { fromFlags } from "./from_flags.ts";

/** TLS on the client port. Files are named, not read. */
export interface TlsConfig {
  readonly certFile: string;
  readonly keyFile: string;
  readonly trustedCaFile: string;
  readonly clientCertAuth: boolean;
  readonly clientCrlFile: string;
  readonly clientCertAllowedHostnames: readonly string[];
  readonly autoTls: boolean;
  readonly selfSignedCertValidityYears: number;
  /** `TLS1.2` or `TLS1.3`. */
  readonly minVersion: string;
  /** Empty: the newest there is. */
  readonly maxVersion: string;
  readonly cipherSuites: readonly string[];
}

/** Everything a server can be told, with defaults filled in. Durations are milliseconds, sizes bytes. */
export interface Config {
  readonly name: string;
  readonly dataDir: string;
  /** `sqlite://DIRECTORY`, `memory://` or a database server's URL; see `parseEndpoint`. May hold a password. */
  readonly endpoint: string;
  /** How a database server is reached. */
  readonly datastore: DatastoreSettings;
  /** Whether serializable reads are answered while the database does not answer. */
  readonly serveStaleReads: boolean;
  readonly valueCacheBytes: number;
  readonly eventWindowBytes: number;
  /** Infinity: no quota. */
  readonly quotaBackendBytes: number;
  readonly unsafeNoFsync: boolean;
  /** 0: the server makes no snapshots by itself. */
  readonly snapshotIntervalMs: number;
  /** How many of them are kept. */
  readonly snapshotRetention: number;
  readonly snapshotDir: string;

  /** See `parseUrl`. */
  readonly listenClientUrls: readonly string[];
  readonly advertiseClientUrls: readonly string[];
  /** If not empty, HTTP/1.1 is served here and not at `listenClientUrls`. */
  readonly listenClientHttpUrls: readonly string[];
  readonly listenMetricsUrls: readonly string[];
  readonly listenPeerUrls: readonly string[];
  readonly initialAdvertisePeerUrls: readonly string[];
  /** `name=URL` divided by commas. */
  readonly initialCluster: string;
  readonly initialClusterState: "new" | "existing";
  readonly initialClusterToken: string;

  readonly maxTxnOps: number;
  readonly maxRequestBytes: number;
  readonly maxConcurrentStreams: number;
  readonly grpcKeepaliveMinTimeMs: number;
  /** 0: no pings. */
  readonly grpcKeepaliveIntervalMs: number;
  readonly grpcKeepaliveTimeoutMs: number;
  readonly socketReusePort: boolean;
  readonly socketReuseAddress: boolean;
  readonly watchProgressNotifyIntervalMs: number;
  readonly heartbeatIntervalMs: number;
  readonly electionTimeoutMs: number;
  readonly featureGates: Readonly<Record<string, boolean>>;

  readonly autoCompaction: AutoCompaction;
  readonly compactionBatchLimit: number;
  readonly compactionSleepIntervalMs: number;

  readonly tls: TlsConfig;
  /** `*`: any. */
  readonly cors: readonly string[];
  /** `*`: any. */
  readonly hostWhitelist: readonly string[];
  /** `simple`, or `jwt` with its options. */
  readonly authToken: string;
  readonly authTokenTtlSeconds: number;
  readonly bcryptCost: number;
  /** `stdout`, `stderr` or a file name; empty: none is kept. */
  readonly auditLog: string;

  readonly enableGrpcGateway: boolean;
  readonly metrics: "basic" | "extensive";
  readonly warningApplyDurationMs: number;
  readonly warningUnaryRequestDurationMs: number;

  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  /** `default`, `stderr`, `stdout` or file names. */
  readonly logOutputs: readonly string[];
}

/**
 * The configuration of a server started without any flags, except for `overrides`. What follows from another
 * setting (the data directory from the name, the endpoint from the data directory) follows the overrides too.
 */
export function defaultConfig(overrides: Partial<Config> = {}): Config {
  const name = overrides.name ?? "default";
  const dataDir = overrides.dataDir ?? `${name}.etcd`;
  const defaults = fromFlags(new Map([["name", name], ["data-dir", dataDir]]));
  return { ...defaults, ...overrides };
}

/** How long a request may take before it is answered with a time-out, as etcd reckons it. */
export function requestTimeoutMs(config: Config): number {
  return 5000 + 2 * config.electionTimeoutMs;
}

/** Leases get at least this time to live, in seconds, as etcd reckons it: one and a half elections. */
export function minLeaseTtlSeconds(config: Config): number {
  const { electionTimeoutMs, heartbeatIntervalMs } = config;
  const ticks = Math.floor(electionTimeoutMs / heartbeatIntervalMs);
  return Math.ceil(Math.floor(3 * ticks / 2) * heartbeatIntervalMs / 1000);
}
