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
import type { Access } from "./access.ts";
import type { HeaderSource } from "./header.ts";
import { LeaseKeepAliveStream } from "./lease_keep_alive.ts";

/** What the space quota charges a lease; etcd: `leaseOverhead` (server/storage/quota.go). */
const LEASE_COST_BYTES = 64;

/** Which writes may be made; `SpaceQuota` knows. */
export interface LeaseQuota {
  admit(costBytes: number): void;
  admitAny(): void;
}

/** Who renews leases: the lessor, or the server whose lessor decides when they end. */
export interface Renewals {
  /** Seconds that the lease has from now on; 0 if there is none. */
  keepAlive(id: bigint): number | Promise<number>;
}

/** etcdserverpb.Lease. */
export class LeaseHandlers {
  constructor(
    readonly lessor: Lessor,
    readonly access: Access,
    readonly store: { readonly currentRevision: number },
    readonly quota: LeaseQuota,
    readonly header: Pick<HeaderSource, "at">,
    readonly mapError: ErrorMapper,
    readonly renewals: Renewals = lessor,
  ) {}

  /** The methods to register. */
  methods(): Method[] {
    const m = LeaseService.methods;
    return [
      {
        ...m.leaseGrant,
        kind: "unary",
        handle: (r: LeaseGrantRequest, call: Call) => this.grant(r, call),
      },
      {
        ...m.leaseRevoke,
        kind: "unary",
        handle: (r: LeaseRevokeRequest, call: Call) => this.revoke(r, call),
      },
      {
        ...m.leaseKeepAlive,
        kind: "duplex",
        open: (call, out) => this.keepAlive(call, out),
      },
      {
        ...m.leaseTimeToLive,
        kind: "unary",
        handle: (r: LeaseTimeToLiveRequest, call: Call) =>
          this.timeToLive(r, call),
      },
      {
        ...m.leaseLeases,
        kind: "unary",
        handle: (r: LeaseLeasesRequest, call: Call) => this.leases(r, call),
      },
    ];
  }

  async grant(
    request: LeaseGrantRequest,
    call: Call,
  ): Promise<LeaseGrantResponse> {
    this.access.requireLogin(call);
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

  async revoke(
    request: LeaseRevokeRequest,
    call: Call,
  ): Promise<LeaseRevokeResponse> {
    const guard = this.access.revokeLease(call, request.ID);
    this.quota.admitAny();
    const revision = await this.lessor.revoke(request.ID, guard);
    return newLeaseRevokeResponse({ header: this.header.at(revision) });
  }

  keepAlive(
    call: Call,
    out: MessageWriter<LeaseKeepAliveResponse>,
  ): LeaseKeepAliveStream {
    return new LeaseKeepAliveStream(out, {
      keepAlive: (request: LeaseKeepAliveRequest) => {
        this.access.requireRenew(call, request.ID);
        return this.renewals.keepAlive(request.ID);
      },
      header: () => this.header.at(this.store.currentRevision),
      toStatus: (error) => this.mapError(error, call.path),
    });
  }

  /** An unknown lease is an answer, not an error: TTL -1. */
  timeToLive(
    request: LeaseTimeToLiveRequest,
    call: Call,
  ): LeaseTimeToLiveResponse {
    this.access.requireLogin(call);
    if (request.keys) this.access.requireLeaseKeys(call, [request.ID]);
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

  leases(_request: LeaseLeasesRequest, call: Call): LeaseLeasesResponse {
    this.access.requireLeaseKeys(call, this.lessor.list());
    return newLeaseLeasesResponse({
      header: this.header.at(this.store.currentRevision),
      leases: this.lessor.list().map((id) => newLeaseStatus({ ID: id })),
    });
  }
}
