import assert from "node:assert/strict";
import { type Config, defaultConfig } from "../../../src/config/config.ts";
import { ConfigError } from "../../../src/config/config_error.ts";
import { envName, FLAGS, type FlagType } from "../../../src/config/flags.ts";
import { type ConfigWarning, parseConfig } from "../../../src/config/parse.ts";

const SUITES = [
  "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
  "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
];

interface Given {
  readonly argv?: readonly string[];
  readonly env?: Record<string, string>;
  readonly files?: Record<string, string>;
}

function parse({ argv = [], env = {}, files = {} }: Given) {
  return parseConfig(argv, env, (path) => {
    const content = files[path];
    return content === undefined
      ? Promise.reject(new Error("no such file"))
      : Promise.resolve(content);
  });
}

async function configOf(given: Given): Promise<Config> {
  const parsed = await parse(given);
  assert.equal(parsed.kind, "config");
  return parsed.config;
}

async function warningsOf(given: Given): Promise<readonly ConfigWarning[]> {
  const parsed = await parse(given);
  assert.equal(parsed.kind, "config");
  return parsed.warnings;
}

function refused(given: Given, message: RegExp): Promise<void> {
  return assert.rejects(parse(given), (error) => {
    assert.ok(error instanceof ConfigError, String(error));
    assert.match(error.message, message);
    return true;
  });
}

Deno.test("parseConfig() of nothing is defaultConfig(), without warnings", async () => {
  assert.deepEqual(await configOf({}), defaultConfig());
  assert.deepEqual(await warningsOf({}), []);
});

Deno.test("parseConfig() has etcd's defaults", async () => {
  const config = await configOf({});
  assert.equal(config.name, "default");
  assert.equal(config.dataDir, "default.etcd");
  assert.equal(config.endpoint, "sqlite://default.etcd");
  assert.deepEqual(config.listenClientUrls, ["http://localhost:2379"]);
  assert.deepEqual(config.advertiseClientUrls, ["http://localhost:2379"]);
  assert.deepEqual(config.listenMetricsUrls, []);
  assert.equal(config.initialCluster, "default=http://localhost:2380");
  assert.equal(config.quotaBackendBytes, 2 * 2 ** 30);
  assert.equal(config.maxTxnOps, 128);
  assert.equal(config.maxRequestBytes, 1_572_864);
  assert.equal(config.maxConcurrentStreams, 2 ** 32 - 1);
  assert.equal(config.grpcKeepaliveMinTimeMs, 5000);
  assert.equal(config.grpcKeepaliveIntervalMs, 7_200_000);
  assert.equal(config.grpcKeepaliveTimeoutMs, 20_000);
  assert.equal(config.watchProgressNotifyIntervalMs, 600_000);
  assert.equal(config.warningUnaryRequestDurationMs, 300);
  assert.deepEqual(config.autoCompaction, { mode: "off" });
  assert.deepEqual(config.cors, ["*"]);
  assert.equal(config.unsafeNoFsync, false);
  assert.equal(config.logLevel, "info");
});

/** A flag, a text for it, and what it must make of the configuration. */
function datastore(changes: Partial<Config["datastore"]>): Config["datastore"] {
  return { ...defaultConfig().datastore, ...changes };
}

