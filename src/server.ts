import type { RequestListener } from "node:http";
import type { Backend } from "./backend/backend.ts";
import { openBackend } from "./backend/open.ts";
import { StateKind } from "./backend/state_change.ts";
import { type Clock, SystemClock } from "./base/clock.ts";
import { type Logger, NO_LOG } from "./base/log.ts";
import { Registry } from "./base/metrics.ts";
import type { Compactor } from "./compactor/compactor.ts";
import { PeriodicCompactor } from "./compactor/periodic_compactor.ts";
import { RevisionCompactor } from "./compactor/revision_compactor.ts";
import { RowReaper } from "./compactor/row_reaper.ts";
import {
  type Config,
  minLeaseTtlSeconds,
  requestTimeoutMs,
} from "./config/config.ts";
import { withoutPassword } from "./config/endpoint.ts";
import { parseUrl } from "./config/urls.ts";
import {
  CLUSTER_VERSION,
  ETCD_VERSION,
  STELE_VERSION,
  STORAGE_VERSION,
} from "./config/version.ts";
import { ActivityMetrics } from "./http/activity_metrics.ts";
import { EtcdMetrics } from "./http/etcd_metrics.ts";
import { GrpcCallObserver } from "./http/grpc_call_observer.ts";
import { registerProcessMetrics } from "./http/process_metrics.ts";
import { HTTP_SERVER_OPTIONS, httpHandler } from "./http/router.ts";
import { clientRoutes, metricsRoutes } from "./http/routes.ts";
import type { ServerState, ServerSummary } from "./http/server_state.ts";
import { Lessor } from "./lease/lessor.ts";
import { Alarms, AlarmType } from "./mvcc/alarms.ts";
import { SpaceQuota } from "./mvcc/space_quota.ts";
import { DEFAULT_STORE_OPTIONS, Store } from "./mvcc/store.ts";
import { ClusterHandlers } from "./rpc/cluster.ts";
import { errorMapper } from "./rpc/errors.ts";
import { HeaderSource } from "./rpc/header.ts";
import { KvHandlers } from "./rpc/kv.ts";
import { LeaseHandlers } from "./rpc/lease.ts";
import { MaintenanceHandlers } from "./rpc/maintenance.ts";
import { watchMethod } from "./rpc/watch.ts";
import type { ListenAddress } from "./transport/address.ts";
import { HealthHandlers } from "./transport/grpc/health.ts";
import { reflectionMethods } from "./transport/grpc/reflection.ts";
import { GrpcServer } from "./transport/grpc/server.ts";
import type { Method } from "./transport/grpc/service.ts";
import { openHttp1Handover } from "./transport/http1_handover.ts";
import { Connection } from "./transport/http2/connection.ts";
import {
  DEFAULT_HTTP2_LIMITS,
  type Http2Limits,
} from "./transport/http2/limits.ts";
import { Listener, type ListenerParts } from "./transport/listener.ts";
import { WatchHub } from "./watch/hub.ts";

/** There is no Raft; clients want a term all the same, and it must not go back. */
const RAFT_TERM = 2;
/** What gRPC takes beyond a request's limit, so that the request's own error can be told; as etcd. */
const RECEIVE_OVERHEAD_BYTES = 512 << 10;
/** How long calls may take to finish when the server stops. */
const STOP_GRACE_MS = 2000;
/** How often the database's size is looked at, and values are tidied up, if anything was written. */
const HOUSEKEEPING_MS = 1000;
/** Bytes of values that one round of tidying moves at most: about 2 ms. */
const CLEAN_SLICE_BYTES = 2 << 20;
/**
 * What a slice of compacted rows may take: the SQLite worker serves appends every 500 rows, so that a write waits
 * for half of it at most. Measured with 100,000 rows and one writer: 4 ms 22k rows/s, p99 4 ms; 12 ms 48k rows/s,
 * p99 8 ms.
 */
const REAPER_SLICE_MS = 8;
/** Batches that are kept once there are twice as many: they settle lost answers and nothing else. */
const KEPT_BATCHES = 10_000;

/** A server that serves. */
export interface RunningServer extends AsyncDisposable {
  /** The addresses with the ports that were chosen. */
  readonly clientUrls: string[];
  /** Resolves if the server cannot go on. */
  readonly failed: Promise<Error>;
  /** Finishes what is under way, and closes. */
  stop(): Promise<void>;
}

/** What a server may be given instead of the machine's own. */
export interface ServerDeps {
  readonly log?: Logger;
  readonly clock?: Clock;
}

