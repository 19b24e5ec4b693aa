import { openAuditLog } from "./auth/audit_log.ts";
import { AuthState } from "./auth/auth_state.ts";
import { BcryptPasswords } from "./auth/passwords.ts";
import { openTokens } from "./auth/token_provider.ts";
import { type Backend, BackendError } from "./backend/backend.ts";
import { RemoteBackend } from "./backend/driver/remote/remote_backend.ts";
import type { OpeningBackend } from "./backend/opening_backend.ts";
import { StateKind } from "./backend/state_change.ts";
import type { Clock } from "./base/clock.ts";
import type { Logger } from "./base/log.ts";
import { Registry } from "./base/metrics.ts";
import {
  type Config,
  minLeaseTtlSeconds,
  requestTimeoutMs,
} from "./config/config.ts";
import { warnOfClientTls } from "./config/client_tls.ts";
import { withoutPassword } from "./config/endpoint.ts";
import {
  CLUSTER_VERSION,
  ETCD_VERSION,
  STELE_VERSION,
  STORAGE_VERSION,
} from "./config/version.ts";
import { AccessControl } from "./http/access_control.ts";
import { ActivityMetrics } from "./http/activity_metrics.ts";
import { registerDatabaseMetrics } from "./http/database_metrics.ts";
import { EtcdMetrics } from "./http/etcd_metrics.ts";
import { GrpcCallObserver } from "./http/grpc_call_observer.ts";
import { registerProcessMetrics } from "./http/process_metrics.ts";
import { Gateway } from "./http/gateway/gateway.ts";
import { httpHandler } from "./http/router.ts";
import { clientRoutes, metricsRoutes } from "./http/routes.ts";
import type { ServerState, ServerSummary } from "./http/server_state.ts";
import { Lessor } from "./lease/lessor.ts";
import { Alarms, AlarmType } from "./mvcc/alarms.ts";
import { CommitLog } from "./mvcc/commit_log.ts";
import { SpaceQuota } from "./mvcc/space_quota.ts";
import {
  type CommitObserver,
  DEFAULT_STORE_OPTIONS,
  Store,
} from "./mvcc/store.ts";
import { Access } from "./rpc/access.ts";
import { Admission } from "./rpc/admission.ts";
import { Auditor } from "./rpc/audit.ts";
import { AuthHandlers } from "./rpc/auth.ts";
import { ClusterHandlers } from "./rpc/cluster.ts";
import { errorMapper } from "./rpc/errors.ts";
import { HeaderSource } from "./rpc/header.ts";
import { KvHandlers } from "./rpc/kv.ts";
import { ElectionHandlers } from "./rpc/election.ts";
import { KeyChanges } from "./rpc/key_changes.ts";
import { LeaseHandlers } from "./rpc/lease.ts";
import { linearizable } from "./rpc/linearizable.ts";
import { LockHandlers } from "./rpc/lock.ts";
import { MaintenanceHandlers } from "./rpc/maintenance.ts";
import { Recipes } from "./rpc/recipes.ts";
import { watchMethod } from "./rpc/watch.ts";
import { HealthHandlers } from "./transport/grpc/health.ts";
import { reflectionMethods } from "./transport/grpc/reflection.ts";
import { GrpcServer } from "./transport/grpc/server.ts";
import type { ErrorMapper, Method } from "./transport/grpc/service.ts";
import type { UpgradeListener } from "./transport/http1_handover.ts";
import { startLagMeter } from "./server/lag_meter.ts";
import { Listeners } from "./server/listeners.ts";
import type { Replication } from "./server/replication.ts";
import { Upkeep } from "./server/upkeep.ts";
import { WatchHub } from "./watch/hub.ts";

/** There is no Raft; clients want a term all the same, and it must not go back. */
const RAFT_TERM = 2;
/** What gRPC takes beyond a request's limit, so that the request's own error can be told; as etcd. */
const RECEIVE_OVERHEAD_BYTES = 512 << 10;
/** How long calls may take to finish when the server stops. */
const STOP_GRACE_MS = 2000;
/** What `/readyz` says although deletes still find room in the reserve. */
const DISK_FULL = "the disk of the database is full";

/** A server that serves. */
export interface RunningServer extends AsyncDisposable {
  /** The addresses with the ports that were chosen. */
  readonly clientUrls: string[];
  /** Resolves if the server cannot go on. */
  readonly failed: Promise<Error>;
  /** Finishes what is under way, and closes. */
  stop(): Promise<void>;
}

/**
 * Starts a server on a database that is being opened: loads the state, and listens. Rejects, with everything closed
 * again, if one of these fails.
 */