const EFFECTS: readonly (readonly [string, string, Partial<Config>])[] = [
  ["name", "m1", {
    name: "m1",
    dataDir: "m1.etcd",
    endpoint: "sqlite://m1.etcd",
    initialCluster: "m1=http://localhost:2380",
    snapshotDir: "m1.etcd/snapshots",
  }],
  ["data-dir", "/d", {
    dataDir: "/d",
    endpoint: "sqlite:///d",
    snapshotDir: "/d/snapshots",
  }],
  ["snapshot-interval", "6h", { snapshotIntervalMs: 21_600_000 }],
  ["snapshot-retention", "1", { snapshotRetention: 1 }],
  ["snapshot-dir", "/backup", { snapshotDir: "/backup" }],
  ["endpoint", "memory://", { endpoint: "memory://" }],
  ["endpoint", "sqlite://x", {
    endpoint: "sqlite://x",
    dataDir: "default.etcd",
  }],
  ["value-cache-bytes", "2MiB", { valueCacheBytes: 2 << 20 }],
  ["event-window-bytes", "1k", { eventWindowBytes: 1024 }],
  ["quota-backend-bytes", "100", { quotaBackendBytes: 100 }],
  ["quota-backend-bytes", "0", { quotaBackendBytes: 2 ** 31 }],
  ["quota-backend-bytes", "-1", { quotaBackendBytes: Infinity }],
  ["unsafe-no-fsync", "true", { unsafeNoFsync: true }],
  ["advertise-client-urls", "http://b:2,http://a:1", {
    advertiseClientUrls: ["http://a:1", "http://b:2"],
  }],
  ["listen-client-http-urls", "http://127.0.0.1:1", {
    listenClientHttpUrls: ["http://127.0.0.1:1"],
  }],
  ["listen-metrics-urls", "http://127.0.0.1:1", {
    listenMetricsUrls: ["http://127.0.0.1:1"],
  }],
  ["listen-peer-urls", "https://127.0.0.1:1", {
    listenPeerUrls: ["https://127.0.0.1:1"],
  }],
  ["initial-advertise-peer-urls", "http://p:1", {
    initialAdvertisePeerUrls: ["http://p:1"],
    initialCluster: "default=http://p:1",
  }],
  ["initial-cluster", "a=http://a:1", { initialCluster: "a=http://a:1" }],
  ["initial-cluster-state", "existing", { initialClusterState: "existing" }],
  ["initial-cluster-token", "t", { initialClusterToken: "t" }],
  ["max-txn-ops", "1", { maxTxnOps: 1 }],
  ["max-request-bytes", "10", { maxRequestBytes: 10 }],
  ["max-concurrent-streams", "4294967295", {
    maxConcurrentStreams: 4294967295,
  }],
  ["grpc-keepalive-min-time", "1s", { grpcKeepaliveMinTimeMs: 1000 }],
  ["grpc-keepalive-interval", "0", { grpcKeepaliveIntervalMs: 0 }],
  ["grpc-keepalive-timeout", "1m", { grpcKeepaliveTimeoutMs: 60_000 }],
  ["socket-reuse-port", "1", { socketReusePort: true }],
  ["socket-reuse-address", "t", { socketReuseAddress: true }],
  ["watch-progress-notify-interval", "5s", {
    watchProgressNotifyIntervalMs: 5000,
  }],
  ["heartbeat-interval", "200", { heartbeatIntervalMs: 200 }],
  ["election-timeout", "500", { electionTimeoutMs: 500 }],
  ["auto-compaction-retention", "5m", {
    autoCompaction: { mode: "periodic", retentionMs: 300_000 },
  }],
  ["compaction-batch-limit", "7", { compactionBatchLimit: 7 }],
  ["compaction-sleep-interval", "0s", { compactionSleepIntervalMs: 0 }],
  ["cors", "http://a, http://b", { cors: ["http://a", "http://b"] }],
  ["host-whitelist", "a,b,a", { hostWhitelist: ["a", "b"] }],
  ["auth-token", "simple", { authToken: "simple" }],
  ["auth-token-ttl", "60", { authTokenTtlSeconds: 60 }],
  ["bcrypt-cost", "4", { bcryptCost: 4 }],
  ["enable-grpc-gateway", "false", { enableGrpcGateway: false }],
  ["metrics", "extensive", { metrics: "extensive" }],
  ["warning-apply-duration", "1s", { warningApplyDurationMs: 1000 }],
  ["warning-unary-request-duration", "1s", {
    warningUnaryRequestDurationMs: 1000,
  }],
  ["warning-unary-request-duration", "0s", {
    warningUnaryRequestDurationMs: 300,
  }],
  ["log-level", "debug", { logLevel: "debug" }],
  ["log-level", "fatal", { logLevel: "error" }],
  ["log-format", "console", { logFormat: "console" }],
  ["log-outputs", "stderr,/tmp/x", { logOutputs: ["stderr", "/tmp/x"] }],
  ["tls-min-version", "TLS1.3", {
    tls: { ...defaultConfig().tls, minVersion: "TLS1.3" },
  }],
  ["tls-max-version", "TLS1.3", {
    tls: { ...defaultConfig().tls, maxVersion: "TLS1.3" },
  }],
  ["cipher-suites", SUITES.join(","), {
    tls: { ...defaultConfig().tls, cipherSuites: SUITES },
  }],
  ["self-signed-cert-validity", "2", {
    tls: { ...defaultConfig().tls, selfSignedCertValidityYears: 2 },
  }],
  ["table-prefix", "two_", { datastore: datastore({ tablePrefix: "two_" }) }],
  ["datastore-max-connections", "9", {
    datastore: datastore({ maxConnections: 9 }),
  }],
  ["datastore-connect-timeout", "2s", {
    datastore: datastore({ connectTimeoutMs: 2000 }),
  }],
  ["datastore-statement-timeout", "1m", {
    datastore: datastore({ statementTimeoutMs: 60_000 }),
  }],
  ["datastore-cafile", "ca.pem", {
    datastore: datastore({ caFile: "ca.pem" }),
  }],
  ["datastore-password", "x", { datastore: datastore({ password: "x" }) }],
  ["datastore-password-file", "f", {
    datastore: datastore({ passwordFile: "f" }),
  }],
  ["feature-gates", "PriorityRequest=true", {
    featureGates: { ...defaultConfig().featureGates, PriorityRequest: true },
  }],
];

