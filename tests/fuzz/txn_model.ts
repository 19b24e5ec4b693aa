import { text } from "../../src/base/bytes.ts";
import {
  type Compare,
  Compare_CompareResult as CompareResult,
  Compare_CompareTarget as CompareTarget,
  type PutRequest,
  type RangeRequest,
  RangeRequest_SortOrder as SortOrder,
  RangeRequest_SortTarget as SortTarget,
  type RequestOp,
  type TxnRequest,
} from "../../src/pb/etcdserverpb.ts";

/** What a key is at some revision. */
export interface Version {
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: bigint;
}

/** A key with what it is. */
export type Pair = readonly [key: string, version: Version];
type State = ReadonlyMap<string, Version>;

/** What an operation answers; of a nested transaction, its own answers. */
export type OpAnswer =
  | { readonly range: RangeAnswer }
  | { readonly put: { readonly prevKv: Pair | undefined } }
  | {
    readonly delete: {
      readonly deleted: number;
      readonly prevKvs: readonly Pair[];
    };
  }
  | { readonly txn: TxnAnswer };

export interface RangeAnswer {
  readonly kvs: readonly Pair[];
  readonly count: number;
  readonly more: boolean;
}

export interface TxnAnswer {
  readonly succeeded: boolean;
  readonly responses: readonly OpAnswer[];
}

/** Leases that exist. */
const LEASES: readonly bigint[] = [7n];
const MISSING: Version = {
  value: "",
  createRevision: 0,
  modRevision: 0,
  version: 0,
  lease: 0n,
};

/**
 * etcd's transactions, written down naively (server/etcdserver/txn): each revision is a map of all its keys, and a
 * transaction a walk over the operations. Keys and values are text.
 */
export class TxnModel {
  /** states[rev]: the keys at that revision; the store begins at 1. */
  readonly states: State[] = [new Map(), new Map()];
  compactRevision = -1;

  get revision(): number {
    return this.states.length - 1;
  }

  /** Why the transaction has to fail: any of these kinds; none if it must not. */
  errors(request: TxnRequest): Set<string> {
    const errors = new Set<string>();
    this.#collect(request, this.states[this.revision]!, errors);
    return errors;
  }

  /** Applies a transaction that has no errors. */
  apply(request: TxnRequest): TxnAnswer {
    const run = new Run(this, this.states[this.revision]!);
    const answer = run.txn(request);
    if (run.hasWritten) this.states.push(run.state);
    return answer;
  }

  #collect(request: TxnRequest, state: State, errors: Set<string>): void {
    for (const op of chosen(request, state)) {
      if (op.requestRange !== undefined) {
        const { revision } = op.requestRange;
        if (revision > this.revision) errors.add("futureRevision");
        else if (revision !== 0 && revision < this.compactRevision) {
          errors.add("compacted");
        }
      } else if (op.requestPut !== undefined) {
        const { key, lease, ignoreLease, ignoreValue } = op.requestPut;
        if ((ignoreValue || ignoreLease) && !state.has(text(key))) {
          errors.add("keyNotFound");
        }
        if (lease !== 0n && !LEASES.includes(lease)) {
          errors.add("leaseNotFound");
        }
      } else if (op.requestTxn !== undefined) {
        this.#collect(op.requestTxn, state, errors);
      }
    }
  }
}

/** One transaction, nested ones included: all compares see the state before it. */
class Run {
  readonly state: Map<string, Version>;
  hasWritten = false;

  constructor(readonly model: TxnModel, readonly before: State) {
    this.state = new Map(before);
  }