export async function startServer(
  config: Config,
  opening: OpeningBackend,
  deps: { readonly log: Logger; readonly clock: Clock },
): Promise<RunningServer> {
  const server = new Server(config, opening, deps.log, deps.clock);
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
  readonly #listeners: Listeners;
  #stopping: Promise<void> | undefined = undefined;

  constructor(
    readonly config: Config,
    readonly opening: OpeningBackend,
    readonly log: Logger,
    readonly clock: Clock,
  ) {
    const failure = Promise.withResolvers<Error>();
    this.failed = failure.promise;
    this.#fail = failure.resolve;
    this.#startedMs = clock.monotonicMs();
    this.#listeners = new Listeners(config, clock, log);
    this.#closers.push(() => this.#listeners.close());
  }

  async start(): Promise<void> {
    const { config, log, clock } = this;
    const { backend } = this.opening;
    await this.opening.head;
    this.#closers.push(() => backend.close());

    const registry = new Registry();
    const lessor = new Lessor(clock, log, {
      minTtlSeconds: minLeaseTtlSeconds(config),
    });
    const alarms = new Alarms();
    const commits = new Relay();
    const store = new Store(backend, lessor, clock, {
      ...DEFAULT_STORE_OPTIONS,
      databaseName: withoutPassword(config.endpoint),
      servesStaleReads: config.serveStaleReads,
      valueCacheBytes: config.valueCacheBytes,
      eventWindowBytes: config.eventWindowBytes,
    }, commits);
    store.addTable(StateKind.Lease, lessor);
    store.addTable(StateKind.Alarm, alarms);
    const auth = new AuthState();
    store.addTable(StateKind.Auth, auth);
    store.onFatal = (error) => this.#fail(asError(error));
    lessor.attachStore(store);
    await store.load();
    await store.follow();
    this.#closers.push(() => store.follower?.stop());
    if (!store.identity.isKnown) {
      await store.write((tx) => store.identity.choose(tx));
    }
    const replication = await this.#joinReplicas(store, lessor);
    const { clusterId } = store.identity;
    const memberId = replication?.memberId ?? store.identity.memberId;
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
    if (backend instanceof RemoteBackend) {
      registerDatabaseMetrics(registry, () => backend.link);
    }

    const quota = new SpaceQuota(
      backend,
      store,
      alarms,
      memberId,
      config.quotaBackendBytes,
      replication && (() => replication.isOnDuty),
    );
    await quota.look();
    commits.observers.push(
      new CommitLog(log, clock, {
        slowMs: config.warningApplyDurationMs,
        slowCommits: metrics.slowApplies,
        isDiskFull: () => quota.isDiskFull,
      }),
    );
    const noteFailure = (error: unknown) => {
      if (!(error instanceof BackendError)) return;
      if (error.kind === "noSpace") quota.diskFull();
      // It takes no more calls, ever.
      if (error.kind === "closed") this.#fail(error);
    };
    commits.observers.push({
      committed: () => {},
      failed: noteFailure,
      readFailed: noteFailure,
    });
    const upkeep = new Upkeep({
      config,
      store,
      quota,
      replication,
      clock,
      log,
    });
    const header = new HeaderSource(clusterId, memberId, RAFT_TERM);
    const maxReceiveBytes = config.maxRequestBytes + RECEIVE_OVERHEAD_BYTES;
    const hub = new WatchHub(store.events, header, clock, log, {
      progressIntervalMs: config.watchProgressNotifyIntervalMs,
      fragmentBytes: maxReceiveBytes,
    });
    store.addListener(hub);
    store.addListener(
      new ActivityMetrics(metrics, registry, {
        leases: lessor,
        watches: hub,
        reaper: upkeep.reaper,
      }),
    );
    if (replication === undefined) await lessor.start();
    else replication.begin();
    this.#closers.push(() => lessor.stop());
    this.#closers.push(() => upkeep.stop());
    await upkeep.start(registry);

    const tokens = await openTokens({
      authToken: config.authToken,
      ttlSeconds: config.authTokenTtlSeconds,
      clock,
      seq: () => store.seq,
      shared: replication && {
        secret: store.identity.secret,
        credentialOf: (user) => auth.user(user)?.password,
        authRevision: () => auth.revision,
      },
    });
    this.#closers.push(() => tokens.close());
    auth.addListener({
      credentialsChanged: (user) => tokens.forgetUser(user),
      disabled: () => tokens.forgetAll(),
    });
    const passwords = new BcryptPasswords(clock, { cost: config.bcryptCost });
    this.#closers.push(() => passwords.close());
    const access = new Access(auth, tokens, {
      keysOfLease: (id) => lessor.keysOf(id),
    });
    const mapError = errorMapper(log);
    const health = new HealthHandlers();
    const kv = new KvHandlers(
      store,
      access,
      quota,
      upkeep.reaper,
      header,
      metrics,
      config,
    );
    const forwarding = replication?.openForwarding({
      access,
      header,
      mapError,
      maxMessageBytes: maxReceiveBytes,
    });
    const leases = new LeaseHandlers(
      lessor,
      access,
      store,
      quota,
      header,
      mapError,
      forwarding?.renewals,
    );
    const changes = new KeyChanges();
    store.addListener(changes);
    const recipes = new Recipes(kv, leases, changes, store);
    const ownMethods: Method[] = [
      ...kv.methods(),
      watchMethod(hub, access),
      ...leases.methods(),
      ...new LockHandlers(recipes).methods(),
      ...new ElectionHandlers(recipes, header).methods(),
      ...new ClusterHandlers(
        {
          id: memberId,
          name: config.name,
          peerUrls: config.initialAdvertisePeerUrls,
          clientUrls: config.advertiseClientUrls,
        },
        access,
        header,
        replication,
      ).methods(),
      ...new MaintenanceHandlers(
        store,
        access,
        backend,
        alarms,
        quota,
        header,
        {
          version: ETCD_VERSION,
          storageVersion: STORAGE_VERSION,
          clusterVersion: CLUSTER_VERSION.split(".").slice(0, 2).join("."),
          memberId,
          leaderId: () => replication?.leaderId ?? memberId,
          raftTerm: RAFT_TERM,
        },
        clock,
        metrics,
      ).methods(),
      ...new AuthHandlers(
        auth,
        access,
        passwords,
        tokens,
        store,
        header,
        log,
      ).methods(),
    ].map((method) => linearizable(method, store));
    const etcdMethods = forwarding?.wrap(ownMethods) ?? ownMethods;
    const admission = new Admission(access, metrics);
    const auditor = await this.#openAuditor(access, mapError);
    const methods: Method[] = [
      ...etcdMethods
        .map((method) => auditor?.watch(method) ?? method)
        .map((method) => admission.guard(method)),
      ...health.methods(),
    ];
    const services = new Set(methods.map((m) => m.path.split("/")[1]!));
    methods.push(...reflectionMethods([...services].sort()));
    if (forwarding !== undefined) methods.push(forwarding.serve(ownMethods));
    const observer = new GrpcCallObserver(registry, metrics, methods, {
      log,
      clock,
      slowMs: config.warningUnaryRequestDurationMs,
      extensive: config.metrics === "extensive",
    });
    const grpc = new GrpcServer(methods, clock, {
      maxReceiveBytes,
      mapError,
      observer,
    });
    const gateway = config.enableGrpcGateway
      ? new Gateway(methods, clock, {
        maxReceiveBytes,
        budget: grpc.budget,
        mapError,
        observer,
      })
      : undefined;

    const state = this.#serverState({
      store,
      backend,
      alarms,
      quota,
      hub,
      lessor,
      replication,
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
      get authRevision() {
        return auth.revision;
      },
      alarms: () => state.alarms(),
    });

    const stopLagMeter = startLagMeter(registry, {
      get queuedWrites() {
        return store.queue.length;
      },
      get queuedBytes() {
        return store.queue.bytes;
      },
      get receivingBytes() {
        return grpc.budget.usedBytes;
      },
      get maxReceivingBytes() {
        return grpc.budget.maxBytes;
      },
      get connections() {
        return state.summary().connections;
      },
      get activeCalls() {
        return grpc.activeCalls;
      },
      get isFailing() {
        return store.failure !== undefined;
      },
    }, this);
    this.#closers.push(stopLagMeter);
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
    this.#closers.push(async () => {
      health.setServing(false);
      grpc.beginDrain();
      await replication?.closeForwarding();
      hub.close();
      changes.close();
      grpc.stopStreams();
      gateway?.stop();
    });
    const { listenClientHttpUrls } = config;
    const listeners = this.#listeners;
    const control = new AccessControl({
      cors: config.cors,
      hostWhitelist: config.hostWhitelist,
      wantsTokens: () => gateway !== undefined && auth.isEnabled,
      log,
    });
    const client = control.guard(
      httpHandler(clientRoutes(state, routes), { log, gateway }),
    );
    const upgrades = gateway && guardUpgrades(gateway, control);
    warnOfClientTls(config, log);
    this.clientUrls.push(
      ...await listeners.open(config.listenClientUrls, {
        grpc,
        http: listenClientHttpUrls.length === 0 ? client : undefined,
        upgrades,
      }),
    );
    await listeners.open(listenClientHttpUrls, {
      grpc: undefined,
      http: client,
      upgrades,
    });
    await listeners.open(config.listenMetricsUrls, {
      grpc: undefined,
      http: httpHandler(metricsRoutes(state, routes), { log }),
    });
    replication?.startForwarding();
  }

  stop(): Promise<void> {
    return this.#stopping ??= this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #close(): Promise<void> {
    const listening = this.#listeners.shutdown(STOP_GRACE_MS);
    // The last closer ends the streams: connections cannot drain before that.
    const closers = this.#closers.reverse();
    const errors: unknown[] = [];
    let isFirst = true;
    for (const close of closers) {
      try {
        await close();
        if (isFirst) await listening;
      } catch (error) {
        errors.push(error);
      }
      isFirst = false;
    }
    if (errors.length > 0) this.log.warn("stopped with errors", { errors });
  }

  async #openAuditor(
    access: Access,
    mapError: ErrorMapper,
  ): Promise<Auditor | undefined> {
    const { config, clock, log } = this;
    if (config.auditLog === "") return undefined;
    const auditLog = await openAuditLog(config.auditLog, clock, log);
    this.#closers.push(() => auditLog.close());
    return new Auditor(auditLog, access, mapError);
  }

  /** Undefined: the database is this server's alone. */
  async #joinReplicas(
    store: Store,
    lessor: Lessor,
  ): Promise<Replication | undefined> {
    const table = store.backend.replicas;
    if (store.follower === undefined || table === undefined) return undefined;
    const { config, clock, log } = this;
    const parts = { config, table, store, lessor, clock, log };
    // A server that is alone starts sooner without.
    const { Replication } = await import("./server/replication.ts");
    const replication = await Replication.join(parts);
    this.#closers.push(() => replication.stop());
    return replication;
  }

  #serverState(parts: {
    store: Store;
    backend: Backend;
    alarms: Alarms;
    quota: SpaceQuota;
    hub: WatchHub;
    lessor: Lessor;
    replication: Replication | undefined;
  }): ServerState {
    const { store, backend, alarms, quota, hub, lessor, replication } = parts;
    const { config, clock } = this;
    const health = async () => {
      try {
        await store.barrier();
      } catch (error) {
        return String(store.failure ?? error);
      }
      if (store.failure !== undefined) return String(store.failure);
      return quota.isDiskFull ? DISK_FULL : undefined;
    };
    return {
      serializableRead: () => Promise.resolve(undefined),
      linearizableRead: health,
      alarms: () =>
        alarms.list().map((alarm) =>
          alarm.type === AlarmType.NoSpace ? "NOSPACE" : "CORRUPT"
        ),
      get hasLeader() {
        return replication === undefined || replication.leaderId !== 0n;
      },
      summary: (): ServerSummary => ({
        name: config.name,
        memberId: (replication?.memberId ?? store.identity.memberId)
          .toString(16),
        clusterId: store.identity.clusterId.toString(16),
        engine: `${backend.name} (${withoutPassword(config.endpoint)})`,
        clientUrls: this.clientUrls,
        revision: store.currentRevision,
        compactRevision: store.compactRevision,
        keys: store.index.liveCount,
        leases: lessor.size,
        watchers: hub.stats.watchers,
        watchStreams: hub.stats.streams,
        connections: this.#listeners.connections,
        dbSizeBytes: quota.size.totalBytes,
        dbSizeInUseBytes: quota.size.inUseBytes,
        quotaBytes: config.quotaBackendBytes,
        uptimeMs: clock.monotonicMs() - this.#startedMs,
      }),
    };
  }
}

/** Passes on what the store tells of commits; who listens is known only after it has loaded. */
class Relay implements CommitObserver {
  readonly observers: CommitObserver[] = [];

  committed(durationMs: number, rows: number, bytes: number): void {
    for (const observer of this.observers) {
      observer.committed(durationMs, rows, bytes);
    }
  }

  failed(error: unknown): void {
    for (const observer of this.observers) observer.failed(error);
  }

  readFailed(error: BackendError): void {
    for (const observer of this.observers) observer.readFailed(error);
  }
}

/** The gateway's WebSockets, for those who may ask. */
function guardUpgrades(
  gateway: Gateway,
  control: AccessControl,
): UpgradeListener {
  return {
    accepts: (request) => gateway.accepts(request) && control.allows(request),
    upgrade: (request, socket, head) => gateway.upgrade(request, socket, head),
  };
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
