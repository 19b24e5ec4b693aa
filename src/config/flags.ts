/**
 * The flag table, as data: everything that can be set, in the order of `--help`.
 *
 * All of etcd 3.7's flags are in it, so that a command line written for etcd starts Stele; those that make no
 * sense without Raft or bbolt are `ignored`, which is said once at start. Defaults are texts as a user would
 * write them, and go through the same parser.
 */

/** What a flag's text is read as: see `FlagTypes`. */
export type FlagType = keyof FlagTypes;

interface FlagTypes {
  string: string;
  bool: boolean;
  /** A signed integer. */
  int: number;
  /** An integer that is not negative. */
  uint: number;
  /** A size, suffixes allowed. */
  bytes: number;
  /** Go's syntax; becomes milliseconds. */
  duration: number;
  /** Divided by commas. */
  list: readonly string[];
  /** URLs divided by commas. */
  urls: readonly string[];
}

/** `own`: Stele's, with a STELE_ variable. `honoured`, `ignored`: etcd's, with an ETCD_ variable. */
export type FlagEffect = "own" | "honoured" | "ignored";

export interface Flag<
  N extends string = string,
  T extends FlagType = FlagType,
> {
  /** Without dashes. */
  readonly name: N;
  readonly type: T;
  /** What holds if nothing is said, as text. */
  readonly fallback: string;
  readonly effect: FlagEffect;
  readonly help: string;
}

/** A section of `--help`. */
export interface FlagGroup<F extends Flag = Flag> {
  readonly title: string;
  readonly flags: readonly F[];
}

function flag<N extends string, T extends FlagType>(
  name: N,
  type: T,
  fallback: string,
  help: string,
): Flag<N, T> {
  return { name, type, fallback, effect: "honoured", help };
}

function own<N extends string, T extends FlagType>(
  name: N,
  type: T,
  fallback: string,
  help: string,
): Flag<N, T> {
  return { name, type, fallback, effect: "own", help };
}

function ignored<N extends string, T extends FlagType>(
  name: N,
  type: T,
  fallback: string,
  help = "",
): Flag<N, T> {
  return { name, type, fallback, effect: "ignored", help };
}

function group<const F extends Flag>(
  title: string,
  flags: readonly F[],
): FlagGroup<F> {
  return { title, flags };
}

const ROTATION =
  '{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}';