/**
 * Starts a server: opens the database, loads the state, and listens. Rejects, with everything closed
 * again, if one of these fails.
 */
export async function startServer(
  config: Config,
  deps: ServerDeps = {},
): Promise<RunningServer> {
  const server = new Server(
    config,
    deps.log ?? NO_LOG,
    deps.clock ?? new SystemClock(),
  );
  try {
    await server.start();
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

/** The composition root: the one place that knows all parts. Closes them in the reverse order of opening. */
class Server implements RunningServer {
  readonly clientUrls: string[] = [];
  readonly failed: Promise<Error>;
  readonly #fail: (error: Error) => void;
  readonly #startedMs: number;
  /** What to do at the end, last first. */
  readonly #closers: (() => Promise<void> | void)[] = [];
  readonly #listeners: Listener[] = [];
  #stopping: Promise<void> | undefined = undefined;

  constructor(
    readonly config: Config,
    readonly log: Logger,
    readonly clock: Clock,
  ) {
    const failure = Promise.withResolvers<Error>();
    this.failed = failure.promise;
    this.#fail = failure.resolve;
    this.#startedMs = clock.monotonicMs();
  }

  async start(): Promise<void> {
    const { config, log, clock } = this;
    const backend = openBackend(config.endpoint, {
      clock,
      log,
      synchronous: config.unsafeNoFsync ? "off" : "full",
    });
    const head = await backend.open();
    this.#closers.push(() => backend.close());

    const registry = new Registry();
    const lessor = new Lessor(clock, log, {
      minTtlSeconds: minLeaseTtlSeconds(config),
    });
    const alarms = new Alarms();
    const commits = new Relay();
    const store = new Store(backend, lessor, clock, {
      ...DEFAULT_STORE_OPTIONS,
      valueCacheBytes: config.valueCacheBytes,
      eventWindowBytes: config.eventWindowBytes,
    }, commits);
    store.addTable(StateKind.Lease, lessor);
    store.addTable(StateKind.Alarm, alarms);
    // Auth comes later; its state is kept for it.
    store.addTable(StateKind.Auth, { apply: () => {} });
    store.onFatal = (error) => this.#fail(asError(error));
    lessor.attachStore(store);
    await store.load(head);
    if (!store.identity.isKnown) {
      await store.write((tx) => store.identity.choose(tx));
    }
    const { clusterId, memberId } = store.identity;
    this.#closers.push(() => store.queue.drained());

    const metrics = new EtcdMetrics(registry, {
      etcdVersion: ETCD_VERSION,
      clusterVersion: CLUSTER_VERSION,
      steleVersion: STELE_VERSION,
      memberId,
      featureGates: config.featureGates,
    });
    commits.observers.push(metrics);
    registerProcessMetrics(registry);

    const quota = new SpaceQuota(
      backend,
      store,
      alarms,
      memberId,
      config.quotaBackendBytes,
    );
    await quota.look();
    const reaper = this.#startReaper(store, backend);
    const header = new HeaderSource(clusterId, memberId, RAFT_TERM);
    const hub = new WatchHub(store.events, header, clock, log, {
      progressIntervalMs: config.watchProgressNotifyIntervalMs,
      fragmentBytes: config.maxRequestBytes + RECEIVE_OVERHEAD_BYTES,
    });
    store.addListener(hub);
    store.addListener({ committed: () => {}, compacted: () => reaper.wake() });
    store.addListener(
      new ActivityMetrics(metrics, registry, {
        leases: lessor,
        watches: hub,
        reaper,
      }),
    );
    await lessor.start();
    this.#closers.push(() => lessor.stop());
    reaper.wake();
    this.#startCompactor(store);
    this.#startHousekeeping(store, quota, backend);

    const mapError = errorMapper(log);
    const health = new HealthHandlers();
    const methods: Method[] = [
      ...new KvHandlers(store, quota, reaper, header, metrics, config)
        .methods(),
      watchMethod(hub, { refusal: () => undefined }),
      ...new LeaseHandlers(lessor, store, quota, header, mapError).methods(),
      ...new ClusterHandlers({
        id: memberId,
        name: config.name,
        peerUrls: config.initialAdvertisePeerUrls,
        clientUrls: config.advertiseClientUrls,
      }, header).methods(),
      ...new MaintenanceHandlers(
        store,
        backend,
        alarms,
        quota,
        header,
        {
          version: ETCD_VERSION,
          storageVersion: STORAGE_VERSION,
          memberId,
          raftTerm: RAFT_TERM,
        },
        clock,
        metrics,
      ).methods(),
      ...health.methods(),
    ];
    const services = new Set(methods.map((m) => m.path.split("/")[1]!));
    methods.push(...reflectionMethods([...services].sort()));
    const observer = new GrpcCallObserver(registry, metrics, methods, {
      log,
      clock,
      slowMs: config.warningUnaryRequestDurationMs,
      extensive: config.metrics === "extensive",
    });
    const grpc = new GrpcServer(methods, clock, {
      maxReceiveBytes: config.maxRequestBytes + RECEIVE_OVERHEAD_BYTES,
      mapError,
      observer,
    });

    const state = this.#serverState({
      store,
      backend,
      alarms,
      quota,
      hub,
      lessor,
    });
    metrics.observe({
      get hasLeader() {
        return state.hasLeader;
      },
      get revision() {
        return store.currentRevision;
      },
      get compactRevision() {
        return store.compactRevision;
      },
      get appliedBatches() {
        return store.seq;
      },
      get pendingWrites() {
        return store.queue.length;
      },
      get keys() {
        return store.index.liveCount;
      },
      get dbSizeBytes() {
        return quota.size.totalBytes;
      },
      get dbSizeInUseBytes() {
        return quota.size.inUseBytes;
      },
      quotaBytes: config.quotaBackendBytes,
      get watchStreams() {
        return hub.stats.streams;
      },
      get watchers() {
        return hub.stats.watchers;
      },
      get slowWatchers() {
        return hub.stats.slowWatchers;
      },
      get pendingEvents() {
        return hub.stats.pendingRevisions;
      },
      authRevision: 1,
      alarms: () => state.alarms(),
    });

    const routes = {
      registry,
      recorder: metrics,
      log,
      clock,
      timeoutMs: requestTimeoutMs(config),
      versions: {
        etcdserver: ETCD_VERSION,
        etcdcluster: CLUSTER_VERSION,
        storage: STORAGE_VERSION,
      },
      steleVersion: STELE_VERSION,
    };
    this.#closers.push(() => {
      health.setServing(false);
      grpc.beginDrain();
      hub.close();
      grpc.stopStreams();
    });
    const { listenClientHttpUrls } = config;
    const client = httpHandler(clientRoutes(state, routes), { log });
    const limits = this.#http2Limits();
    const http2: ListenerParts["http2"] = (sink, peer) =>
      new Connection(sink, grpc, clock, limits, peer);
    this.clientUrls.push(
      ...await this.#listen(config.listenClientUrls, {
        http2,
        http1: listenClientHttpUrls.length === 0 ? client : undefined,
      }),
    );
    await this.#listen(listenClientHttpUrls, {
      http2: undefined,
      http1: client,
    });
    await this.#listen(config.listenMetricsUrls, {
      http2: undefined,
      http1: httpHandler(metricsRoutes(state, routes), { log }),
    });
  }

  stop(): Promise<void> {
    return this.#stopping ??= this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #close(): Promise<void> {
    const listening = this.#listeners.map((l) => l.shutdown(STOP_GRACE_MS));
    // The last closer ends the streams: connections cannot drain before that.
    const closers = this.#closers.reverse();
    const errors: unknown[] = [];
    let isFirst = true;
    for (const close of closers) {
      try {
        await close();
        if (isFirst) await Promise.all(listening);
      } catch (error) {
        errors.push(error);
      }
      isFirst = false;
    }
    if (errors.length > 0) this.log.warn("stopped with errors", { errors });
  }

  async #listen(
    urls: readonly string[],
    parts: {
      http2: ListenerParts["http2"];
      http1: RequestListener | undefined;
    },
  ): Promise<string[]> {
    const { log, clock } = this;
    const listening: string[] = [];
    for (const url of urls) {
      const http1 = parts.http1 === undefined
        ? undefined
        : await openHttp1Handover(parts.http1, HTTP_SERVER_OPTIONS);
      for (const address of addressesOf(url)) {
        const listener = new Listener(address, {
          http2: parts.http2,
          http1,
          clock,
          log,
        });
        await listener.listen();
        this.#listeners.push(listener);
        listening.push(listener.url);
      }
      if (http1 !== undefined) this.#closers.unshift(() => http1.close());
    }
    return listening;
  }

  #http2Limits(): Http2Limits {
    const { config } = this;
    return {
      ...DEFAULT_HTTP2_LIMITS,
      maxConcurrentStreams: config.maxConcurrentStreams,
      pingIntervalMs: config.grpcKeepaliveIntervalMs,
      pingTimeoutMs: config.grpcKeepaliveTimeoutMs,
      minPingIntervalMs: config.grpcKeepaliveMinTimeMs,
    };
  }

  #startReaper(store: Store, backend: Backend): RowReaper {
    const { config } = this;
    const reaper = new RowReaper(
      {
        next: (max) => store.nextGarbage(max),
        remove: (rows) => backend.remove(rows),
        busy: () => store.queue.length > 0,
      },
      this.clock,
      this.log,
      {
        maxSliceRows: config.compactionBatchLimit,
        targetSliceMs: REAPER_SLICE_MS,
        pauseMs: config.compactionSleepIntervalMs,
      },
    );
    this.#closers.push(() => reaper.stop());
    return reaper;
  }

  #startCompactor(store: Store): void {
    const { autoCompaction } = this.config;
    let compactor: Compactor;
    switch (autoCompaction.mode) {
      case "off":
        return;
      case "periodic":
        compactor = new PeriodicCompactor(
          store,
          this.clock,
          this.log,
          autoCompaction,
        );
        break;
      case "revision":
        compactor = new RevisionCompactor(
          store,
          this.clock,
          this.log,
          autoCompaction,
        );
        break;
    }
    compactor.start();
    this.#closers.push(() => compactor.stop());
  }

  /** Nothing is done, and nothing written, while nothing changes. */
  #startHousekeeping(store: Store, quota: SpaceQuota, backend: Backend): void {
    let seenSeq = store.seq;
    let trimmedSeq = 0;
    let isRunning = false;
    const timer = this.clock.every(HOUSEKEEPING_MS, async () => {
      if (isRunning || store.seq === seenSeq) return;
      isRunning = true;
      seenSeq = store.seq;
      try {
        store.cleanValues(CLEAN_SLICE_BYTES);
        await quota.look();
        if (store.seq - trimmedSeq > 2 * KEPT_BATCHES) {
          trimmedSeq = store.seq - KEPT_BATCHES;
          await backend.trimBatches(trimmedSeq);
        }
      } catch (error) {
        this.log.warn("housekeeping failed", { error });
      } finally {
        isRunning = false;
      }
    });
    this.#closers.push(() => timer.cancel());
  }

  #serverState(parts: {
    store: Store;
    backend: Backend;
    alarms: Alarms;
    quota: SpaceQuota;
    hub: WatchHub;
    lessor: Lessor;
  }): ServerState {
    const { store, backend, alarms, quota, hub, lessor } = parts;
    const { config, clock } = this;
    const health = () =>
      Promise.resolve(
        store.failure === undefined ? undefined : String(store.failure),
      );
    return {
      serializableRead: () => Promise.resolve(undefined),
      linearizableRead: health,
      alarms: () =>
        alarms.list().map((alarm) =>
          alarm.type === AlarmType.NoSpace ? "NOSPACE" : "CORRUPT"
        ),
      hasLeader: true,
      summary: (): ServerSummary => ({
        name: config.name,
        memberId: store.identity.memberId.toString(16),
        clusterId: store.identity.clusterId.toString(16),
        engine: `${backend.name} (${withoutPassword(config.endpoint)})`,
        clientUrls: this.clientUrls,
        revision: store.currentRevision,
        compactRevision: store.compactRevision,
        keys: store.index.liveCount,
        leases: lessor.size,
        watchers: hub.stats.watchers,
        watchStreams: hub.stats.streams,
        connections: this.#listeners.reduce((n, l) => n + l.connections, 0),
        dbSizeBytes: quota.size.totalBytes,
        dbSizeInUseBytes: quota.size.inUseBytes,
        quotaBytes: config.quotaBackendBytes,
        uptimeMs: clock.monotonicMs() - this.#startedMs,
      }),
    };
  }
}

/** Passes on what the store tells of commits; who listens is known only after it has loaded. */
class Relay {
  readonly observers: EtcdMetrics[] = [];

  committed(durationMs: number, rows: number, bytes: number): void {
    for (const observer of this.observers) {
      observer.committed(durationMs, rows, bytes);
    }
  }

  failed(error: unknown): void {
    for (const observer of this.observers) observer.failed(error);
  }
}

/** Where a listen URL binds; `localhost` is both loopback addresses where there are two. */
function addressesOf(url: string): ListenAddress[] {
  const target = parseUrl(url);
  if (target.isSecure) {
    throw new Error(`Cannot listen on ${url}: TLS is not there yet`);
  }
  if (target.kind === "unix") return [{ kind: "unix", path: target.path }];
  const host = target.host === "localhost" || target.host === ""
    ? "127.0.0.1"
    : target.host;
  return [{
    kind: "tcp",
    host: target.host === "" ? "0.0.0.0" : host,
    port: target.port,
  }];
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
