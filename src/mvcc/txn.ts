import { compareBytes, EMPTY } from "../base/bytes.ts";
import { DomainError } from "../base/errors.ts";
import {
  type Compare,
  Compare_CompareResult as CompareResult,
  Compare_CompareTarget as CompareTarget,
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  newDeleteRangeResponse,
  newPutResponse,
  newResponseOp,
  newTxnResponse,
  type PutRequest,
  type PutResponse,
  type RangeRequest,
  type RangeResponse,
  type RequestOp,
  type ResponseOp,
  type TxnRequest,
  type TxnResponse,
} from "../pb/etcdserverpb.ts";
import { decodeKeyValue, type KeyValue, newKeyValue } from "../pb/mvccpb.ts";
import type { KeyEntry } from "./key_entry.ts";
import { keyRange } from "./key_range.ts";
import { MissingRecords } from "./records.ts";
import {
  checkReadRevision,
  type RangeReader,
  type ReadView,
} from "./range_reader.ts";
import type { WriteBatch } from "./write_batch.ts";

/**
 * Evaluates write requests against the batch under evaluation, as etcd's apply.go does: all compares
 * first, against the state before the transaction, then the checks of the branches that they chose,
 * then the operations in order. Nothing has been written when a check throws.
 */
export class TxnEvaluator {
  constructor(readonly reader: RangeReader) {}

  put(request: PutRequest, batch: WriteBatch): PutResponse {
    this.#checkPut(request, batch, batch.viewBefore());
    return this.#put(request, batch);
  }

  deleteRange(
    request: DeleteRangeRequest,
    batch: WriteBatch,
  ): DeleteRangeResponse {
    return this.#deleteRange(request, batch);
  }

  /** A transaction that may write. */
  txn(request: TxnRequest, batch: WriteBatch): TxnResponse {
    const path: boolean[] = [];
    this.#choose(request, batch.viewBefore(), path);
    this.#check(request, { taken: path, at: 0 }, batch, batch.viewBefore());
    return this.#run(request, { taken: path, at: 0 }, batch);
  }

  /** A transaction of ranges alone: nothing is written, so it needs no batch. */
  readOnly(request: TxnRequest, view: ReadView): TxnResponse {
    const response = newTxnResponse();
    response.succeeded = this.#holdsAll(request.compare, view);
    const ops = response.succeeded ? request.success : request.failure;
    for (const op of ops) this.#checkRange(op.requestRange!, view);
    for (const op of ops) {
      response.responses.push(
        newResponseOp({ responseRange: this.#range(op.requestRange!, view) }),
      );
    }
    return response;
  }

  /** Evaluates the compares of the transaction and of those nested in it; `path` gets the outcomes in pre-order. */
  #choose(request: TxnRequest, view: ReadView, path: boolean[]): void {
    const holds = this.#holdsAll(request.compare, view);
    path.push(holds);
    for (const op of holds ? request.success : request.failure) {
      if (op.requestTxn !== undefined) this.#choose(op.requestTxn, view, path);
    }
  }

  #check(
    request: TxnRequest,
    path: Path,
    batch: WriteBatch,
    view: ReadView,
  ): void {
    for (const op of branch(request, path)) {
      if (op.requestRange !== undefined) {
        this.#checkRange(op.requestRange, view);
      } else if (op.requestPut !== undefined) {
        this.#checkPut(op.requestPut, batch, view);
      } else if (op.requestTxn !== undefined) {
        this.#check(op.requestTxn, path, batch, view);
      }
    }
  }

