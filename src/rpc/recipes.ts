import { concatBytes, utf8 } from "../base/bytes.ts";
import { DomainError } from "../base/errors.ts";
import {
  Compare_CompareResult as CompareResult,
  Compare_CompareTarget as CompareTarget,
  decodeResponseHeader,
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  type LeaseGrantRequest,
  type LeaseGrantResponse,
  newCompare,
  newDeleteRangeRequest,
  newLeaseGrantRequest,
  newPutRequest,
  newRangeRequest,
  newRequestOp,
  newTxnRequest,
  type RangeRequest,
  RangeRequest_SortOrder as SortOrder,
  RangeRequest_SortTarget as SortTarget,
  type RangeResponse,
  type RequestOp,
  sizeDeleteRangeRequest,
  sizeTxnRequest,
  type TxnRequest,
  type TxnResponse,
} from "../pb/etcdserverpb.ts";
import { decodeKeyValue, type KeyValue } from "../pb/mvccpb.ts";
import { Code, StatusError } from "../transport/grpc/status.ts";
import type { Call } from "../transport/grpc/service.ts";
import { STATUS } from "./errors.ts";
import type { KeyChanges } from "./key_changes.ts";

/** The KV service, as its other callers see it: permissions are those of the call. */
export interface RecipeKv {
  range(
    request: RangeRequest,
    call: Call,
  ): RangeResponse | Promise<RangeResponse>;
  deleteRange(
    request: DeleteRangeRequest,
    call: Call,
    bytes: number,
  ): DeleteRangeResponse | Promise<DeleteRangeResponse>;
  txn(
    request: TxnRequest,
    call: Call,
    bytes: number,
  ): TxnResponse | Promise<TxnResponse>;
}

/** The Lease service. */
export interface RecipeLeases {
  grant(request: LeaseGrantRequest, call: Call): Promise<LeaseGrantResponse>;
}

/** Seconds of a lease that the server grants for a request without one; as etcd's sessions. */
const SESSION_TTL_SECONDS = 60;

/** A key that queues up below a name: the one that was created first has the lock, or leads. */
export interface Candidate {
  /** `name/`. */
  readonly prefix: Uint8Array;
  /** `name/` and the lease in hexadecimal. */
  readonly key: Uint8Array;
  readonly lease: bigint;
  /** Create revision of the key. */
  readonly revision: number;
  /** The key as it was before; undefined if it is new. */
  readonly known: KeyValue | undefined;
  /** The first of all candidates; undefined if it is this one, and new. */
  readonly first: KeyValue | undefined;
  readonly header: Uint8Array | undefined;
}

/**
 * What etcd's client does for locks and elections (client/v3/concurrency), done here for those who cannot: each
 * candidate is a key with a lease, and waits for the candidate before it to go.
 */
export class Recipes {
  constructor(
    readonly kv: RecipeKv,
    readonly leases: RecipeLeases,
    readonly changes: KeyChanges,
    readonly store: { readonly currentRevision: number },
  ) {}

  /** The lease that a request names, or one of 60 seconds. */
  async lease(id: bigint, call: Call): Promise<bigint> {
    if (id !== 0n) return id;
    const request = newLeaseGrantRequest({ TTL: SESSION_TTL_SECONDS });
    return (await this.leases.grant(request, call)).ID;
  }

