import { createHash } from "node:crypto";
import type { Backend } from "../backend/backend.ts";
import type { Clock } from "../base/clock.ts";
import { DomainError } from "../base/errors.ts";
import { AlarmOrigin, type Alarms, AlarmType } from "../mvcc/alarms.ts";
import { hashKv } from "../mvcc/hash.ts";
import type { SpaceQuota } from "../mvcc/space_quota.ts";
import type { Store } from "../mvcc/store.ts";
import {
  type AlarmRequest,
  AlarmRequest_AlarmAction as AlarmAction,
  type AlarmResponse,
  type DefragmentRequest,
  type DefragmentResponse,
  type DowngradeRequest,
  DowngradeRequest_DowngradeAction as DowngradeAction,
  type DowngradeResponse,
  type HashKVRequest,
  type HashKVResponse,
  type HashRequest,
  type HashResponse,
  MaintenanceService,
  type MoveLeaderRequest,
  type MoveLeaderResponse,
  newAlarmMember,
  newAlarmResponse,
  newDefragmentResponse,
  newDowngradeInfo,
  newDowngradeResponse,
  newHashKVResponse,
  newHashResponse,
  newMoveLeaderResponse,
  newSnapshotResponse,
  newStatusResponse,
  type SnapshotRequest,
  type SnapshotResponse,
  type StatusRequest,
  type StatusResponse,
} from "../pb/etcdserverpb.ts";
import type { MessageWriter, Method } from "../transport/grpc/service.ts";
import type { Access } from "./access.ts";
import type { HeaderSource } from "./header.ts";

/**
 * Snapshots that are sent at once. Each takes as much disk as the data while it is, and a client that does not read keeps
 * it for as long as it likes; databases make no more than some, and a scheduled one must find room.
 */
const MAX_SNAPSHOTS = 2;
/** Bytes of the file in one message of a snapshot; as etcd. */
const SNAPSHOT_CHUNK_BYTES = 32 << 10;
/** Bytes asked of the backend at once. */
const SNAPSHOT_READ_BYTES = 1 << 20;

const VERSION =
  /^(\d{1,19})\.(\d{1,19})(?:\.(\d{1,19})(?:-[\da-z.-]*)?(?:\+[\da-z.-]*)?)?$/i;

export interface MaintenanceInfo {
  /** The version of etcd whose API this is. */
  readonly version: string;
  readonly storageVersion: string;
  /** Major and minor version: "3.7". */
  readonly clusterVersion: string;
  readonly memberId: bigint;
  /** 0: nobody. Default: always this member. */
  readonly leaderId?: () => bigint;
  readonly raftTerm: number;
}

/** Observes how long the slow operations take, in seconds. */
export interface MaintenanceTimings {
  readonly defragDuration: { observe(seconds: number): void };
  readonly snapshotDuration: { observe(seconds: number): void };
  readonly hashDuration: { observe(seconds: number): void };
  readonly defragInflight: { set(value: number): void };
}

/** etcdserverpb.Maintenance. */
export class MaintenanceHandlers {
  /** Under way. */
  #snapshots = 0;

  constructor(
    readonly store: Store,
    readonly access: Access,
    readonly backend: Backend,
    readonly alarms: Alarms,
    readonly quota: SpaceQuota,
    readonly header: HeaderSource,
    readonly info: MaintenanceInfo,
    readonly clock: Clock,
    readonly timings: MaintenanceTimings,
  ) {}