  #checkRange(request: RangeRequest, view: ReadView): void {
    if (request.revision === 0) return;
    checkReadRevision(request.revision, {
      currentRevision: view.revision,
      compactRevision: this.reader.bounds.compactRevision,
    });
  }

  #checkPut(request: PutRequest, batch: WriteBatch, view: ReadView): void {
    if (request.lease !== 0n && !batch.hasLease(request.lease)) {
      throw new DomainError("leaseNotFound");
    }
    if (request.ignoreValue || request.ignoreLease) {
      const entry = this.reader.index.get(request.key);
      if (entry === undefined || !this.reader.visible(entry, view)) {
        throw new DomainError("keyNotFound");
      }
    }
  }

  #run(request: TxnRequest, path: Path, batch: WriteBatch): TxnResponse {
    const response = newTxnResponse();
    const ops = branch(request, path);
    response.succeeded = path.taken[path.at - 1]!;
    for (const op of ops) response.responses.push(this.#runOp(op, path, batch));
    response.header = revisionHeader(batch.writeRevision);
    return response;
  }

  #runOp(op: RequestOp, path: Path, batch: WriteBatch): ResponseOp {
    if (op.requestRange !== undefined) {
      const response = this.#range(op.requestRange, batch.viewNow());
      return newResponseOp({ responseRange: response });
    }
    if (op.requestPut !== undefined) {
      const response = this.#put(op.requestPut, batch);
      response.header = revisionHeader(batch.writeRevision);
      return newResponseOp({ responsePut: response });
    }
    if (op.requestDeleteRange !== undefined) {
      const response = this.#deleteRange(op.requestDeleteRange, batch);
      response.header = revisionHeader(batch.writeRevision);
      return newResponseOp({ responseDeleteRange: response });
    }
    return newResponseOp({
      // A nested transaction's header is there and empty: etcd's.
      responseTxn: { ...this.#run(op.requestTxn!, path, batch), header: EMPTY },
    });
  }

  #range(request: RangeRequest, view: ReadView): RangeResponse {
    const at = request.revision > 0 && request.revision < view.revision
      ? { ...view, revision: request.revision }
      : view;
    const response = this.reader.read(request, at);
    response.header = revisionHeader(view.revision);
    return response;
  }

  #put(request: PutRequest, batch: WriteBatch): PutResponse {
    const response = newPutResponse();
    let { value, lease } = request;
    if (request.prevKv || request.ignoreValue || request.ignoreLease) {
      const previous = this.reader.recordOf(request.key, batch.viewNow());
      if (request.prevKv) response.prevKv = previous;
      if (
        previous !== undefined && (request.ignoreValue || request.ignoreLease)
      ) {
        const kv = decodeKeyValue(previous);
        if (request.ignoreValue) value = kv.value;
        if (request.ignoreLease) lease = kv.lease;
      }
    }
    batch.putKey(request.key, value, lease);
    return response;
  }

  #deleteRange(
    request: DeleteRangeRequest,
    batch: WriteBatch,
  ): DeleteRangeResponse {
    const view = batch.viewNow();
    const response = newDeleteRangeResponse();
    const entries: KeyEntry[] = [];
    this.reader.forEachKey(
      keyRange(request.key, request.rangeEnd),
      view,
      (entry) => {
        entries.push(entry);
        return true;
      },
    );
    if (request.prevKv) {
      const missing = [];
      for (const { key } of entries) {
        try {
          response.prevKvs.push(this.reader.recordOf(key, view)!);
        } catch (error) {
          if (!(error instanceof MissingRecords)) throw error;
          missing.push(...error.rows);
        }
      }
      if (missing.length > 0) throw new MissingRecords(missing);
    }
    for (const { key } of entries) batch.deleteKey(key);
    response.deleted = entries.length;
    return response;
  }

  #holdsAll(compares: readonly Compare[], view: ReadView): boolean {
    for (const compare of compares) {
      if (!this.#holds(compare, view)) return false;
    }
    return true;
  }

  /** A compare over a range holds if it does for every key in it; over nothing, as for a missing key. */
  #holds(compare: Compare, view: ReadView): boolean {
    let any = false;
    let holds = true;
    const missing = [];
    if (
      compare.rangeEnd.length === 0 && compare.target !== CompareTarget.VALUE
    ) {
      const entry = this.reader.index.get(compare.key);
      if (entry !== undefined && this.reader.visible(entry, view)) {
        return holdsFor(compare, this.#newest(entry, view) ?? MISSING);
      }
      return holdsFor(compare, MISSING);
    }
    const keys: Uint8Array[] = [];
    this.reader.forEachKey(
      keyRange(compare.key, compare.rangeEnd),
      view,
      (entry) => {
        keys.push(entry.key);
        return true;
      },
    );
    for (const key of keys) {
      any = true;
      try {
        const kv = decodeKeyValue(this.reader.recordOf(key, view)!);
        if (!holdsFor(compare, kv)) holds = false;
      } catch (error) {
        if (!(error instanceof MissingRecords)) throw error;
        missing.push(...error.rows);
      }
      if (!holds) return false;
    }
    if (missing.length > 0) throw new MissingRecords(missing);
    if (!any) {
      return compare.target === CompareTarget.VALUE
        ? false
        : holdsFor(compare, MISSING);
    }
    return holds;
  }

  /** The fields of the newest visible version, without its record. */
  #newest(entry: KeyEntry, view: ReadView): ComparedFields | undefined {
    for (
      let p = view.seesPending ? entry.pending : undefined;
      p !== undefined && !p.isApplied;
      p = p.prior
    ) {
      if (p.rev > view.revision) continue;
      return {
        version: p.version,
        createRevision: p.createRev,
        modRevision: p.rev,
        lease: p.lease,
        value: EMPTY,
      };
    }
    return {
      version: entry.version,
      createRevision: entry.createRev,
      modRevision: entry.rev,
      lease: entry.lease,
      value: EMPTY,
    };
  }
}

