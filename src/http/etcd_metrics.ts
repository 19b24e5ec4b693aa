import {
  type Counter,
  exponentialBuckets,
  type Family,
  type Gauge,
  type Histogram,
  type Registry,
} from "../base/metrics.ts";
import type { CommitObserver } from "../mvcc/store.ts";
import type { HealthRecorder } from "./health.ts";

/** Who the server is, for the metrics that say so in a label. */
export interface MetricsIdentity {
  readonly etcdVersion: string;
  /** `3.7.0`; shown without the patch. */
  readonly clusterVersion: string;
  readonly steleVersion: string;
  readonly memberId: bigint;
  readonly featureGates: Readonly<Record<string, boolean>>;
}

/** Values that the server knows anyway; read for each exposition only. */
export interface MetricsSource {
  readonly hasLeader: boolean;
  readonly revision: number;
  /** -1 before the first compaction. */
  readonly compactRevision: number;
  /** Batches committed and applied by this replica since the log began. */
  readonly appliedBatches: number;
  /** Writes that wait for their batch. */
  readonly pendingWrites: number;
  readonly keys: number;
  readonly dbSizeBytes: number;
  readonly dbSizeInUseBytes: number;
  /** Infinity: no quota. */
  readonly quotaBytes: number;
  readonly watchStreams: number;
  readonly watchers: number;
  /** Watchers that are behind and fed from history. */
  readonly slowWatchers: number;
  readonly pendingEvents: number;
  readonly authRevision: number;
  /** The alarms that are set, by etcd's names. */
  alarms(): readonly string[];
}

/** etcd's bounds. The first is the highest latency that counts as fast. */
const FROM_1_MS = exponentialBuckets(0.001, 2, 14);
const FROM_100_US = exponentialBuckets(0.0001, 2, 20);
const FROM_10_MS = exponentialBuckets(0.01, 2, 17);
const FROM_100_MS = exponentialBuckets(0.1, 2, 13);
const HASH_BUCKETS = exponentialBuckets(0.01, 2, 15);
const LEASE_TTL_BUCKETS = exponentialBuckets(1, 2, 24);
const PAUSE_MS_BUCKETS = exponentialBuckets(1, 2, 13);
const COMPACTION_MS_BUCKETS = exponentialBuckets(100, 2, 14);
const INDEX_PAUSE_MS_BUCKETS = exponentialBuckets(0.5, 2, 14);

/** A client names its own version: this many are told apart, the rest count as `unknown`. */
const MAX_CLIENT_VERSIONS = 32;

/**
 * The metrics that dashboards and alerts made for etcd look for, under etcd's names and with its buckets, at
 * zero from the start. Each member is to be counted up or observed by whoever does the work; what the server
 * merely knows comes from a `MetricsSource`.
 *
 * Without Raft, a commit of the database stands for the WAL's fsync and for the backend's commit, and a batch
 * for a proposal.
 *
 * Long because it is one list of names with their help; there is nothing in it to take apart.
 */
export class EtcdMetrics implements CommitObserver, HealthRecorder {
  /** Seconds, as all durations here that do not say otherwise. */
  readonly walFsyncDuration: Histogram;
  readonly walWriteDuration: Histogram;
  readonly walWriteBytes: Gauge;
  readonly backendCommitDuration: Histogram;
  readonly defragDuration: Histogram;
  /** 1 while a defragmentation runs. */
  readonly defragInflight: Gauge;
  readonly snapshotDuration: Histogram;

  /** Keys put and deleted, ranges and transactions asked for. */
  readonly puts: Counter;
  readonly deletes: Counter;
  readonly txns: Counter;
  readonly ranges: Counter;
  readonly putBytes: Gauge;
  readonly hashDuration: Histogram;
  readonly hashRevDuration: Histogram;

  readonly leasesGranted: Counter;
  readonly leasesRevoked: Counter;
  readonly leasesRenewed: Counter;
  readonly leasesExpired: Counter;
  readonly leaseTtlSeconds: Histogram;

  readonly eventsSent: Counter;
  /** Sending a response with events; the second divided by the number of its events. */
  readonly watchSendDuration: Histogram;
  readonly watchSendPerEventDuration: Histogram;
  /** Sending the answer to a create, cancel or progress request, and a periodic progress notice. */
  readonly watchControlDuration: Histogram;
  readonly watchProgressDuration: Histogram;
  readonly compactedKeys: Counter;
  /** When the last compaction ended, in seconds since the epoch. */
  readonly lastCompaction: Gauge;
  readonly compactionPauseMs: Histogram;
  readonly compactionTotalMs: Histogram;
  readonly indexCompactionPauseMs: Histogram;

  readonly leaderChanges: Counter;
  readonly proposalsFailed: Counter;
  readonly slowApplies: Counter;
  readonly slowReadIndexes: Counter;
  readonly failedReadIndexes: Counter;