export const FLAG_GROUPS = [
  group("Storage", [
    own(
      "endpoint",
      "string",
      "",
      "Database: sqlite://DIRECTORY, memory://, or postgres://, yugabytedb://, mysql://, mariadb:// with " +
        "USER@HOST:PORT/DATABASE (default: SQLite in the data directory)",
    ),
    flag("data-dir", "string", "", "Data directory (default: ${name}.etcd)"),
    own(
      "value-cache-bytes",
      "bytes",
      "1GiB",
      "Memory for values; beyond it they are read from the database",
    ),
    own(
      "event-window-bytes",
      "bytes",
      "32MiB",
      "Memory for recent events that watchers who lag are served from",
    ),
    own(
      "snapshot-interval",
      "duration",
      "0s",
      "Time between snapshots that the server makes by itself; 0 makes none",
    ),
    own(
      "snapshot-retention",
      "uint",
      "5",
      "Snapshots to keep in snapshot-dir; the oldest go",
    ),
    own(
      "snapshot-dir",
      "string",
      "",
      "Directory of those snapshots (default: snapshots in the data directory)",
    ),
    flag(
      "quota-backend-bytes",
      "int",
      "0",
      "Size at which writes are refused; 0 is 2 GiB, negative is no limit",
    ),
    flag(
      "auto-compaction-mode",
      "string",
      "periodic",
      "What auto-compaction-retention counts: periodic (time) or revision",
    ),
    flag(
      "auto-compaction-retention",
      "string",
      "0",
      "History to keep: hours, a duration, or revisions; 0 keeps all of it",
    ),
    flag(
      "compaction-batch-limit",
      "int",
      "1000",
      "Revisions removed at once while compacting",
    ),
    flag(
      "compaction-sleep-interval",
      "duration",
      "10ms",
      "Pause between two of these steps",
    ),
  ]),
  group("Database server (docs/databases.md)", [
    own(
      "table-prefix",
      "string",
      "stele_",
      "What the names of tables begin with; clusters with different ones share a database",
    ),
    own(
      "datastore-max-connections",
      "uint",
      "4",
      "Connections to the database at most; one more listens for changes",
    ),
    own(
      "datastore-connect-timeout",
      "duration",
      "5s",
      "How long connecting to one host may take",
    ),
    own(
      "datastore-statement-timeout",
      "duration",
      "10s",
      "A statement that takes longer has failed, and its connection is given up",
    ),
    own(
      "datastore-cafile",
      "string",
      "",
      "Authorities that the database's certificate must come from; switches TLS on",
    ),
    own(
      "datastore-certfile",
      "string",
      "",
      "Certificate to show to the database",
    ),
    own("datastore-keyfile", "string", "", "Its private key"),
    own(
      "datastore-password",
      "string",
      "",
      "Password; better in STELE_DATASTORE_PASSWORD, since arguments are no secret",
    ),
    own(
      "datastore-password-file",
      "string",
      "",
      "File with the password, read for each connection",
    ),
    own(
      "datastore-password-command",
      "string",
      "",
      "Shell command that writes the password, run for each connection",
    ),
    own(
      "serve-stale-reads",
      "bool",
      "true",
      "Answer serializable reads from memory while the database is away, as etcd does without its quorum",
    ),
  ]),
  group("Member", [
    flag("name", "string", "default", "Name of this server"),
    flag(
      "listen-client-urls",
      "urls",
      "http://localhost:2379",
      "Where clients are served: gRPC, and HTTP/1.1 too unless it has its own URLs",
    ),
    flag(
      "advertise-client-urls",
      "urls",
      "http://localhost:2379",
      "Where clients are told to connect; required with listen-client-urls",
    ),
    flag(
      "listen-client-http-urls",
      "urls",
      "",
      "Where only HTTP/1.1 is served; takes it away from listen-client-urls",
    ),
    flag(
      "max-txn-ops",
      "uint",
      "128",
      "Operations in a transaction at most",
    ),
    flag(
      "max-request-bytes",
      "uint",
      "1572864",
      "Bytes in a write request at most",
    ),
    flag(
      "max-concurrent-streams",
      "uint",
      "4294967295",
      "Calls under way on one connection at most",
    ),
    flag(
      "grpc-keepalive-min-time",
      "duration",
      "5s",
      "Clients that ping more often than this are disconnected",
    ),
    flag(
      "grpc-keepalive-interval",
      "duration",
      "2h",
      "How often the server pings a silent client; 0 is never",
    ),
    flag(
      "grpc-keepalive-timeout",
      "duration",
      "20s",
      "How long it waits for the answer before it disconnects",
    ),
    flag("socket-reuse-port", "bool", "false", "Set SO_REUSEPORT on listeners"),
    flag(
      "socket-reuse-address",
      "bool",
      "false",
      "Set SO_REUSEADDR on listeners",
    ),
    flag(
      "watch-progress-notify-interval",
      "duration",
      "10m",
      "How often idle watchers that asked for it are told the revision",
    ),
    flag(
      "heartbeat-interval",
      "uint",
      "100",
      "Milliseconds; only its ratio to election-timeout is checked",
    ),
    flag(
      "election-timeout",
      "uint",
      "1000",
      "Milliseconds; sets the shortest lease and the time limit of a request",
    ),
    flag(
      "feature-gates",
      "string",
      "",
      "etcd's feature gates, name=true|false divided by commas",
    ),
  ]),
  group("Cluster as shown to clients", [
    flag(
      "listen-peer-urls",
      "urls",
      "http://localhost:2380",
      "Accepted; nothing listens there, as there are no peers",
    ),
    flag(
      "initial-advertise-peer-urls",
      "urls",
      "http://localhost:2380",
      "Shown in the member list",
    ),
    flag(
      "initial-cluster",
      "string",
      "",
      "name=URL divided by commas (default: this server alone)",
    ),
    flag("initial-cluster-state", "string", "new", "new or existing"),
    flag(
      "initial-cluster-token",
      "string",
      "etcd-cluster",
      "Makes the cluster's id differ from others of the same name",
    ),
  ]),
  group("Security", [
    flag("cert-file", "string", "", "Certificate of the client port"),
    flag("key-file", "string", "", "Its private key"),
    flag(
      "trusted-ca-file",
      "string",
      "",
      "Authorities that client certificates must come from",
    ),
    flag(
      "client-cert-auth",
      "bool",
      "false",
      "Clients must show a certificate",
    ),
    flag("client-crl-file", "string", "", "Client certificates to refuse"),
    flag(
      "client-cert-allowed-hostname",
      "list",
      "",
      "Host names that client certificates may carry",
    ),
    flag("auto-tls", "bool", "false", "Make a certificate at start"),
    flag(
      "self-signed-cert-validity",
      "uint",
      "1",
      "Years that such a certificate is valid",
    ),
    flag("tls-min-version", "string", "TLS1.2", "TLS1.2 or TLS1.3"),
    flag(
      "tls-max-version",
      "string",
      "",
      "TLS1.2 or TLS1.3 (default: the newest)",
    ),
    flag("cipher-suites", "list", "", "Cipher suites for TLS1.2"),
    flag("cors", "list", "*", "Origins that may ask from a browser"),
    flag(
      "host-whitelist",
      "list",
      "*",
      "Host names that HTTP requests without TLS may ask for",
    ),
  ]),
  group("Auth", [
    flag("auth-token", "string", "simple", "Kind of token and its options"),
    flag("auth-token-ttl", "uint", "300", "Seconds that a token lives"),
    flag("bcrypt-cost", "uint", "10", "Cost of hashing a password, 4 to 31"),
    own(
      "audit-log",
      "string",
      "",
      "Where to write down who asked for what: a file, stdout or stderr",
    ),
  ]),
  group("Monitoring", [
    flag(
      "listen-metrics-urls",
      "urls",
      "",
      "Where only /metrics, /health, /livez and /readyz are served",
    ),
    flag(
      "metrics",
      "string",
      "basic",
      "basic, or extensive: with a histogram of each call's duration",
    ),
    flag(
      "enable-grpc-gateway",
      "bool",
      "true",
      "Serve the API as JSON over HTTP",
    ),
    flag(
      "warning-apply-duration",
      "duration",
      "100ms",
      "Writes that take longer to apply are logged",
    ),
    flag(
      "warning-unary-request-duration",
      "duration",
      "300ms",
      "Requests that take longer are logged",
    ),
  ]),
  group("Logging", [
    flag("log-level", "string", "info", "debug, info, warn or error"),
    flag("log-format", "string", "json", "json or console"),
    flag(
      "log-outputs",
      "list",
      "default",
      "stderr, stdout or files, divided by commas",
    ),
  ]),
  group("Unsafe", [
    flag(
      "unsafe-no-fsync",
      "bool",
      "false",
      "Do not wait for the disk: a crash of the machine loses data",
    ),
  ]),
  group("Accepted for etcd's sake, without effect", [
    ignored("wal-dir", "string", ""),
    ignored("snapshot-count", "uint", "10000"),
    ignored("snapshot-catchup-entries", "uint", "5000"),
    ignored("max-snapshots", "uint", "5"),
    ignored("max-wals", "uint", "5"),
    ignored("memory-mlock", "bool", "false"),
    ignored("backend-batch-interval", "duration", "0s"),
    ignored("backend-batch-limit", "int", "0"),
    ignored("backend-bbolt-freelist-type", "string", "map"),
    ignored("bootstrap-defrag-threshold-megabytes", "uint", "0"),
    ignored("initial-election-tick-advance", "bool", "true"),
    ignored("pre-vote", "bool", "true"),
    ignored("strict-reconfig-check", "bool", "true"),
    ignored("max-learners", "int", "1"),
    ignored("raft-read-timeout", "duration", "5s"),
    ignored("raft-write-timeout", "duration", "5s"),
    ignored("corrupt-check-time", "duration", "0s"),
    ignored("compact-hash-check-time", "duration", "1m"),
    ignored("downgrade-check-time", "duration", "5s"),
    ignored("v2-deprecation", "string", "write-only"),
    ignored("force-new-cluster", "bool", "false"),
    ignored("discovery-token", "string", ""),
    ignored("discovery-endpoints", "list", ""),
    ignored("discovery-dial-timeout", "duration", "2s"),
    ignored("discovery-request-timeout", "duration", "5s"),
    ignored("discovery-keepalive-time", "duration", "2s"),
    ignored("discovery-keepalive-timeout", "duration", "6s"),
    ignored("discovery-insecure-transport", "bool", "true"),
    ignored("discovery-insecure-skip-tls-verify", "bool", "false"),
    ignored("discovery-cert", "string", ""),
    ignored("discovery-key", "string", ""),
    ignored("discovery-cacert", "string", ""),
    ignored("discovery-user", "string", ""),
    ignored("discovery-password", "string", ""),
    ignored("discovery-fallback", "string", "exit"),
    ignored("discovery-srv", "string", ""),
    ignored("discovery-srv-name", "string", ""),
    ignored("client-cert-file", "string", ""),
    ignored("client-key-file", "string", ""),
    ignored("peer-cert-file", "string", ""),
    ignored("peer-key-file", "string", ""),
    ignored("peer-client-cert-file", "string", ""),
    ignored("peer-client-key-file", "string", ""),
    ignored("peer-trusted-ca-file", "string", ""),
    ignored("peer-client-cert-auth", "bool", "false"),
    ignored("peer-crl-file", "string", ""),
    ignored("peer-auto-tls", "bool", "false"),
    ignored("peer-cert-allowed-cn", "list", ""),
    ignored("peer-cert-allowed-hostname", "list", ""),
    ignored("peer-skip-client-san-verification", "bool", "false"),
    ignored("enable-pprof", "bool", "false"),
    ignored("logger", "string", "zap"),
    ignored("enable-log-rotation", "bool", "false"),
    ignored("log-rotation-config-json", "string", ROTATION),
    ignored("enable-distributed-tracing", "bool", "false"),
    ignored("distributed-tracing-address", "string", "localhost:4317"),
    ignored("distributed-tracing-service-name", "string", "etcd"),
    ignored("distributed-tracing-instance-id", "string", ""),
    ignored("distributed-tracing-sampling-rate", "int", "0"),
  ]),
  group("Miscellaneous", [
    flag(
      "config-file",
      "string",
      "",
      "YAML or JSON file with flag names as keys; all other flags and variables are then ignored",
    ),
    flag("version", "bool", "false", "Show the versions"),
    flag("help", "bool", "false", "Show this text"),
  ]),
] as const;

type KnownFlag = typeof FLAG_GROUPS[number]["flags"][number];

/** The name of a flag in the table. */
export type FlagName = KnownFlag["name"];

/** What was said, or the default, for every flag. */
export type FlagValues = {
  [F in KnownFlag as F["name"]]: FlagTypes[F["type"]];
};

/** Every flag by its name. */
export const FLAGS: ReadonlyMap<string, Flag<FlagName>> = new Map(
  FLAG_GROUPS.flatMap((group): readonly Flag<FlagName>[] => group.flags)
    .map((flag) => [flag.name, flag]),
);

/** The environment variable that sets a flag. */
export function envName({ name, effect }: Flag): string {
  const prefix = effect === "own" ? "STELE_" : "ETCD_";
  return prefix + name.toUpperCase().replaceAll("-", "_");
}