  txn(request: TxnRequest): TxnAnswer {
    const responses = chosen(request, this.before).map((op) => this.#op(op));
    return { succeeded: holdsAll(request.compare, this.before), responses };
  }

  #op(op: RequestOp): OpAnswer {
    if (op.requestRange !== undefined) {
      return { range: this.#range(op.requestRange) };
    }
    if (op.requestPut !== undefined) return { put: this.#put(op.requestPut) };
    if (op.requestTxn !== undefined) return { txn: this.txn(op.requestTxn) };
    const { key, rangeEnd, prevKv } = op.requestDeleteRange!;
    const doomed = inRange(this.state, key, rangeEnd);
    for (const [name] of doomed) this.state.delete(name);
    if (doomed.length > 0) this.hasWritten = true;
    const prevKvs = prevKv ? doomed : [];
    return { delete: { deleted: doomed.length, prevKvs } };
  }

  #put(request: PutRequest): { prevKv: Pair | undefined } {
    const key = text(request.key);
    const old = this.state.get(key);
    const revision = this.model.revision + 1;
    this.state.set(key, {
      value: request.ignoreValue ? old?.value ?? "" : text(request.value),
      createRevision: old?.createRevision ?? revision,
      modRevision: revision,
      version: (old?.version ?? 0) + 1,
      lease: request.ignoreLease ? old?.lease ?? 0n : request.lease,
    });
    this.hasWritten = true;
    const wanted = request.prevKv && old !== undefined;
    return { prevKv: wanted ? [key, old] : undefined };
  }

  #range(request: RangeRequest): RangeAnswer {
    const { revision, limit } = request;
    // What the transaction has written is seen in its own revision, which is the newest from then on.
    const state = revision > 0 ? this.model.states[revision]! : this.state;
    const all = inRange(state, request.key, request.rangeEnd);
    const count = all.length;
    if (request.countOnly) return { kvs: [], count, more: false };
    // Without an order or a bound, what is sorted is one key more than what is answered, in the order of keys.
    const isCut = limit > 0 && request.sortOrder === SortOrder.NONE &&
      !isBounded(request);
    let kvs = (isCut ? all.slice(0, limit + 1) : all).filter((
      [, { createRevision, modRevision }],
    ) =>
      isWithin(modRevision, request.minModRevision, request.maxModRevision) &&
      isWithin(
        createRevision,
        request.minCreateRevision,
        request.maxCreateRevision,
      )
    );
    kvs = sorted(kvs, request);
    const more = limit > 0 && kvs.length > limit;
    if (more) kvs = kvs.slice(0, limit);
    if (request.keysOnly) {
      kvs = kvs.map(([key, version]) => [key, { ...version, value: "" }]);
    }
    return { kvs, count, more };
  }
}

/** What a range is sorted by. */
export function sortKey([key, version]: Pair, target: number): string | number {
  switch (target) {
    case SortTarget.VERSION:
      return version.version;
    case SortTarget.CREATE:
      return version.createRevision;
    case SortTarget.MOD:
      return version.modRevision;
    case SortTarget.VALUE:
      return version.value;
    default:
      return key;
  }
}

function sorted(pairs: readonly Pair[], request: RangeRequest): Pair[] {
  const { sortOrder, sortTarget } = request;
  const sign = sortOrder === SortOrder.DESCEND ? -1 : 1;
  return pairs.toSorted((a, b) => {
    const [x, y] = [sortKey(a, sortTarget), sortKey(b, sortTarget)];
    return x < y ? -sign : x > y ? sign : 0;
  });
}

function isBounded(request: RangeRequest): boolean {
  return request.minModRevision !== 0 || request.maxModRevision !== 0 ||
    request.minCreateRevision !== 0 || request.maxCreateRevision !== 0;
}

/** 0 is no bound. */
function isWithin(revision: number, least: number, most: number): boolean {
  return (least === 0 || revision >= least) && (most === 0 || revision <= most);
}

function chosen(request: TxnRequest, state: State): readonly RequestOp[] {
  return holdsAll(request.compare, state) ? request.success : request.failure;
}

function holdsAll(compares: readonly Compare[], state: State): boolean {
  return compares.every((compare) => {
    const pairs = inRange(state, compare.key, compare.rangeEnd);
    if (pairs.length > 0) {
      return pairs.every(([, version]) => holds(compare, version));
    }
    return compare.target !== CompareTarget.VALUE && holds(compare, MISSING);
  });
}

function holds(compare: Compare, version: Version): boolean {
  const [is, than] = compared(compare, version);
  switch (compare.result) {
    case CompareResult.EQUAL:
      return is === than;
    case CompareResult.NOT_EQUAL:
      return is !== than;
    case CompareResult.GREATER:
      return is > than;
    default:
      return is < than;
  }
}

type Comparable = number | bigint | string;

function compared(
  compare: Compare,
  version: Version,
): [Comparable, Comparable] {
  switch (compare.target) {
    case CompareTarget.VERSION:
      return [version.version, compare.version ?? 0];
    case CompareTarget.CREATE:
      return [version.createRevision, compare.createRevision ?? 0];
    case CompareTarget.MOD:
      return [version.modRevision, compare.modRevision ?? 0];
    case CompareTarget.LEASE:
      return [version.lease, compare.lease ?? 0n];
    default:
      return [version.value, text(compare.value ?? new Uint8Array())];
  }
}

/** The keys of a range in order. */
function inRange(
  state: State,
  start: Uint8Array,
  rangeEnd: Uint8Array,
): Pair[] {
  const [first, end] = [text(start), text(rangeEnd)];
  return [...state]
    .filter(([key]) =>
      end === "" ? key === first : key >= first && (end === "\0" || key < end)
    )
    .sort(([a], [b]) => a < b ? -1 : 1);
}