for (const [name, text, effect] of EFFECTS) {
  Deno.test(`parseConfig() takes ${name}=${text} from flag, variable and file`, async () => {
    const expected = { ...defaultConfig(), ...effect };
    const variable = envName(FLAGS.get(name)!);
    const file = `${name}: '${text}'`;
    assert.deepEqual(await configOf({ argv: [`--${name}=${text}`] }), expected);
    if (FLAGS.get(name)!.type !== "bool") {
      assert.deepEqual(await configOf({ argv: [`--${name}`, text] }), expected);
    }
    assert.deepEqual(await configOf({ env: { [variable]: text } }), expected);
    assert.deepEqual(
      await configOf({ argv: ["--config-file=f"], files: { f: file } }),
      expected,
    );
  });
}

Deno.test("parseConfig() takes every flag at its default, without a warning", async () => {
  const argv: string[] = [];
  for (const { name, fallback } of FLAGS.values()) {
    if (fallback !== "") argv.push(`--${name}=${fallback}`);
  }
  assert.deepEqual(await configOf({ argv }), defaultConfig());
  assert.deepEqual(await warningsOf({ argv }), []);
});

/** A text that no flag of this type takes. */
const BAD_TEXT: Readonly<Partial<Record<FlagType, string>>> = {
  bool: "maybe",
  int: "1.5",
  uint: "-1",
  bytes: "1X",
  duration: "10",
  urls: "nonsense",
};

for (const flag of FLAGS.values()) {
  const bad = BAD_TEXT[flag.type];
  if (bad === undefined) continue;
  Deno.test(`parseConfig() refuses ${flag.name}=${bad}`, async () => {
    const message = new RegExp(`${flag.name}\\b`);
    await refused({ argv: [`--${flag.name}=${bad}`] }, message);
    if (flag.name === "help" || flag.name === "version") return;
    await refused({ env: { [envName(flag)]: bad } }, message);
  });
}