  methods(): Method[] {
    const m = MaintenanceService.methods;
    return [
      {
        ...m.alarm,
        kind: "unary",
        handle: (r: AlarmRequest, call) => {
          if (r.action === AlarmAction.GET) this.access.requireLogin(call);
          else this.access.requireRoot(call);
          return this.alarm(r);
        },
      },
      {
        ...m.status,
        kind: "unary",
        handle: (r: StatusRequest, call) => {
          this.access.requireLogin(call);
          return this.status(r);
        },
      },
      {
        ...m.defragment,
        kind: "unary",
        handle: (r: DefragmentRequest, call) => {
          this.access.requireRoot(call);
          return this.defragment(r);
        },
      },
      {
        ...m.hash,
        kind: "unary",
        handle: (r: HashRequest, call) => {
          this.access.requireRoot(call);
          return this.hash(r);
        },
      },
      {
        ...m.hashKV,
        kind: "unary",
        handle: (r: HashKVRequest, call) => {
          this.access.requireRoot(call);
          return this.hashKv(r);
        },
      },
      {
        ...m.snapshot,
        kind: "serverStream",
        handle: (r: SnapshotRequest, call, out) => {
          this.access.requireRoot(call);
          return this.snapshot(r, out);
        },
      },
      {
        ...m.moveLeader,
        kind: "unary",
        handle: (r: MoveLeaderRequest, call) => {
          this.access.requireRoot(call);
          return this.moveLeader(r);
        },
      },
      {
        ...m.downgrade,
        kind: "unary",
        handle: (r: DowngradeRequest, call) => {
          this.access.requireRoot(call);
          return this.downgrade(r);
        },
      },
    ];
  }

  /** Any member id is taken, 0 too: it stands for itself, as in etcd. */
  async alarm(request: AlarmRequest): Promise<AlarmResponse> {
    const { memberID: memberId } = request;
    const alarm = { memberId, type: request.alarm, origin: AlarmOrigin.Client };
    let alarms: { memberId: bigint; type: number }[] = [];
    if (request.action === AlarmAction.GET) {
      alarms = this.alarms.list(request.alarm);
    } else if (
      request.action === AlarmAction.ACTIVATE && isAlarm(request.alarm)
    ) {
      await this.store.write((tx) => this.alarms.activate(tx, alarm));
      alarms = [alarm];
    } else if (request.action === AlarmAction.DEACTIVATE) {
      const { result } = await this.store.write((tx) =>
        this.alarms.deactivate(tx, alarm)
      );
      if (result) alarms = [alarm];
    }
    return newAlarmResponse({
      header: this.header.at(this.store.currentRevision),
      alarms: alarms.map((a) =>
        newAlarmMember({ memberID: a.memberId, alarm: a.type })
      ),
    });
  }

  async status(_request: StatusRequest): Promise<StatusResponse> {
    await this.quota.look();
    const { totalBytes, inUseBytes } = this.quota.size;
    const limit = this.quota.limitBytes;
    return newStatusResponse({
      header: this.header.at(this.store.currentRevision),
      version: this.info.version,
      storageVersion: this.info.storageVersion,
      dbSize: totalBytes,
      dbSizeInUse: inUseBytes,
      dbSizeQuota: Number.isFinite(limit) ? limit : 0,
      leader: this.info.leaderId?.() ?? this.info.memberId,
      raftTerm: this.info.raftTerm,
      // Fresh servers have applied nothing; etcd's index is never 0.
      raftIndex: this.store.seq + 1,
      raftAppliedIndex: this.store.seq + 1,
      errors: this.alarms.list().map(alarmText),
      downgradeInfo: newDowngradeInfo(),
    });
  }

  async defragment(_request: DefragmentRequest): Promise<DefragmentResponse> {
    const { defragInflight, defragDuration } = this.timings;
    defragInflight.set(1);
    try {
      await this.#timed(defragDuration, () => this.backend.defragment());
    } finally {
      defragInflight.set(0);
    }
    return newDefragmentResponse();
  }