  /** Queues up below a name. With the same lease again: the key that is there already. */
  async enter(
    name: Uint8Array,
    lease: bigint,
    value: Uint8Array,
    call: Call,
  ): Promise<Candidate> {
    const prefix = concatBytes(name, utf8("/"));
    const key = concatBytes(prefix, utf8(lease.toString(16)));
    const first = newRequestOp({ requestRange: firstBelow(prefix) });
    const response = await this.#txn({
      compare: [createdAt(key, 0)],
      success: [
        newRequestOp({ requestPut: newPutRequest({ key, value, lease }) }),
        first,
      ],
      failure: [
        newRequestOp({ requestRange: newRangeRequest({ key }) }),
        first,
      ],
    }, call);
    const [own, owner] = response.responses;
    const known = response.succeeded ? undefined : firstOf(own!.responseRange!);
    return {
      prefix,
      key,
      lease,
      revision: known?.createRevision ?? revisionOf(response.header),
      known,
      first: firstOf(owner!.responseRange!),
      header: response.header,
    };
  }

  /** Waits until no candidate is left that came before. */
  async waitForTurn(
    { prefix, revision }: Candidate,
    call: Call,
  ): Promise<void> {
    const before = newRangeRequest({
      key: prefix,
      rangeEnd: endOf(prefix),
      limit: 1,
      sortOrder: SortOrder.DESCEND,
      sortTarget: SortTarget.CREATE,
      maxCreateRevision: revision - 1,
    });
    for (;;) {
      const asOf = this.store.currentRevision;
      const predecessor = firstOf(await this.kv.range(before, call));
      if (predecessor === undefined) return;
      const subscription = this.changes.ofKey(predecessor.key);
      try {
        // What happened while we looked is looked for again.
        if (this.store.currentRevision !== asOf) continue;
        await subscription.changed(call.signal);
      } finally {
        subscription.end();
      }
    }
  }

  /** The first candidate below a name, with the answer's header; undefined if there is none. */
  async firstBelow(
    prefix: Uint8Array,
    call: Call,
  ): Promise<{ header: Uint8Array | undefined; kv: Uint8Array | undefined }> {
    const { header, kvs } = await this.kv.range(firstBelow(prefix), call);
    return { header, kv: kvs[0] };
  }

  /** A key as it is now. */
  async get(key: Uint8Array, call: Call): Promise<RangeResponse> {
    return await this.kv.range(newRangeRequest({ key }), call);
  }

  async delete(key: Uint8Array, call: Call): Promise<DeleteRangeResponse> {
    const request = newDeleteRangeRequest({ key });
    const bytes = sizeDeleteRangeRequest(request);
    return await this.kv.deleteRange(request, call, bytes);
  }

  /** Does `op` if the key still is the one that was created at `revision`. */
  ifStill(
    { key, revision }: Pick<Candidate, "key" | "revision">,
    op: RequestOp,
    call: Call,
  ): Promise<TxnResponse> {
    const compare = [createdAt(key, revision)];
    return this.#txn({ compare, success: [op] }, call);
  }

  /** Waits for the removal of what a failed request left; the request's own error is the one to be told. */
  async cleanUp(removal: Promise<unknown>): Promise<void> {
    try {
      await removal;
    } catch {
      // The key's lease will remove it.
    }
  }

  async #txn(parts: Partial<TxnRequest>, call: Call): Promise<TxnResponse> {
    const request = newTxnRequest(parts);
    return await this.kv.txn(request, call, sizeTxnRequest(request));
  }
}

/**
 * The answer of a recipe. Its errors keep their message and lose their code, as in etcd, where they come out of a
 * client and no longer know it; but for the one that says to try again elsewhere.
 */
export async function withoutCode<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (!(error instanceof DomainError) || error.kind === "stopped") {
      throw error;
    }
    const { message } = STATUS[error.kind];
    throw new StatusError(Code.Unknown, message);
  }
}

/** The revision in an encoded header. */
export function revisionOf(header: Uint8Array | undefined): number {
  return header === undefined ? 0 : decodeResponseHeader(header).revision;
}

function createdAt(key: Uint8Array, createRevision: number) {
  return newCompare({
    result: CompareResult.EQUAL,
    target: CompareTarget.CREATE,
    key,
    createRevision,
  });
}

function firstBelow(prefix: Uint8Array): RangeRequest {
  return newRangeRequest({
    key: prefix,
    rangeEnd: endOf(prefix),
    limit: 1,
    sortOrder: SortOrder.ASCEND,
    sortTarget: SortTarget.CREATE,
  });
}

function firstOf({ kvs }: RangeResponse): KeyValue | undefined {
  return kvs[0] === undefined ? undefined : decodeKeyValue(kvs[0]);
}

/** The end of all keys that begin with `prefix`, which ends with a slash. */
function endOf(prefix: Uint8Array): Uint8Array {
  const end = prefix.slice();
  end[end.length - 1]! += 1;
  return end;
}