  /** By version (`v3`), operation (`Put`, …) and success. */
  readonly applyDuration: Family<Histogram>;
  /** By success. */
  readonly rangeDuration: Family<Histogram>;
  /** By type (`Range`, `Put`, …) and success. */
  readonly requestDuration: Family<Histogram>;

  readonly grpcSentBytes: Counter;
  readonly grpcReceivedBytes: Counter;

  readonly #registry: Registry;
  readonly #identity: MetricsIdentity;
  readonly #healthSuccess: Counter;
  readonly #healthFailures: Counter;
  readonly #healthcheck: Family<Gauge>;
  readonly #healthchecks: Family<Counter>;
  readonly #clientRequests: Family<Counter>;
  /** One map each for unary calls and streams, by the client's version. */
  readonly #unaryByVersion = new Map<string, Counter>();
  readonly #streamsByVersion = new Map<string, Counter>();

  constructor(registry: Registry, identity: MetricsIdentity) {
    const r = registry;
    this.#registry = r;
    this.#identity = identity;

    this.walFsyncDuration = r.histogram(
      "etcd_disk_wal_fsync_duration_seconds",
      "How long it took to make a batch durable.",
      FROM_1_MS,
    );
    this.walWriteDuration = r.histogram(
      "etcd_disk_wal_write_duration_seconds",
      "How long it took to write a batch.",
      FROM_1_MS,
    );
    this.walWriteBytes = r.gauge(
      "etcd_disk_wal_write_bytes_total",
      "Bytes of batches written to the database.",
    );
    this.backendCommitDuration = r.histogram(
      "etcd_disk_backend_commit_duration_seconds",
      "How long the database took to commit a batch.",
      FROM_1_MS,
    );
    this.defragDuration = r.histogram(
      "etcd_disk_backend_defrag_duration_seconds",
      "How long defragmentations took.",
      FROM_100_MS,
    );
    this.defragInflight = r.gauge(
      "etcd_disk_defrag_inflight",
      "Whether a defragmentation is under way: 1 or 0.",
    );
    this.snapshotDuration = r.histogram(
      "etcd_disk_backend_snapshot_duration_seconds",
      "How long snapshots took.",
      FROM_10_MS,
    );

    this.puts = r.counter("etcd_mvcc_put_total", "Keys that were put.");
    this.deletes = r.counter(
      "etcd_mvcc_delete_total",
      "Keys that were deleted.",
    );
    this.txns = r.counter(
      "etcd_mvcc_txn_total",
      "Transactions that were evaluated.",
    );
    this.ranges = r.counter(
      "etcd_mvcc_range_total",
      "Ranges that were read.",
    );
    this.putBytes = r.gauge(
      "etcd_debugging_mvcc_total_put_size_in_bytes",
      "Bytes of keys and values that were put.",
    );
    this.hashDuration = r.histogram(
      "etcd_mvcc_hash_duration_seconds",
      "How long it took to hash the whole store.",
      HASH_BUCKETS,
    );
    this.hashRevDuration = r.histogram(
      "etcd_mvcc_hash_rev_duration_seconds",
      "How long it took to hash the store up to a revision.",
      HASH_BUCKETS,
    );

    this.leasesGranted = r.counter(
      "etcd_debugging_lease_granted_total",
      "Leases that were granted.",
    );
    this.leasesRevoked = r.counter(
      "etcd_debugging_lease_revoked_total",
      "Leases that were revoked.",
    );
    this.leasesRenewed = r.counter(
      "etcd_debugging_lease_renewed_total",
      "Renewals of leases.",
    );
    this.leasesExpired = r.counter(
      "etcd_debugging_server_lease_expired_total",
      "Leases that expired.",
    );
    this.leaseTtlSeconds = r.histogram(
      "etcd_debugging_lease_ttl_total",
      "Times to live that leases were granted, in seconds.",
      LEASE_TTL_BUCKETS,
    );

    this.eventsSent = r.counter(
      "etcd_debugging_mvcc_events_total",
      "Events sent to watchers.",
    );
    const sendLoop = (what: string, help: string) =>
      r.histogram(
        `etcd_debugging_server_watch_send_loop_${what}_duration_seconds`,
        help,
        FROM_1_MS,
      );
    this.watchSendDuration = sendLoop(
      "watch_stream",
      "How long it took to send events to a watch stream.",
    );
    this.watchSendPerEventDuration = r.histogram(
      "etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds",
      "The same divided by the number of events.",
      FROM_1_MS,
    );
    this.watchControlDuration = sendLoop(
      "control_stream",
      "How long it took to answer requests on a watch stream.",
    );
    this.watchProgressDuration = sendLoop(
      "progress",
      "How long it took to send progress notices to a watch stream.",
    );
    this.compactedKeys = r.counter(
      "etcd_debugging_mvcc_db_compaction_keys_total",
      "Revisions of keys that compactions removed.",
    );
    this.lastCompaction = r.gauge(
      "etcd_debugging_mvcc_db_compaction_last",
      "When the last compaction ended, in Unix time; 0 if there was none since the start.",
    );
    this.compactionPauseMs = r.histogram(
      "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
      "How long single steps of compactions took.",
      PAUSE_MS_BUCKETS,
    );
    this.compactionTotalMs = r.histogram(
      "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
      "How long whole compactions took.",
      COMPACTION_MS_BUCKETS,
    );
    this.indexCompactionPauseMs = r.histogram(
      "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds",
      "How long compacting the index in memory took.",
      INDEX_PAUSE_MS_BUCKETS,
    );

    this.leaderChanges = r.counter(
      "etcd_server_leader_changes_seen_total",
      "Changes of the leader.",
    );
    this.proposalsFailed = r.counter(
      "etcd_server_proposals_failed_total",
      "Batches that could not be committed.",
    );
    this.slowApplies = r.counter(
      "etcd_server_slow_apply_total",
      "Writes that took longer than warning-apply-duration to apply.",
    );
    this.slowReadIndexes = r.counter(
      "etcd_server_slow_read_indexes_total",
      "Linearizable reads that waited too long for the log's end.",
    );
    this.failedReadIndexes = r.counter(
      "etcd_server_read_indexes_failed_total",
      "Linearizable reads that could not learn the log's end.",
    );
    // Nothing here sends heartbeats, but an alert may ask how many failed.
    r.counter(
      "etcd_server_heartbeat_send_failures_total",
      "Always 0: there are no heartbeats.",
    );

    this.applyDuration = r.histograms(
      "etcd_server_apply_duration_seconds",
      "How long it took to apply writes.",
      ["op", "success", "version"],
      FROM_100_US,
    );
    this.rangeDuration = r.histograms(
      "etcd_server_range_duration_seconds",
      "How long it took to read ranges.",
      ["success"],
      FROM_100_US,
    );
    this.requestDuration = r.histograms(
      "etcd_server_request_duration_seconds",
      "How long requests took, by type.",
      ["success", "type"],
      FROM_1_MS,
    );

    this.grpcSentBytes = r.counter(
      "etcd_network_client_grpc_sent_bytes_total",
      "Bytes of messages sent to gRPC clients.",
    );
    this.grpcReceivedBytes = r.counter(
      "etcd_network_client_grpc_received_bytes_total",
      "Bytes of messages received from gRPC clients.",
    );
    this.#clientRequests = r.counters(
      "etcd_server_client_requests_total",
      "Calls by the client's version.",
      ["client_api_version", "type"],
    );