/** The outcomes of the compares in pre-order, and how many of them have been used. */
interface Path {
  readonly taken: readonly boolean[];
  at: number;
}

type ComparedFields = Pick<
  KeyValue,
  "version" | "createRevision" | "modRevision" | "lease" | "value"
>;

const MISSING: ComparedFields = newKeyValue();

function branch(request: TxnRequest, path: Path): readonly RequestOp[] {
  return path.taken[path.at++] ? request.success : request.failure;
}

/** A member of the union that does not fit the target is read as zero, as etcd does. */
function holdsFor(compare: Compare, kv: ComparedFields): boolean {
  switch (compare.target) {
    case CompareTarget.VERSION:
      return outcome(compare.result, kv.version - (compare.version ?? 0));
    case CompareTarget.CREATE:
      return outcome(
        compare.result,
        kv.createRevision - (compare.createRevision ?? 0),
      );
    case CompareTarget.MOD:
      return outcome(
        compare.result,
        kv.modRevision - (compare.modRevision ?? 0),
      );
    case CompareTarget.VALUE:
      return outcome(
        compare.result,
        compareBytes(kv.value, compare.value ?? EMPTY),
      );
    case CompareTarget.LEASE: {
      const other = compare.lease ?? 0n;
      return outcome(
        compare.result,
        kv.lease === other ? 0 : kv.lease < other ? -1 : 1,
      );
    }
    default:
      return outcome(compare.result, 0);
  }
}

function outcome(result: number, difference: number): boolean {
  switch (result) {
    case CompareResult.EQUAL:
      return difference === 0;
    case CompareResult.NOT_EQUAL:
      return difference !== 0;
    case CompareResult.GREATER:
      return difference > 0;
    case CompareResult.LESS:
      return difference < 0;
    default:
      return true;
  }
}

/** Wire bytes of a ResponseHeader that holds a revision and nothing else: field 3, varint. */
export function revisionHeader(revision: number): Uint8Array {
  const out: number[] = [0x18];
  let rest = revision;
  while (rest >= 0x80) {
    out.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  out.push(rest);
  return Uint8Array.from(out);
}
