import type { Clock } from "../base/clock.ts";
import { type Logger, LogThrottle } from "../base/log.ts";
import type { Counter, Histogram, Registry } from "../base/metrics.ts";
import {
  type CallObserver,
  type Method,
  newStreamTraffic,
  type StreamTraffic,
} from "../transport/grpc/service.ts";
import { Code } from "../transport/grpc/status.ts";
import type { EtcdMetrics } from "./etcd_metrics.ts";

export interface GrpcCallObserverOptions {
  readonly log: Logger;
  readonly clock: Clock;
  /** Unary calls that take longer are logged; Infinity: none. */
  readonly slowMs: number;
  /** Whether to keep a histogram of each method's durations: `--metrics=extensive`. */
  readonly extensive: boolean;
}

/** A method, as the observer wants to know it. */
export type ObservedMethod = Pick<Method, "kind" | "path">;

/** One method's counters, resolved in advance. */
interface MethodMetrics {
  readonly started: Counter;
  /** By code. */
  readonly handled: readonly Counter[];
  readonly received: Counter;
  readonly sent: Counter;
  readonly handling: Histogram | undefined;
  readonly isUnary: boolean;
  /** Of its streams; zero for a unary method. */
  readonly traffic: StreamTraffic;
  /** What etcd_server_request_duration_seconds calls it; undefined: not in it. */
  readonly requestType: string | undefined;
  requestOk: Histogram | undefined;
  requestFailed: Histogram | undefined;
}

/** Slow requests come in crowds; one is logged per second, with the number of the others. */
const SLOW_LOG_PERIOD_MS = 1000;

/** The buckets of Prometheus' client libraries. */
const HANDLING_BUCKETS = [.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10];

const KIND_LABEL = {
  unary: "unary",
  serverStream: "server_stream",
  duplex: "bidi_stream",
} as const;

/** gRPC's names of codes, by code. */
const CODE_NAMES: readonly string[] = Object.entries(Code)
  .sort(([, a], [, b]) => a - b)
  .map(([name]) => name === "Ok" ? "OK" : name);

/** The services whose unary calls are in etcd_server_request_duration_seconds, and the names that differ. */
const TIMED_SERVICE = /^\/etcdserverpb\.(KV|Lease|Auth)\/|\/Alarm$/;
const REQUEST_TYPES: Readonly<Record<string, string>> = {
  Compact: "Compaction",
  UserAdd: "AuthUserAdd",
  UserGet: "AuthUserGet",
  UserList: "AuthUserList",
  UserDelete: "AuthUserDelete",
  UserChangePassword: "AuthUserChangePassword",
  UserGrantRole: "AuthUserGrantRole",
  UserRevokeRole: "AuthUserRevokeRole",
  RoleAdd: "AuthRoleAdd",
  RoleGet: "AuthRoleGet",
  RoleList: "AuthRoleList",
  RoleDelete: "AuthRoleDelete",
  RoleGrantPermission: "AuthRoleGrantPermission",
  RoleRevokePermission: "AuthRoleRevokePermission",
};

/**
 * Counts every call for grpc_server_* and etcd's own metrics, and logs slow ones.
 *
 * All counters exist from the start, at zero, for each method and code; a call costs one look-up by path at its
 * start, one at its end, and additions. Paths that no method has are not counted: they are the client's words.
 */
export class GrpcCallObserver implements CallObserver {
  readonly #byPath = new Map<string, MethodMetrics>();
  readonly #metrics: EtcdMetrics;
  readonly #slowMs: number;
  readonly #throttle: LogThrottle;
  /** Of unary calls. */
  #bytesIn = 0;
  #bytesOut = 0;

