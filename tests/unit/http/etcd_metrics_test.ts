import assert from "node:assert/strict";
import { Registry } from "../../../src/base/metrics.ts";
import { FEATURE_GATES } from "../../../src/config/feature_gates.ts";
import {
  EtcdMetrics,
  type MetricsSource,
} from "../../../src/http/etcd_metrics.ts";
import { registerProcessMetrics } from "../../../src/http/process_metrics.ts";
import { parseExposition, sampleValue } from "../../support/exposition.ts";

function makeMetrics(overrides: Partial<MetricsSource> = {}) {
  const registry = new Registry();
  const metrics = new EtcdMetrics(registry, {
    etcdVersion: "3.7.1",
    clusterVersion: "3.7.0",
    steleVersion: "0.1.0",
    memberId: 0x1e538232f1a33ff2n,
    featureGates: FEATURE_GATES,
  });
  metrics.observe({
    hasLeader: true,
    revision: 10,
    compactRevision: -1,
    appliedBatches: 4,
    pendingWrites: 1,
    keys: 2,
    dbSizeBytes: 4096,
    dbSizeInUseBytes: 1024,
    quotaBytes: 2 ** 31,
    watchStreams: 3,
    watchers: 5,
    slowWatchers: 1,
    pendingEvents: 6,
    authRevision: 1,
    alarms: () => ["NOSPACE"],
    ...overrides,
  });
  const value = (name: string, labels?: Record<string, string>) =>
    sampleValue(registry.exposition(), name, labels);
  return { registry, metrics, value };
}

/** Families of etcd 3.7.1 that dashboards and alerts ask for, with their types. */
const EXPECTED: Readonly<Record<string, string>> = {
  etcd_server_has_leader: "gauge",
  etcd_server_is_leader: "gauge",
  etcd_server_is_learner: "gauge",
  etcd_server_id: "gauge",
  etcd_server_version: "gauge",
  etcd_cluster_version: "gauge",
  etcd_server_feature_enabled: "gauge",
  etcd_server_leader_changes_seen_total: "counter",
  etcd_server_heartbeat_send_failures_total: "counter",
  etcd_server_proposals_committed_total: "gauge",
  etcd_server_proposals_applied_total: "gauge",
  etcd_server_proposals_pending: "gauge",
  etcd_server_proposals_failed_total: "counter",
  etcd_server_quota_backend_bytes: "gauge",
  etcd_server_health_success: "counter",
  etcd_server_health_failures: "counter",
  etcd_server_slow_apply_total: "counter",
  etcd_server_slow_read_indexes_total: "counter",
  etcd_server_read_indexes_failed_total: "counter",
  etcd_mvcc_db_total_size_in_bytes: "gauge",
  etcd_mvcc_db_total_size_in_use_in_bytes: "gauge",
  etcd_mvcc_put_total: "counter",
  etcd_mvcc_delete_total: "counter",
  etcd_mvcc_txn_total: "counter",
  etcd_mvcc_range_total: "counter",
  etcd_mvcc_hash_duration_seconds: "histogram",
  etcd_mvcc_hash_rev_duration_seconds: "histogram",
  etcd_disk_wal_fsync_duration_seconds: "histogram",
  etcd_disk_wal_write_duration_seconds: "histogram",
  etcd_disk_wal_write_bytes_total: "gauge",
  etcd_disk_backend_commit_duration_seconds: "histogram",
  etcd_disk_backend_defrag_duration_seconds: "histogram",
  etcd_disk_backend_snapshot_duration_seconds: "histogram",
  etcd_disk_defrag_inflight: "gauge",
  etcd_network_client_grpc_sent_bytes_total: "counter",
  etcd_network_client_grpc_received_bytes_total: "counter",
  etcd_debugging_mvcc_keys_total: "gauge",
  etcd_debugging_mvcc_watch_stream_total: "gauge",
  etcd_debugging_mvcc_watcher_total: "gauge",
  etcd_debugging_mvcc_slow_watcher_total: "gauge",
  etcd_debugging_mvcc_events_total: "counter",
  etcd_debugging_mvcc_pending_events_total: "gauge",
  etcd_debugging_mvcc_current_revision: "gauge",
  etcd_debugging_mvcc_compact_revision: "gauge",
  etcd_debugging_mvcc_total_put_size_in_bytes: "gauge",
  etcd_debugging_mvcc_db_compaction_keys_total: "counter",
  etcd_debugging_mvcc_db_compaction_last: "gauge",
  etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds: "histogram",
  etcd_debugging_mvcc_db_compaction_total_duration_milliseconds: "histogram",
  etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds: "histogram",
  etcd_debugging_lease_granted_total: "counter",
  etcd_debugging_lease_revoked_total: "counter",
  etcd_debugging_lease_renewed_total: "counter",
  etcd_debugging_lease_ttl_total: "histogram",
  etcd_debugging_server_lease_expired_total: "counter",
  etcd_debugging_server_alarms: "gauge",
  etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds:
    "histogram",
  etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds:
    "histogram",
  etcd_debugging_server_watch_send_loop_control_stream_duration_seconds:
    "histogram",
  etcd_debugging_server_watch_send_loop_progress_duration_seconds: "histogram",
  etcd_debugging_auth_revision: "gauge",
};

Deno.test("EtcdMetrics shows etcd's families from the start, each with help", () => {
  const families = parseExposition(makeMetrics().registry.exposition());
  for (const [name, type] of Object.entries(EXPECTED)) {
    const family = families.get(name);
    assert.equal(family?.type, type, name);
    assert.notEqual(family?.help, "", name);
    assert.ok(family!.samples.length > 0, name);
  }
});

