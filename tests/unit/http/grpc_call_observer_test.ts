import assert from "node:assert/strict";
import { Registry } from "../../../src/base/metrics.ts";
import { EtcdMetrics } from "../../../src/http/etcd_metrics.ts";
import { GrpcCallObserver } from "../../../src/http/grpc_call_observer.ts";
import { Code } from "../../../src/transport/grpc/status.ts";
import { parseExposition, sampleValue } from "../../support/exposition.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { CapturingLogger } from "../../support/log.ts";

const PUT = "/etcdserverpb.KV/Put";
const COMPACT = "/etcdserverpb.KV/Compact";
const USER_ADD = "/etcdserverpb.Auth/UserAdd";
const STATUS = "/etcdserverpb.Maintenance/Status";
const WATCH = "/etcdserverpb.Watch/Watch";
const SNAPSHOT = "/etcdserverpb.Maintenance/Snapshot";

function makeObserver({ extensive = false } = {}) {
  const registry = new Registry();
  const log = new CapturingLogger();
  const clock = new FakeClock();
  const metrics = new EtcdMetrics(registry, {
    etcdVersion: "3.7.1",
    clusterVersion: "3.7.0",
    steleVersion: "0.1.0",
    memberId: 1n,
    featureGates: {},
  });
  const unary = [PUT, COMPACT, USER_ADD, STATUS].map((path) => ({
    kind: "unary" as const,
    path,
  }));
  const observer = new GrpcCallObserver(
    registry,
    metrics,
    [
      ...unary,
      { kind: "duplex", path: WATCH },
      { kind: "serverStream", path: SNAPSHOT },
    ],
    { log, clock, slowMs: 300, extensive },
  );
  const value = (name: string, labels?: Record<string, string>) =>
    sampleValue(registry.exposition(), name, labels);
  return { registry, log, clock, metrics, observer, value };
}

const PUT_LABELS = {
  grpc_method: "Put",
  grpc_service: "etcdserverpb.KV",
  grpc_type: "unary",
};

Deno.test("GrpcCallObserver shows every method and code at zero", () => {
  const { registry, value } = makeObserver();
  const families = parseExposition(registry.exposition());
  assert.equal(families.get("grpc_server_started_total")!.samples.length, 6);
  const handled = families.get("grpc_server_handled_total")!.samples;
  assert.equal(handled.length, 6 * 17);
  assert.ok(handled.every((sample) => sample.value === 0));
  const codes = new Set(handled.map((sample) => sample.labels.grpc_code));
  for (const code of ["OK", "Canceled", "DataLoss", "Unauthenticated"]) {
    assert.ok(codes.has(code), code);
  }
  const type = (grpc_method: string, service: string, grpc_type: string) =>
    value("grpc_server_started_total", {
      grpc_method,
      grpc_service: `etcdserverpb.${service}`,
      grpc_type,
    });
  assert.equal(type("Watch", "Watch", "bidi_stream"), 0);
  assert.equal(type("Snapshot", "Maintenance", "server_stream"), 0);
  assert.equal(families.has("grpc_server_handling_seconds"), false);
});

Deno.test("GrpcCallObserver counts calls, codes, messages and bytes", () => {
  const { observer, value } = makeObserver();
  observer.started(PUT);
  observer.started(PUT);
  observer.handled(PUT, Code.Ok, 1, 100, 30);
  observer.handled(PUT, Code.ResourceExhausted, 1, 50, 0);
  assert.equal(value("grpc_server_started_total", PUT_LABELS), 2);
  const handled = (grpc_code: string) =>
    value("grpc_server_handled_total", { grpc_code, ...PUT_LABELS });
  assert.equal(handled("OK"), 1);
  assert.equal(handled("ResourceExhausted"), 1);
  assert.equal(handled("Unknown"), 0);
  assert.equal(value("grpc_server_msg_received_total", PUT_LABELS), 2);
  assert.equal(value("grpc_server_msg_sent_total", PUT_LABELS), 1);
  assert.equal(value("etcd_network_client_grpc_received_bytes_total"), 150);
  assert.equal(value("etcd_network_client_grpc_sent_bytes_total"), 30);
});

Deno.test("GrpcCallObserver counts a code that gRPC does not have as Unknown", () => {
  const { observer, value } = makeObserver();
  observer.handled(PUT, 99, 1, 0, 0);
  const labels = { grpc_code: "Unknown", ...PUT_LABELS };
  assert.equal(value("grpc_server_handled_total", labels), 1);
});

