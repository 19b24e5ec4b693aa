import { DomainError } from "../base/errors.ts";
import {
  ClusterService,
  type MemberAddRequest,
  type MemberListRequest,
  type MemberListResponse,
  type MemberPromoteRequest,
  type MemberRemoveRequest,
  type MemberUpdateRequest,
  type MemberUpdateResponse,
  newMember,
  newMemberListResponse,
  newMemberUpdateResponse,
} from "../pb/etcdserverpb.ts";
import type { Method } from "../transport/grpc/service.ts";
import type { HeaderSource } from "./header.ts";

/** What the cluster knows of this server. */
export interface MemberInfo {
  readonly id: bigint;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
}

/**
 * etcdserverpb.Cluster over one server. There is no Raft: members can be listed, and the peer URLs, which
 * nothing uses, changed for as long as the server runs; adding or removing one is refused.
 */
export class ClusterHandlers {
  #peerUrls: readonly string[];

  constructor(readonly self: MemberInfo, readonly header: HeaderSource) {
    this.#peerUrls = self.peerUrls;
  }

  methods(): Method[] {
    const { memberAdd, memberRemove, memberUpdate, memberList, memberPromote } =
      ClusterService.methods;
    return [
      {
        ...memberAdd,
        kind: "unary",
        handle: (r: MemberAddRequest) => this.add(r),
      },
      {
        ...memberRemove,
        kind: "unary",
        handle: (r: MemberRemoveRequest) => this.remove(r),
      },
      {
        ...memberUpdate,
        kind: "unary",
        handle: (r: MemberUpdateRequest) => this.update(r),
      },
      {
        ...memberList,
        kind: "unary",
        handle: (r: MemberListRequest) => this.list(r),
      },
      {
        ...memberPromote,
        kind: "unary",
        handle: (r: MemberPromoteRequest) => this.promote(r),
      },
    ];
  }

  list(_request: MemberListRequest): MemberListResponse {
    return newMemberListResponse({
      header: this.header.at(0),
      members: [this.#member()],
    });
  }

  add(request: MemberAddRequest): never {
    if (request.peerURLs.length === 0 || !request.peerURLs.every(isUrl)) {
      throw new DomainError("memberBadUrls");
    }
    if (request.peerURLs.some((url) => this.#peerUrls.includes(url))) {
      throw new DomainError("peerUrlExists");
    }
    // etcd would take the member in and lose its quorum until that one has started.
    throw new DomainError("memberNotEnoughStarted");
  }

  remove(request: MemberRemoveRequest): never {
    throw new DomainError(
      request.ID === this.self.id ? "memberNotEnoughStarted" : "memberNotFound",
    );
  }

  update(request: MemberUpdateRequest): MemberUpdateResponse {
    if (request.peerURLs.length === 0 || !request.peerURLs.every(isUrl)) {
      throw new DomainError("memberBadUrls");
    }
    if (request.ID !== this.self.id) throw new DomainError("memberNotFound");
    this.#peerUrls = request.peerURLs;
    return newMemberUpdateResponse({
      header: this.header.at(0),
      members: [this.#member()],
    });
  }

  promote(request: MemberPromoteRequest): never {
    throw new DomainError(
      request.ID === this.self.id ? "memberNotLearner" : "memberNotFound",
    );
  }

  #member() {
    return newMember({
      ID: this.self.id,
      name: this.self.name,
      peerURLs: [...this.#peerUrls],
      clientURLs: [...this.self.clientUrls],
    });
  }
}

/** A URL that etcd takes for a member: scheme, host and port, no path. */
function isUrl(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, pathname } = new URL(url);
  if (protocol === "unix:" || protocol === "unixs:") return true;
  return (protocol === "http:" || protocol === "https:") &&
    pathname.length <= 1 &&
    /:\d+\/?$/.test(url);
}