for (const flag of FLAGS.values()) {
  if (flag.effect !== "ignored") continue;
  Deno.test(`parseConfig() accepts ${flag.name} and says that it has no effect`, async () => {
    const text = {
      string: "x",
      bool: flag.fallback === "true" ? "false" : "true",
      int: "77",
      uint: "77",
      bytes: "77",
      duration: "77s",
      list: "x",
      urls: "http://127.0.0.1:77",
    }[flag.type];
    const argv = [`--${flag.name}=${text}`];
    // These two go together.
    if (flag.name === "discovery-token") argv.push("--discovery-endpoints=e");
    if (flag.name === "discovery-endpoints") argv.push("--discovery-token=t");
    const [warning, ...more] = await warningsOf({ argv });
    assert.deepEqual(more, []);
    assert.match(warning!.message, /have no effect/);
    assert.ok((warning!.fields.flags as string[]).includes(flag.name));
    assert.deepEqual(await configOf({ argv }), defaultConfig());
  });
}

Deno.test("parseConfig() says in one warning which flags have no effect", async () => {
  const argv = ["--wal-dir=w", "--snapshot-count=1", "--pre-vote=false"];
  assert.deepEqual((await warningsOf({ argv })).map((w) => w.fields), [
    { flags: ["wal-dir", "snapshot-count", "pre-vote"] },
  ]);
});

Deno.test("parseConfig() refuses a flag that its variable sets too", async () => {
  await refused(
    { argv: ["--name=a"], env: { ETCD_NAME: "a" } },
    /Cannot use both --name and ETCD_NAME/,
  );
  await refused(
    { argv: ["--endpoint=memory://"], env: { STELE_ENDPOINT: "memory://" } },
    /both --endpoint and STELE_ENDPOINT/,
  );
});

Deno.test("parseConfig() takes an empty variable as absent", async () => {
  const config = await configOf({ argv: ["--name=a"], env: { ETCD_NAME: "" } });
  assert.equal(config.name, "a");
});

Deno.test("parseConfig() warns of variables that it does not know, without their values", async () => {
  const env = {
    ETCD_DATA_DRI: "secret",
    STELE_NAME: "x",
    ETCD_VERSION: "v3.7.1",
    ETCDCTL_API: "3",
    HOME: "/root",
  };
  const warnings = await warningsOf({ env });
  assert.deepEqual(warnings.map((w) => w.fields), [
    { variable: "ETCD_DATA_DRI", meant: "ETCD_DATA_DIR" },
    { variable: "STELE_NAME", meant: "ETCD_NAME" },
  ]);
});

Deno.test("parseConfig() ignores flags and variables when there is a file, and says so", async () => {
  const given = {
    argv: ["--config-file=f", "--name=from-flag"],
    env: { ETCD_MAX_TXN_OPS: "1" },
    files: { f: "name: from-file" },
  };
  const config = await configOf(given);
  assert.equal(config.name, "from-file");
  assert.equal(config.maxTxnOps, 128);
  const [warning] = await warningsOf(given);
  assert.deepEqual(warning!.fields, {
    path: "f",
    flags: ["name", "max-txn-ops"],
  });
});

Deno.test("parseConfig() takes the file's name from ETCD_CONFIG_FILE", async () => {
  const env = { ETCD_CONFIG_FILE: "f" };
  const config = await configOf({ env, files: { f: "name: a" } });
  assert.equal(config.name, "a");
  assert.deepEqual(await warningsOf({ env, files: { f: "name: a" } }), []);
});

Deno.test("parseConfig() warns of keys that it does not know", async () => {
  const [warning] = await warningsOf({
    argv: ["--config-file=f"],
    files: { f: "proxy: 'off'" },
  });
  assert.deepEqual(warning!.fields, { path: "f", keys: ["proxy"] });
});

Deno.test("parseConfig() says when it cannot read the file", async () => {
  await refused(
    { argv: ["--config-file=f"] },
    /^Cannot read "f": no such file$/,
  );
});