/** Last finite bucket, and number of buckets, as etcd 3.7.1 shows them. */
const BUCKETS: Readonly<Record<string, readonly [string, number]>> = {
  etcd_disk_wal_fsync_duration_seconds: ["8.192", 15],
  etcd_disk_backend_commit_duration_seconds: ["8.192", 15],
  etcd_disk_backend_defrag_duration_seconds: ["409.6", 14],
  etcd_disk_backend_snapshot_duration_seconds: ["655.36", 18],
  etcd_mvcc_hash_duration_seconds: ["163.84", 16],
  etcd_debugging_lease_ttl_total: ["8388608", 25],
  etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds: ["4096", 14],
  etcd_debugging_mvcc_db_compaction_total_duration_milliseconds: [
    "819200",
    15,
  ],
  etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds: [
    "4096",
    15,
  ],
};

Deno.test("EtcdMetrics has etcd's buckets", () => {
  const families = parseExposition(makeMetrics().registry.exposition());
  for (const [name, [last, count]] of Object.entries(BUCKETS)) {
    const bounds = families.get(name)!.samples
      .filter((sample) => sample.name.endsWith("_bucket"))
      .map((sample) => sample.labels.le);
    assert.equal(bounds.length, count, name);
    assert.equal(bounds.at(-2), last, name);
    assert.equal(bounds.at(-1), "+Inf", name);
  }
});

Deno.test("EtcdMetrics.observe() shows what the server knows", () => {
  const { value } = makeMetrics();
  assert.equal(value("etcd_server_has_leader"), 1);
  assert.equal(value("etcd_debugging_mvcc_current_revision"), 10);
  assert.equal(value("etcd_debugging_mvcc_compact_revision"), -1);
  assert.equal(value("etcd_server_proposals_applied_total"), 4);
  assert.equal(value("etcd_server_quota_backend_bytes"), 2 ** 31);
  assert.equal(value("etcd_mvcc_db_total_size_in_use_in_bytes"), 1024);
  const server_id = "1e538232f1a33ff2";
  const alarm = (alarm_type: string) =>
    value("etcd_debugging_server_alarms", { alarm_type, server_id });
  assert.equal(alarm("NOSPACE"), 1);
  assert.equal(alarm("CORRUPT"), 0);
});

Deno.test("EtcdMetrics.observe() shows no quota as 0", () => {
  const { value } = makeMetrics({ quotaBytes: Infinity });
  assert.equal(value("etcd_server_quota_backend_bytes"), 0);
});

Deno.test("EtcdMetrics says who the server is", () => {
  const { value } = makeMetrics();
  assert.equal(value("etcd_server_version", { server_version: "3.7.1" }), 1);
  assert.equal(value("etcd_cluster_version", { cluster_version: "3.7" }), 1);
  assert.equal(value("etcd_server_id", { server_id: "1e538232f1a33ff2" }), 1);
  const feature = (name: string, stage: string) =>
    value("etcd_server_feature_enabled", { name, stage });
  assert.equal(feature("FastLeaseKeepAlive", "BETA"), 1);
  assert.equal(feature("PriorityRequest", "ALPHA"), 0);
});

Deno.test("EtcdMetrics.committed() counts a batch as fsync and commit", () => {
  const { metrics, value } = makeMetrics();
  metrics.committed(3, 10, 500);
  metrics.failed(new Error("disk"));
  const fsync = "etcd_disk_wal_fsync_duration_seconds";
  assert.equal(value(`${fsync}_bucket`, { le: "0.002" }), 0);
  assert.equal(value(`${fsync}_bucket`, { le: "0.004" }), 1);
  assert.equal(value("etcd_disk_backend_commit_duration_seconds_count"), 1);
  assert.equal(value("etcd_disk_wal_write_bytes_total"), 500);
  assert.equal(value("etcd_server_proposals_failed_total"), 1);
});

Deno.test("EtcdMetrics.clientRequest() counts by version, and not without bound", () => {
  const { registry, metrics, value } = makeMetrics();
  metrics.clientRequest("unary", "3.7");
  metrics.clientRequest("unary", "3.7");
  metrics.clientRequest("stream", undefined);
  const labels = { type: "unary", client_api_version: "3.7" };
  const name = "etcd_server_client_requests_total";
  assert.equal(value(name, labels), 2);
  assert.equal(
    value(name, { type: "stream", client_api_version: "unknown" }),
    1,
  );
  for (let i = 0; i < 1000; i++) metrics.clientRequest("unary", `v${i}`);
  const { samples } = parseExposition(registry.exposition()).get(name)!;
  assert.ok(samples.length < 40, `${samples.length} samples`);
  const total = samples.reduce((sum, sample) => sum + sample.value, 0);
  assert.equal(total, 1003);
});

Deno.test("registerProcessMetrics() tells of this process", () => {
  const registry = new Registry();
  registerProcessMetrics(registry);
  const text = registry.exposition();
  assert.ok(sampleValue(text, "process_resident_memory_bytes")! > 1e6);
  assert.ok(sampleValue(text, "process_cpu_seconds_total")! > 0);
  assert.ok(sampleValue(text, "process_start_time_seconds")! > 1.6e9);
  if (Deno.build.os !== "linux") return;
  assert.ok(sampleValue(text, "process_open_fds")! > 2);
  assert.ok(sampleValue(text, "os_fd_limit")! > 2);
});
