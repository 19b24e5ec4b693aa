import { compareBytes } from "../base/bytes.ts";
import { DomainError } from "../base/errors.ts";
import {
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  RangeRequest_SortOrder as SortOrder,
  RangeRequest_SortTarget as SortTarget,
  type RequestOp,
  type TxnRequest,
} from "../pb/etcdserverpb.ts";

/** Checks of a request's shape, as etcd's v3rpc/key.go makes them. */
export function checkRange(request: RangeRequest): void {
  if (request.key.length === 0) throw new DomainError("emptyKey");
  if (
    request.sortOrder < SortOrder.NONE ||
    request.sortOrder > SortOrder.DESCEND ||
    request.sortTarget < SortTarget.KEY || request.sortTarget > SortTarget.VALUE
  ) throw new DomainError("invalidSortOption");
}

export function checkPut(request: PutRequest): void {
  if (request.key.length === 0) throw new DomainError("emptyKey");
  if (request.ignoreValue && request.value.length !== 0) {
    throw new DomainError("valueProvided");
  }
  if (request.ignoreLease && request.lease !== 0n) {
    throw new DomainError("leaseProvided");
  }
}

export function checkDeleteRange(request: DeleteRangeRequest): void {
  if (request.key.length === 0) throw new DomainError("emptyKey");
}

/** The whole transaction: sizes, keys, then overlaps of each branch apart. */
export function checkTxn(request: TxnRequest, maxOps: number): void {
  checkTxnOps(request, maxOps);
  checkOverlaps(request.success);
  checkOverlaps(request.failure);
}

/** Whether the transaction is made of ranges alone; any nested one counts as a write. */
export function isReadOnlyTxn(request: TxnRequest): boolean {
  for (const op of request.success) {
    if (op.requestRange === undefined) return false;
  }
  for (const op of request.failure) {
    if (op.requestRange === undefined) return false;
  }
  return true;
}

/**
 * Whether a transaction of ranges alone may be answered from what this server knows: all of them say so. Where there
 * are none, nobody asked for that.
 */
export function isSerializableTxn({ success, failure }: TxnRequest): boolean {
  const ops = [...success, ...failure];
  return ops.length > 0 && ops.every((op) => op.requestRange?.serializable);
}

/** What the space quota charges a transaction: the dearer branch, nested ones included. */
export function txnCost(request: TxnRequest): number {
  return Math.max(opsCost(request.success), opsCost(request.failure));
}

/** What the space quota charges a put. */
export function putCost(request: PutRequest): number {
  return 256 + request.key.length + request.value.length;
}

function opsCost(ops: readonly RequestOp[]): number {
  let cost = 0;
  for (const op of ops) {
    if (op.requestPut !== undefined) cost += putCost(op.requestPut);
    else if (op.requestTxn !== undefined) cost += txnCost(op.requestTxn);
  }
  return cost;
}

function checkTxnOps(request: TxnRequest, maxOps: number): void {
  const largest = Math.max(
    request.compare.length,
    request.success.length,
    request.failure.length,
  );
  if (largest > maxOps) throw new DomainError("tooManyOps");
  for (const compare of request.compare) {
    if (compare.key.length === 0) throw new DomainError("emptyKey");
  }
  for (const op of request.success) checkOp(op, maxOps - largest);
  for (const op of request.failure) checkOp(op, maxOps - largest);
}

function checkOp(op: RequestOp, maxOps: number): void {
  if (op.requestRange !== undefined) checkRange(op.requestRange);
  else if (op.requestPut !== undefined) checkPut(op.requestPut);
  else if (op.requestDeleteRange !== undefined) {
    checkDeleteRange(op.requestDeleteRange);
  } else if (op.requestTxn !== undefined) checkTxnOps(op.requestTxn, maxOps);
  else throw new DomainError("keyNotFound");
}

/** The keys that a branch may put and the ranges that it may delete. */
interface Writes {
  readonly puts: Map<string, Uint8Array>;
  readonly deletes: DeleteRangeRequest[];
}

/**
 * No key may be put twice in one branch, nor put and deleted; nested transactions count with both of
 * their branches, but a key may stand in the "then" and in the "else" of the same one. As etcd's
 * checkIntervals, this lets two cases through: a nested transaction that deletes what an earlier one
 * puts, and a deletion of everything from a key on.
 */
function checkOverlaps(ops: readonly RequestOp[]): Writes {
  const all: Writes = { puts: new Map(), deletes: [] };
  for (const op of ops) {
    if (op.requestDeleteRange !== undefined) {
      all.deletes.push(op.requestDeleteRange);
    }
  }
  for (const op of ops) {
    if (op.requestTxn === undefined) continue;
    const then = checkOverlaps(op.requestTxn.success);
    const otherwise = checkOverlaps(op.requestTxn.failure);
    for (const [name, key] of otherwise.puts) then.puts.set(name, key);
    then.deletes.push(...otherwise.deletes);
    for (const [name, key] of then.puts) {
      if (all.puts.has(name) || isDeleted(key, all.deletes)) {
        throw new DomainError("duplicateKey");
      }
    }
    for (const [name, key] of then.puts) all.puts.set(name, key);
    all.deletes.push(...then.deletes);
  }
  for (const op of ops) {
    if (op.requestPut === undefined) continue;
    const { key } = op.requestPut;
    const name = latin1(key);
    if (all.puts.has(name) || isDeleted(key, all.deletes)) {
      throw new DomainError("duplicateKey");
    }
    all.puts.set(name, key);
  }
  return all;
}

function isDeleted(
  key: Uint8Array,
  deletes: readonly DeleteRangeRequest[],
): boolean {
  return deletes.some(({ key: start, rangeEnd }) => {
    const order = compareBytes(key, start);
    if (rangeEnd.length === 0) return order === 0;
    // No key is smaller than "\0", the end that stands for all keys: etcd finds such a range to be empty here.
    return order >= 0 && compareBytes(key, rangeEnd) < 0;
  });
}

function latin1(bytes: Uint8Array): string {
  let out = "";
  for (let i = 0; i < bytes.length; i++) out += String.fromCharCode(bytes[i]!);
  return out;
}
