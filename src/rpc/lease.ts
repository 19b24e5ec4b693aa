import type { Lessor } from "../lease/lessor.ts";
import {
  type LeaseGrantRequest,
  type LeaseGrantResponse,
  type LeaseKeepAliveRequest,
  type LeaseKeepAliveResponse,
  type LeaseLeasesRequest,
  type LeaseLeasesResponse,
  type LeaseRevokeRequest,
  type LeaseRevokeResponse,
  LeaseService,
  type LeaseTimeToLiveRequest,
  type LeaseTimeToLiveResponse,
  newLeaseGrantResponse,
  newLeaseLeasesResponse,
  newLeaseRevokeResponse,
  newLeaseStatus,
  newLeaseTimeToLiveResponse,
} from "../pb/etcdserverpb.ts";
import type {
  Call,
  ErrorMapper,
  MessageWriter,
  Method,
} from "../transport/grpc/service.ts";
import type { HeaderSource } from "./header.ts";
import { LeaseKeepAliveStream } from "./lease_keep_alive.ts";

/** What the space quota charges a lease; etcd: `leaseOverhead` (server/storage/quota.go). */
const LEASE_COST_BYTES = 64;

/** Which writes may be made; `SpaceQuota` knows. */
export interface LeaseQuota {
  admit(costBytes: number): void;
  admitAny(): void;
}

/** etcdserverpb.Lease. */
export class LeaseHandlers {
  constructor(
    readonly lessor: Lessor,
    readonly store: { readonly currentRevision: number },
    readonly quota: LeaseQuota,
    readonly header: Pick<HeaderSource, "at">,
    readonly mapError: ErrorMapper,
  ) {}

  /** The methods to register. */
  methods(): Method[] {
    const m = LeaseService.methods;
    return [
      {
        ...m.leaseGrant,
        kind: "unary",
        handle: (r: LeaseGrantRequest) => this.grant(r),
      },
      {
        ...m.leaseRevoke,
        kind: "unary",
        handle: (r: LeaseRevokeRequest) => this.revoke(r),
      },
      {
        ...m.leaseKeepAlive,
        kind: "duplex",
        open: (call, out) => this.keepAlive(call, out),
      },
      {
        ...m.leaseTimeToLive,
        kind: "unary",
        handle: (r: LeaseTimeToLiveRequest) => this.timeToLive(r),
      },
      {
        ...m.leaseLeases,
        kind: "unary",
        handle: (r: LeaseLeasesRequest) => this.leases(r),
      },
    ];
  }

  async grant(request: LeaseGrantRequest): Promise<LeaseGrantResponse> {
    this.quota.admit(LEASE_COST_BYTES);
    const { id, ttlSeconds, revision } = await this.lessor.grant(
      request.ID,
      request.TTL,
    );
    return newLeaseGrantResponse({
      header: this.header.at(revision),
      ID: id,
      TTL: ttlSeconds,
    });
  }

  async revoke(request: LeaseRevokeRequest): Promise<LeaseRevokeResponse> {
    this.quota.admitAny();
    const revision = await this.lessor.revoke(request.ID);
    return newLeaseRevokeResponse({ header: this.header.at(revision) });
  }

  keepAlive(
    call: Call,
    out: MessageWriter<LeaseKeepAliveResponse>,
  ): LeaseKeepAliveStream {
    return new LeaseKeepAliveStream(out, {
      keepAlive: (request: LeaseKeepAliveRequest) =>
        this.lessor.keepAlive(request.ID),
      header: () => this.header.at(this.store.currentRevision),
      toStatus: (error) => this.mapError(error, call.path),
    });
  }

  /** An unknown lease is an answer, not an error: TTL -1. */
  timeToLive(request: LeaseTimeToLiveRequest): LeaseTimeToLiveResponse {
    const header = this.header.at(this.store.currentRevision);
    const left = this.lessor.timeToLive(request.ID);
    if (left === undefined) {
      return newLeaseTimeToLiveResponse({ header, ID: request.ID, TTL: -1 });
    }
    return newLeaseTimeToLiveResponse({
      header,
      ID: request.ID,
      TTL: left.remainingSeconds,
      grantedTTL: left.grantedSeconds,
      keys: request.keys ? [...this.lessor.keysOf(request.ID)] : [],
    });
  }

  leases(_request: LeaseLeasesRequest): LeaseLeasesResponse {
    return newLeaseLeasesResponse({
      header: this.header.at(this.store.currentRevision),
      leases: this.lessor.list().map((id) => newLeaseStatus({ ID: id })),
    });
  }
}