Deno.test("GrpcCallObserver makes no labels of paths that no method has", () => {
  const { registry, observer } = makeObserver();
  const before = registry.exposition().split("\n").length;
  observer.started("/evil/" + "x".repeat(100));
  observer.handled("/evil/" + "x".repeat(100), Code.Unimplemented, 1, 5, 0);
  assert.equal(registry.exposition().split("\n").length, before);
  observer.traffic("/evil/x").messagesIn++;
  assert.equal(registry.exposition().split("\n").length, before);
});

Deno.test("GrpcCallObserver counts what goes through streams while they are open", () => {
  const { observer, value } = makeObserver();
  observer.started(WATCH);
  observer.handled(PUT, Code.Ok, 1, 1000, 2000);
  const labels = {
    grpc_method: "Watch",
    grpc_service: "etcdserverpb.Watch",
    grpc_type: "bidi_stream",
  };
  assert.equal(value("grpc_server_msg_received_total", labels), 0);
  const traffic = observer.traffic(WATCH);
  traffic.messagesIn += 1;
  traffic.bytesIn += 10;
  traffic.messagesOut += 3;
  traffic.bytesOut += 30;
  observer.traffic(SNAPSHOT).bytesOut += 5;
  for (let i = 0; i < 2; i++) {
    assert.equal(value("grpc_server_msg_received_total", labels), 1);
    assert.equal(value("grpc_server_msg_sent_total", labels), 3);
    assert.equal(value("etcd_network_client_grpc_received_bytes_total"), 1010);
    assert.equal(value("etcd_network_client_grpc_sent_bytes_total"), 2035);
  }
  assert.equal(observer.traffic(WATCH), traffic, "one for all calls");
});

Deno.test("GrpcCallObserver times requests under etcd's names", () => {
  const { observer, value } = makeObserver();
  const count = (type: string, success: string) =>
    value("etcd_server_request_duration_seconds_count", { type, success });
  assert.equal(count("Put", "true"), undefined);
  observer.handled(PUT, Code.Ok, 1, 0, 0);
  observer.handled(PUT, Code.Ok, 1, 0, 0);
  observer.handled(PUT, Code.NotFound, 1, 0, 0);
  observer.handled(COMPACT, Code.OutOfRange, 1, 0, 0);
  observer.handled(USER_ADD, Code.Ok, 1, 0, 0);
  observer.handled(STATUS, Code.Ok, 1, 0, 0);
  observer.handled(WATCH, Code.Ok, 1, 0, 0);
  assert.equal(count("Put", "true"), 2);
  assert.equal(count("Put", "false"), 1);
  assert.equal(count("Compaction", "false"), 1);
  assert.equal(count("AuthUserAdd", "true"), 1);
  assert.equal(count("Status", "true"), undefined);
  assert.equal(count("Watch", "true"), undefined);
});

Deno.test("GrpcCallObserver keeps histograms of calls when metrics are extensive", () => {
  const { observer, value } = makeObserver({ extensive: true });
  observer.handled(PUT, Code.Ok, 20, 0, 0);
  const bucket = (le: string) =>
    value("grpc_server_handling_seconds_bucket", { ...PUT_LABELS, le });
  assert.equal(bucket("0.01"), 0);
  assert.equal(bucket("0.025"), 1);
  assert.equal(bucket("10"), 1);
});

Deno.test("GrpcCallObserver logs a unary call that takes longer than the limit", () => {
  const { observer, log } = makeObserver();
  observer.handled(PUT, Code.Ok, 300, 10, 20);
  observer.handled(WATCH, Code.Ok, 1e6, 0, 0);
  assert.deepEqual(log.entries, []);
  observer.handled(PUT, Code.Unavailable, 300.6, 10, 20);
  assert.deepEqual(log.entries, [{
    level: "warn",
    msg: "slow request",
    fields: {
      method: PUT,
      code: "Unavailable",
      durationMs: 301,
      requestBytes: 10,
      responseBytes: 20,
    },
  }]);
});

Deno.test("GrpcCallObserver does not flood the log with slow calls", () => {
  const { observer, log, clock } = makeObserver();
  for (let i = 0; i < 100; i++) observer.handled(PUT, Code.Ok, 400, 0, 0);
  assert.equal(log.entries.length, 1);
  clock.advance(1000);
  observer.handled(PUT, Code.Ok, 400, 0, 0);
  assert.equal(log.entries[1]!.fields.suppressed, 99);
});
