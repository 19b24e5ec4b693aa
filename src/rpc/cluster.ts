import { DomainError } from "../base/errors.ts";
import {
  ClusterService,
  type Member,
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
import type { Access } from "./access.ts";
import type { HeaderSource } from "./header.ts";

/** What the cluster knows of a server. */
export interface MemberInfo {
  readonly id: bigint;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
}

/** The servers on one database. */
export interface Membership {
  /** All that are known to be there, this server included. */
  readonly members: readonly MemberInfo[];
  /** Resolves once `members` has everybody who was there at the call. */
  refreshed(): Promise<void>;
}

/**
 * etcdserverpb.Cluster over the servers on one database. There is no Raft: members can be listed, and their peer URLs,
 * which nothing uses, changed for as long as this server runs; adding or removing one is refused.
 */
export class ClusterHandlers {
  /** Of the members that have been updated. */
  readonly #peerUrls = new Map<bigint, readonly string[]>();

  /** `shared`: the servers on one database; default: this server alone. */
  constructor(
    readonly self: MemberInfo,
    readonly access: Access,
    readonly header: HeaderSource,
    readonly shared?: Membership,
  ) {}

  methods(): Method[] {
    const { memberAdd, memberRemove, memberUpdate, memberList, memberPromote } =
      ClusterService.methods;
    return [
      {
        ...memberAdd,
        kind: "unary",
        handle: (r: MemberAddRequest, call) => {
          requireUrls(r.peerURLs); // etcd reads them before it asks who calls
          this.access.requireRoot(call);
          return this.add(r);
        },
      },
      {
        ...memberRemove,
        kind: "unary",
        handle: (r: MemberRemoveRequest, call) => {
          this.access.requireRoot(call);
          return this.remove(r);
        },
      },
      {
        ...memberUpdate,
        kind: "unary",
        handle: (r: MemberUpdateRequest, call) => {
          this.access.requireRoot(call);
          return this.update(r);
        },
      },
      {
        ...memberList,
        kind: "unary",
        handle: async (r: MemberListRequest, call) => {
          this.access.requireLogin(call);
          if (r.linearizable) await this.shared?.refreshed();
          return this.list(r);
        },
      },
      {
        ...memberPromote,
        kind: "unary",
        handle: (r: MemberPromoteRequest, call) => {
          this.access.requireRoot(call);
          return this.promote(r);
        },
      },
    ];
  }

  list(_request: MemberListRequest): MemberListResponse {
    return newMemberListResponse({
      header: this.header.at(0),
      members: this.#list(),
    });
  }

  add(request: MemberAddRequest): never {
    requireUrls(request.peerURLs);
    requireFree(request.peerURLs, this.#list());
    // etcd would take the member in and lose its quorum until that one has started.
    throw new DomainError("memberNotEnoughStarted");
  }

  remove(request: MemberRemoveRequest): never {
    throw new DomainError(
      this.#isMember(request.ID) ? "memberNotEnoughStarted" : "memberNotFound",
    );
  }

  /** Whether these are URLs is for clients to see to: etcd takes anything here, none at all as well. */
  update(request: MemberUpdateRequest): MemberUpdateResponse {
    if (!this.#isMember(request.ID)) throw new DomainError("memberNotFound");
    const others = this.#list().filter(({ ID }) => ID !== request.ID);
    requireFree(request.peerURLs, others);
    this.#peerUrls.set(request.ID, request.peerURLs);
    return newMemberUpdateResponse({
      header: this.header.at(0),
      members: this.#list(),
    });
  }

  promote(request: MemberPromoteRequest): never {
    throw new DomainError(
      this.#isMember(request.ID) ? "memberNotLearner" : "memberNotFound",
    );
  }

  #isMember(id: bigint): boolean {
    return this.#members().some((member) => member.id === id);
  }

  #members(): readonly MemberInfo[] {
    return this.shared?.members ?? [this.self];
  }

  #list(): Member[] {
    return this.#members().map(({ id, name, peerUrls, clientUrls }) =>
      newMember({
        ID: id,
        name,
        peerURLs: [...this.#peerUrls.get(id) ?? peerUrls],
        clientURLs: [...clientUrls],
      })
    );
  }
}

function requireUrls(urls: readonly string[]): void {
  if (urls.length === 0 || !urls.every(isUrl)) {
    throw new DomainError("memberBadUrls");
  }
}

function requireFree(urls: readonly string[], members: readonly Member[]) {
  const taken = members.flatMap(({ peerURLs }) => peerURLs);
  if (urls.some((url) => taken.includes(url))) {
    throw new DomainError("peerUrlExists");
  }
}

/** A URL that etcd takes for a member (client/pkg/types/urls.go): scheme, host and port, which may be empty, no path. */
function isUrl(url: string): boolean {
  return /^unixs?:/i.test(url.trim()) || HOST_AND_PORT.test(url.trim());
}

const HOST_AND_PORT =
  /^https?:\/\/(?:[^\s/?#@]*@)?(?:\[[^\s/?#[\]]*\]|[^\s/?#@:[\]]*):\d*(?:[?#]\S*)?$/i;