Deno.test("parseConfig() lets listen-client-urls stand alone in a file only, as etcd", async () => {
  const url = "http://127.0.0.1:1";
  await refused(
    { argv: [`--listen-client-urls=${url}`] },
    /--advertise-client-urls is required/,
  );
  await refused(
    { env: { ETCD_LISTEN_CLIENT_URLS: url } },
    /--advertise-client-urls is required/,
  );
  const config = await configOf({
    argv: ["--config-file=f"],
    files: { f: `listen-client-urls: ${url}` },
  });
  assert.deepEqual(config.listenClientUrls, [url]);
});

Deno.test("parseConfig() takes listen-client-urls with advertise-client-urls", async () => {
  const config = await configOf({
    argv: [
      "--listen-client-urls=unix:///a.sock,http://0.0.0.0:2379",
      "--advertise-client-urls=http://a:2379",
    ],
  });
  assert.deepEqual(config.listenClientUrls, [
    "http://0.0.0.0:2379",
    "unix:///a.sock",
  ]);
});

Deno.test("parseConfig() answers help and version before it looks further", async () => {
  const argv = ["--help", "--max-txn-ops=x"];
  assert.deepEqual(await parse({ argv }), { kind: "help" });
  assert.deepEqual(await parse({ argv: ["-h"] }), { kind: "help" });
  assert.deepEqual(await parse({ argv: ["--version"] }), { kind: "version" });
  const parsed = await parse({ argv: ["--version=false"] });
  assert.equal(parsed.kind, "config");
});

Deno.test("parseConfig() warns that a server without fsync loses data", async () => {
  const [warning] = await warningsOf({ argv: ["--unsafe-no-fsync"] });
  assert.match(warning!.message, /loses data/);
});