    this.#healthSuccess = r.counter(
      "etcd_server_health_success",
      "Health checks that succeeded.",
    );
    this.#healthFailures = r.counter(
      "etcd_server_health_failures",
      "Health checks that failed.",
    );
    this.#healthcheck = r.gauges(
      "etcd_server_healthcheck",
      "What each check found last: 1 is well.",
      ["name", "type"],
    );
    this.#healthchecks = r.counters(
      "etcd_server_healthchecks_total",
      "How often each check found what.",
      ["name", "status", "type"],
    );
    this.#declareIdentity();
  }

  /** Plugs in the values that are only read for an exposition. Once. */
  observe(source: MetricsSource): void {
    const gauge = (name: string, help: string, read: () => number) =>
      this.#registry.callback("gauge", name, help, read);
    gauge(
      "etcd_server_has_leader",
      "Whether there is a leader: 1 or 0.",
      () => Number(source.hasLeader),
    );
    gauge(
      "etcd_server_is_leader",
      "Whether this server is the leader: 1 or 0.",
      () => Number(source.hasLeader),
    );
    gauge(
      "etcd_server_proposals_committed_total",
      "Batches that were committed.",
      () => source.appliedBatches,
    );
    gauge(
      "etcd_server_proposals_applied_total",
      "Batches that were applied.",
      () => source.appliedBatches,
    );
    gauge(
      "etcd_server_proposals_pending",
      "Writes that wait to be committed.",
      () => source.pendingWrites,
    );
    gauge(
      "etcd_server_quota_backend_bytes",
      "The quota on the size of the data; 0 is none.",
      () => Number.isFinite(source.quotaBytes) ? source.quotaBytes : 0,
    );
    gauge(
      "etcd_mvcc_db_total_size_in_bytes",
      "The database's size on disk.",
      () => source.dbSizeBytes,
    );
    gauge(
      "etcd_mvcc_db_total_size_in_use_in_bytes",
      "How much of it holds data.",
      () => source.dbSizeInUseBytes,
    );
    gauge(
      "etcd_debugging_mvcc_current_revision",
      "The current revision.",
      () => source.revision,
    );
    gauge(
      "etcd_debugging_mvcc_compact_revision",
      "The revision of the last compaction.",
      () => source.compactRevision,
    );
    gauge(
      "etcd_debugging_mvcc_keys_total",
      "Keys that exist.",
      () => source.keys,
    );
    gauge(
      "etcd_debugging_mvcc_watch_stream_total",
      "Watch streams that are open.",
      () => source.watchStreams,
    );
    gauge(
      "etcd_debugging_mvcc_watcher_total",
      "Watchers.",
      () => source.watchers,
    );
    gauge(
      "etcd_debugging_mvcc_slow_watcher_total",
      "Watchers that are behind.",
      () => source.slowWatchers,
    );
    gauge(
      "etcd_debugging_mvcc_pending_events_total",
      "Events that wait to be sent.",
      () => source.pendingEvents,
    );
    gauge(
      "etcd_debugging_auth_revision",
      "The revision of users and roles.",
      () => source.authRevision,
    );
    this.#observeAlarms(source);
  }

  /** A batch is durable. */
  committed(durationMs: number, _rows: number, bytes: number): void {
    const seconds = durationMs / 1000;
    this.walFsyncDuration.observe(seconds);
    this.backendCommitDuration.observe(seconds);
    this.walWriteBytes.inc(bytes);
  }

  /** A batch could not be made durable. */
  failed(_error: unknown): void {
    this.proposalsFailed.inc();
  }

  /** The log has it. */
  readFailed(): void {}

  health(isHealthy: boolean): void {
    (isHealthy ? this.#healthSuccess : this.#healthFailures).inc();
  }

  check(type: "livez" | "readyz", name: string, isOk: boolean): void {
    this.#healthcheck.with(name, type).set(Number(isOk));
    this.#healthchecks.with(name, isOk ? "success" : "error", type).inc();
  }

  /** Counts a call by what the client said in its `client-api-version`. */
  clientRequest(type: "unary" | "stream", version: string | undefined): void {
    const byVersion = type === "unary"
      ? this.#unaryByVersion
      : this.#streamsByVersion;
    const name = version ?? "unknown";
    let counter = byVersion.get(name);
    if (counter === undefined) {
      const isNew = byVersion.size < MAX_CLIENT_VERSIONS;
      const shown = isNew ? name : "unknown";
      counter = this.#clientRequests.with(shown, type);
      if (isNew) byVersion.set(name, counter);
    }
    counter.inc();
  }

  #declareIdentity(): void {
    const { etcdVersion, clusterVersion, steleVersion, memberId } =
      this.#identity;
    const one = (name: string, help: string, label: string, value: string) =>
      this.#registry.gauges(name, help, [label]).with(value).set(1);
    one(
      "etcd_server_version",
      "The version of etcd's API, as a label.",
      "server_version",
      etcdVersion,
    );
    one(
      "etcd_cluster_version",
      "The version of the cluster, as a label.",
      "cluster_version",
      clusterVersion.replace(/^(\d+\.\d+)\..*$/, "$1"),
    );
    one(
      "stele_version",
      "The version of Stele, as a label.",
      "version",
      steleVersion,
    );
    one(
      "etcd_server_id",
      "The member's id in hexadecimal, as a label.",
      "server_id",
      memberId.toString(16),
    );
    this.#registry.gauge(
      "etcd_server_is_learner",
      "Always 0: there are no learners.",
    );
    const features = this.#registry.gauges(
      "etcd_server_feature_enabled",
      "Whether a feature gate is on: 1 or 0.",
      ["name", "stage"],
    );
    for (const [name, isOn] of Object.entries(this.#identity.featureGates)) {
      const stage = BETA_FEATURES.has(name) ? "BETA" : "ALPHA";
      features.with(name, stage).set(Number(isOn));
    }
  }

  #observeAlarms(source: MetricsSource): void {
    const alarms = this.#registry.gauges(
      "etcd_debugging_server_alarms",
      "The alarms that are set: 1 or 0.",
      ["alarm_type", "server_id"],
    );
    const id = this.#identity.memberId.toString(16);
    this.#registry.beforeRead(() => {
      const set = source.alarms();
      for (const name of ["CORRUPT", "NOSPACE"]) {
        alarms.with(name, id).set(Number(set.includes(name)));
      }
    });
  }
}

/** etcd's stages of its feature gates; the others are ALPHA. */
const BETA_FEATURES: ReadonlySet<string> = new Set([
  "AllBeta",
  "FastLeaseKeepAlive",
  "TxnModeWriteWithSharedBuffer",
]);