  constructor(
    registry: Registry,
    metrics: EtcdMetrics,
    methods: readonly ObservedMethod[],
    { log, clock, slowMs, extensive }: GrpcCallObserverOptions,
  ) {
    this.#metrics = metrics;
    this.#slowMs = slowMs;
    this.#throttle = new LogThrottle(log, clock, {
      periodMs: SLOW_LOG_PERIOD_MS,
    });
    const families = declareFamilies(registry, extensive);
    for (const method of methods) {
      this.#byPath.set(method.path, methodMetrics(families, method));
    }
    registry.beforeRead(() => this.#countStreams());
  }

  started(path: string): void {
    const method = this.#byPath.get(path);
    if (method === undefined) return;
    method.started.value++;
    if (method.isUnary) method.received.value++;
  }

  handled(
    path: string,
    code: number,
    durationMs: number,
    bytesIn: number,
    bytesOut: number,
  ): void {
    this.#bytesIn += bytesIn;
    this.#bytesOut += bytesOut;
    const method = this.#byPath.get(path);
    if (method === undefined) return;
    const handled = method.handled[code] ?? method.handled[Code.Unknown]!;
    handled.value++;
    const seconds = durationMs / 1000;
    if (method.handling !== undefined) method.handling.observe(seconds);
    if (!method.isUnary) return;
    if (code === Code.Ok) method.sent.value++;
    if (method.requestType !== undefined) {
      this.#observeRequest(method, code === Code.Ok, seconds);
    }
    if (durationMs > this.#slowMs) {
      this.#throttle.warn("slow request", {
        method: path,
        code: CODE_NAMES[code] ?? String(code),
        durationMs: Math.round(durationMs),
        requestBytes: bytesIn,
        responseBytes: bytesOut,
      });
    }
  }

  traffic(path: string): StreamTraffic {
    return this.#byPath.get(path)?.traffic ?? newStreamTraffic();
  }

  #countStreams(): void {
    let bytesIn = this.#bytesIn;
    let bytesOut = this.#bytesOut;
    for (const { isUnary, traffic, received, sent } of this.#byPath.values()) {
      if (isUnary) continue;
      received.value = traffic.messagesIn;
      sent.value = traffic.messagesOut;
      bytesIn += traffic.bytesIn;
      bytesOut += traffic.bytesOut;
    }
    this.#metrics.grpcReceivedBytes.value = bytesIn;
    this.#metrics.grpcSentBytes.value = bytesOut;
  }

  /** etcd shows a type only once it has been asked for. */
  #observeRequest(method: MethodMetrics, isOk: boolean, seconds: number): void {
    const known = isOk ? method.requestOk : method.requestFailed;
    if (known !== undefined) return known.observe(seconds);
    const histogram = this.#metrics.requestDuration
      .with(String(isOk), method.requestType!);
    if (isOk) method.requestOk = histogram;
    else method.requestFailed = histogram;
    histogram.observe(seconds);
  }
}

type Families = ReturnType<typeof declareFamilies>;

function declareFamilies(registry: Registry, extensive: boolean) {
  const labels = ["grpc_method", "grpc_service", "grpc_type"];
  return {
    started: registry.counters(
      "grpc_server_started_total",
      "Calls that began.",
      labels,
    ),
    handled: registry.counters(
      "grpc_server_handled_total",
      "Calls that ended, by code.",
      ["grpc_code", ...labels],
    ),
    received: registry.counters(
      "grpc_server_msg_received_total",
      "Messages received.",
      labels,
    ),
    sent: registry.counters(
      "grpc_server_msg_sent_total",
      "Messages sent.",
      labels,
    ),
    handling: extensive
      ? registry.histograms(
        "grpc_server_handling_seconds",
        "How long calls took.",
        labels,
        HANDLING_BUCKETS,
      )
      : undefined,
  };
}

function methodMetrics(
  families: Families,
  { kind, path }: ObservedMethod,
): MethodMetrics {
  const [, service = "", name = ""] = path.split("/");
  const labels = [name, service, KIND_LABEL[kind]];
  const isUnary = kind === "unary";
  return {
    started: families.started.with(...labels),
    handled: CODE_NAMES.map((code) => families.handled.with(code, ...labels)),
    received: families.received.with(...labels),
    sent: families.sent.with(...labels),
    handling: families.handling?.with(...labels),
    isUnary,
    traffic: newStreamTraffic(),
    requestType: isUnary && TIMED_SERVICE.test(path)
      ? REQUEST_TYPES[name] ?? name
      : undefined,
    requestOk: undefined,
    requestFailed: undefined,
  };
}
