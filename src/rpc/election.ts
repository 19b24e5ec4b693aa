import { concatBytes, equalBytes, utf8 } from "../base/bytes.ts";
import { DomainError } from "../base/errors.ts";
import {
  newDeleteRangeRequest,
  newPutRequest,
  newRequestOp,
} from "../pb/etcdserverpb.ts";
import { decodeEvent, encodeKeyValue } from "../pb/mvccpb.ts";
import { readRecordKey } from "../pb/key_value.ts";
import {
  type CampaignRequest,
  type CampaignResponse,
  ElectionService,
  type LeaderKey,
  type LeaderRequest,
  type LeaderResponse,
  newCampaignResponse,
  newLeaderKey,
  newLeaderResponse,
  newProclaimResponse,
  newResignResponse,
  type ProclaimRequest,
  type ProclaimResponse,
  type ResignRequest,
  type ResignResponse,
} from "../pb/v3electionpb.ts";
import type { Call, MessageWriter, Method } from "../transport/grpc/service.ts";
import type { HeaderSource } from "./header.ts";
import {
  type Candidate,
  type Recipes,
  revisionOf,
  withoutCode,
} from "./recipes.ts";

/** v3electionpb.Election (etcd, server/etcdserver/api/v3election). */
export class ElectionHandlers {
  constructor(
    readonly recipes: Recipes,
    readonly header: Pick<HeaderSource, "at">,
  ) {}

  methods(): Method[] {
    const m = ElectionService.methods;
    return [
      {
        ...m.campaign,
        kind: "unary",
        handle: (r: CampaignRequest, call: Call) =>
          withoutCode(this.campaign(r, call)),
      },
      {
        ...m.proclaim,
        kind: "unary",
        handle: (r: ProclaimRequest, call: Call) =>
          withoutCode(this.proclaim(r, call)),
      },
      {
        ...m.leader,
        kind: "unary",
        handle: (r: LeaderRequest, call: Call) =>
          withoutCode(this.leader(r, call)),
      },
      {
        ...m.observe,
        kind: "serverStream",
        handle: (r: LeaderRequest, call, out) => this.observe(r, call, out),
      },
      {
        ...m.resign,
        kind: "unary",
        handle: (r: ResignRequest, call: Call) =>
          withoutCode(this.resign(r, call)),
      },
    ];
  }

  /** Waits until the candidate leads. One that stops waiting resigns. */
  async campaign(
    request: CampaignRequest,
    call: Call,
  ): Promise<CampaignResponse> {
    const { name, value } = request;
    const { recipes } = this;
    const lease = await recipes.lease(request.lease, call);
    const own = await recipes.enter(name, lease, value, call);
    try {
      if (own.known !== undefined && !equalBytes(own.known.value, value)) {
        await this.#proclaim(own, value, call);
      }
      await recipes.waitForTurn(own, call);
    } catch (error) {
      await recipes.cleanUp(this.#resign(own, call));
      throw error;
    }
    const leader = newLeaderKey({
      name,
      key: own.key,
      rev: own.revision,
      lease,
    });
    return newCampaignResponse({ header: own.header, leader });
  }

  /** A new value of the leader's, without another election. */
  async proclaim(
    { leader, value }: ProclaimRequest,
    call: Call,
  ): Promise<ProclaimResponse> {
    const own = await this.#candidate(leader, call);
    return newProclaimResponse({
      header: await this.#proclaim(own, value, call),
    });
  }

  async leader({ name }: LeaderRequest, call: Call): Promise<LeaderResponse> {
    const prefix = concatBytes(name, utf8("/"));
    const { header, kv } = await this.recipes.firstBelow(prefix, call);
    if (kv === undefined) throw new DomainError("noElectionLeader");
    return newLeaderResponse({ header, kv });
  }

  /** Gives leadership up; nothing happens if it is lost already. */
  async resign({ leader }: ResignRequest, call: Call): Promise<ResignResponse> {
    const own = await this.#candidate(leader, call);
    return newResignResponse({ header: await this.#resign(own, call) });
  }

  /**
   * The leader there is, each value that it proclaims, and each leader after it. Who reads too slowly is told of the
   * newest value instead of all of them. What cannot be read any more, or must not be, ends the stream without an error,
   * as etcd's client library ends its channel.
   */
  async observe(
    { name }: LeaderRequest,
    call: Call,
    out: MessageWriter<LeaderResponse>,
  ): Promise<void> {
    const prefix = concatBytes(name, utf8("/"));
    const candidates = this.recipes.changes.below(prefix);
    try {
      while (!out.isEnded) {
        const { kv } = await this.recipes.firstBelow(prefix, call);
        if (kv === undefined) await candidates.changed(call.signal);
        else await this.#observeLeader(prefix, recordKey(kv), call, out);
      }
    } catch (error) {
      const isRefused = error instanceof DomainError &&
        error.kind !== "stopped";
      if (call.isCancelled || !isRefused) throw error;
    } finally {
      candidates.end();
    }
  }

  /** Sends what the leader says, until it leads no more or it said too much. */
  async #observeLeader(
    prefix: Uint8Array,
    key: Uint8Array,
    call: Call,
    out: MessageWriter<LeaderResponse>,
  ): Promise<void> {
    const leader = this.recipes.changes.follow(key);
    try {
      // Looked for again, now that nothing after the answer can be missed.
      const { header, kv } = await this.recipes.firstBelow(prefix, call);
      if (kv === undefined || !equalBytes(recordKey(kv), key)) return;
      out.send(newLeaderResponse({ header, kv }));
      const seen = revisionOf(header);
      while (!out.isEnded) {
        await out.drained();
        await leader.changed(call.signal);
        const changes = leader.take();
        if (changes === undefined) return;
        for (const { rev, deleted, wire } of changes) {
          if (rev <= seen) continue;
          if (deleted) return;
          const kv = encodeKeyValue(decodeEvent(wire).kv!);
          out.send(newLeaderResponse({ header: this.header.at(rev), kv }));
        }
      }
    } finally {
      leader.end();
    }
  }

  async #candidate(
    leader: LeaderKey | undefined,
    call: Call,
  ): Promise<Pick<Candidate, "key" | "revision" | "lease">> {
    if (leader === undefined) throw new DomainError("leaderFieldMissing");
    const lease = await this.recipes.lease(leader.lease, call);
    return { key: leader.key, revision: leader.rev, lease };
  }

  async #proclaim(
    own: Pick<Candidate, "key" | "revision" | "lease">,
    value: Uint8Array,
    call: Call,
  ): Promise<Uint8Array | undefined> {
    const { key, lease } = own;
    const requestPut = newPutRequest({ key, value, lease });
    const op = newRequestOp({ requestPut });
    const { succeeded, header } = await this.recipes.ifStill(own, op, call);
    if (!succeeded) throw new DomainError("notElectionLeader");
    return header;
  }

  async #resign(
    own: Pick<Candidate, "key" | "revision">,
    call: Call,
  ): Promise<Uint8Array | undefined> {
    const requestDeleteRange = newDeleteRangeRequest({ key: own.key });
    const op = newRequestOp({ requestDeleteRange });
    return (await this.recipes.ifStill(own, op, call)).header;
  }
}

function recordKey(record: Uint8Array): Uint8Array {
  return readRecordKey(record, 0, record.length);
}