  async hash(_request: HashRequest): Promise<HashResponse> {
    const { hash } = await this.#timed(
      this.timings.hashDuration,
      () => hashKv(this.store, 0),
    );
    return newHashResponse({
      header: this.header.at(this.store.currentRevision),
      hash,
    });
  }

  async hashKv(request: HashKVRequest): Promise<HashKVResponse> {
    const { hash, compactRevision, hashRevision } = await this.#timed(
      this.timings.hashDuration,
      () => hashKv(this.store, request.revision),
    );
    return newHashKVResponse({
      header: this.header.at(this.store.currentRevision),
      hash,
      compactRevision,
      hashRevision,
    });
  }

  async snapshot(
    request: SnapshotRequest,
    out: MessageWriter<SnapshotResponse>,
  ): Promise<void> {
    if (this.#snapshots >= MAX_SNAPSHOTS) {
      throw new DomainError("tooManyRequests");
    }
    this.#snapshots++;
    try {
      await this.#sendSnapshot(request, out);
    } finally {
      this.#snapshots--;
    }
  }

  /** The database file, then the SHA-256 of all that went before. A client that stops reading stops the reading. */
  async #sendSnapshot(
    _request: SnapshotRequest,
    out: MessageWriter<SnapshotResponse>,
  ): Promise<void> {
    const beganMs = this.clock.monotonicMs();
    const snapshot = await this.backend.snapshot();
    try {
      const hash = createHash("sha256");
      const version = this.info.storageVersion;
      let offset = 0;
      while (offset < snapshot.sizeBytes && !out.isEnded) {
        const bytes = await snapshot.read(offset, SNAPSHOT_READ_BYTES);
        hash.update(bytes);
        for (let at = 0; at < bytes.length; at += SNAPSHOT_CHUNK_BYTES) {
          const blob = bytes.subarray(at, at + SNAPSHOT_CHUNK_BYTES);
          offset += blob.length;
          const remainingBytes = snapshot.sizeBytes - offset;
          out.send(newSnapshotResponse({ remainingBytes, blob, version }));
        }
        await out.drained();
      }
      out.send(
        newSnapshotResponse({ blob: new Uint8Array(hash.digest()), version }),
      );
    } finally {
      const tookMs = this.clock.monotonicMs() - beganMs;
      this.timings.snapshotDuration.observe(tookMs / 1000);
      await snapshot.close();
    }
  }

  moveLeader(request: MoveLeaderRequest): MoveLeaderResponse {
    if (request.targetID !== this.info.memberId) {
      throw new DomainError("badLeaderTransferee");
    }
    return newMoveLeaderResponse();
  }

  /** One version of the storage exists: there is nothing to downgrade to. Cancelling no job succeeds, as in etcd. */
  downgrade(request: DowngradeRequest): DowngradeResponse {
    if (request.action === DowngradeAction.CANCEL) {
      return newDowngradeResponse({
        header: this.header.at(this.store.currentRevision),
        version: this.info.clusterVersion,
      });
    }
    if (
      request.action !== DowngradeAction.VALIDATE &&
      request.action !== DowngradeAction.ENABLE
    ) throw new DomainError("unknownMethod");
    if (!isVersion(request.version)) {
      throw new DomainError("wrongDowngradeVersionFormat");
    }
    throw new DomainError("invalidDowngradeTargetVersion");
  }

  async #timed<T>(
    timing: { observe(seconds: number): void },
    work: () => Promise<T>,
  ): Promise<T> {
    const beganMs = this.clock.monotonicMs();
    const result = await work();
    timing.observe((this.clock.monotonicMs() - beganMs) / 1000);
    return result;
  }
}

function isAlarm(type: number): boolean {
  return type === AlarmType.NoSpace || type === AlarmType.Corrupt;
}

/** An alarm as protobuf writes it as text: without fields that are zero. */
function alarmText({ memberId, type }: { memberId: bigint; type: number }) {
  const name = type === AlarmType.NoSpace ? "NOSPACE" : "CORRUPT";
  return `${memberId === 0n ? "" : `memberID:${memberId} `}alarm:${name}`;
}

/** `3.6`, or a semantic version whose numbers fit into 64 bits, as etcd's go-semver reads them. */
function isVersion(text: string): boolean {
  const match = VERSION.exec(text);
  return match !== null &&
    match.slice(1).every((n) => n === undefined || BigInt(n) < 2n ** 63n);
}