/** Values that cannot be, or cannot be together. */
const CONTRADICTIONS: readonly (readonly [string[], RegExp])[] = [
  [["--endpoint=oracle://a"], /it must be sqlite/],
  [["--table-prefix=A"], /table-prefix "A": it must be up to 40 of a-z/],
  [["--datastore-max-connections=1"], /it must be from 2 to 1000/],
  [["--datastore-max-connections=1001"], /it must be from 2 to 1000/],
  [["--datastore-connect-timeout=0s"], /it must be from 1ms to 24h/],
  [["--datastore-statement-timeout=25h"], /it must be from 1ms to 24h/],
  [["--datastore-certfile=a"], /it needs datastore-keyfile/],
  [
    ["--datastore-password=secret", "--datastore-password-file=a"],
    /^Cannot use datastore-password, .*: only one of them can be right$/,
  ],
  [["--endpoint=postgres://a"], /it names no database/],
  [["--listen-metrics-urls=http://a.example:1"], /must be an IP address/],
  [["--listen-client-http-urls=http://a:1"], /must be an IP address/],
  [["--listen-peer-urls=http://a:1"], /must be an IP address/],
  [["--advertise-client-urls=http://:1"], /names no host/],
  [["--initial-advertise-peer-urls=http://:1"], /names no host/],
  [["--advertise-client-urls="], /advertise-client-urls is empty/],
  [
    ["--listen-client-urls=", "--advertise-client-urls=http://a:1"],
    /listen-client-urls is empty/,
  ],
  [["--heartbeat-interval=0"], /heartbeat-interval 0/],
  [["--heartbeat-interval=201"], /at least 5 times heartbeat-interval/],
  [["--election-timeout=499"], /at least 5 times heartbeat-interval/],
  [["--election-timeout=50001"], /at most 50000/],
  [["--grpc-keepalive-min-time=-1s"], /must not be negative/],
  [["--grpc-keepalive-interval=-1s"], /must not be negative/],
  [["--grpc-keepalive-timeout=-1s"], /must not be negative/],
  [["--compaction-sleep-interval=-1s"], /must not be negative/],
  [["--watch-progress-notify-interval=-1s"], /must not be negative/],
  [["--warning-apply-duration=-1s"], /must not be negative/],
  [["--warning-unary-request-duration=-1s"], /must not be negative/],
  [["--max-txn-ops=0"], /max-txn-ops 0: it must be positive/],
  [["--max-request-bytes=0"], /must be positive/],
  [["--max-request-bytes=4294967296"], /no message can be so long/],
  [["--max-concurrent-streams=0"], /must be positive/],
  [["--max-concurrent-streams=4294967296"], /at most 4294967295/],
  [["--compaction-batch-limit=0"], /must be positive/],
  [["--compaction-batch-limit=-1"], /must be positive/],
  [["--tls-min-version=TLS1.1"], /TLS1.2 or TLS1.3/],
  [["--tls-max-version=SSL3"], /TLS1.2 or TLS1.3/],
  [
    ["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
    /below tls-min-version/,
  ],
  [["--tls-min-version=TLS1.3", "--cipher-suites=A"], /no choice of them/],
  [["--cert-file=c"], /KeyFile and CertFile must both be present/],
  [["--key-file=k"], /KeyFile and CertFile must both be present/],
  [["--auth-token=foo"], /must be simple or jwt/],
  [["--auth-token-ttl=0"], /must be positive/],
  [["--snapshot-interval=-1s"], /must not be negative/],
  [["--snapshot-retention=0"], /must be positive/],
  [
    ["--snapshot-interval=1h", "--endpoint=memory://"],
    /snapshots are made of sqlite databases only/,
  ],
  [["--bcrypt-cost=3"], /from 4 to 31/],
  [["--bcrypt-cost=32"], /from 4 to 31/],
  [["--initial-cluster-state=old"], /new or existing/],
  [["--metrics=all"], /basic or extensive/],
  [["--log-level=loud"], /it must be debug or info/],
  [["--log-format=xml"], /json or console/],
  [["--log-outputs="], /log-outputs is empty/],
  [["--log-outputs=stderr,"], /has an empty name/],
  [["--log-outputs=default,stderr"], /name stderr or stdout instead/],
  [["--auto-compaction-mode=x"], /periodic or revision/],
  [["--auto-compaction-retention=x"], /hours or a duration/],
  [["--feature-gates=Nope=true"], /none of that name/],
  [
    ["--initial-cluster=a=http://a:1", "--discovery-srv=d"],
    /initial-cluster and discovery-srv together/,
  ],
  [["--discovery-token=t"], /without the other/],
  [["--discovery-endpoints=e"], /without the other/],
  [["--client-cert-auth"], /trusted-ca-file must name the authorities/],
  [["--client-crl-file=c"], /trusted-ca-file must name the authorities/],
  [["--client-cert-allowed-hostname=h"], /trusted-ca-file must name/],
  [["--auto-tls", "--self-signed-cert-validity=0"], /must be positive/],
  [["--cipher-suites=TLS_FOO"], /unexpected TLS cipher suite "TLS_FOO"/],
  [
    ["--tls-max-version=TLS1.2", "--cipher-suites=TLS_RSA_WITH_RC4_128_SHA"],
    /with TLS1.2 alone one of these is needed: TLS_ECDHE_/,
  ],
  [
    ["--listen-metrics-urls=https://127.0.0.1:1"],
    /must be provided for metrics secure url/,
  ],
  [
    ["--listen-client-http-urls=unixs:///a"],
    /must be provided for client url unixs:\/\/\/a with HTTPS scheme/,
  ],
  [
    [
      "--listen-client-urls=https://127.0.0.1:1",
      "--advertise-client-urls=https://a:1",
    ],
    /must be provided for client url https:\/\/127.0.0.1:1/,
  ],
];

for (const [argv, message] of CONTRADICTIONS) {
  Deno.test(`parseConfig() refuses ${argv.join(" ")}`, async () => {
    await refused({ argv }, message);
  });
}

Deno.test("parseConfig() never shows the options of a token", async () => {
  await assert.rejects(
    parse({ argv: ["--auth-token=nope,password=hunter2"] }),
    (error) => !(error as Error).message.includes("hunter2"),
  );
});
