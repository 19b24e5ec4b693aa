import { DomainError } from "../base/errors.ts";
import type { Read, Store } from "../mvcc/store.ts";
import type { SpaceQuota } from "../mvcc/space_quota.ts";
import type { Written } from "../mvcc/write_queue.ts";
import {
  type CompactionRequest,
  type CompactionResponse,
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  KVService,
  newCompactionResponse,
  type PutRequest,
  type PutResponse,
  type RangeRequest,
  type RangeResponse,
  type TxnRequest,
  type TxnResponse,
} from "../pb/etcdserverpb.ts";
import { sizeDelimited } from "../pb/wire.ts";
import type { Call, Method } from "../transport/grpc/service.ts";
import {
  checkDeleteRange,
  checkPut,
  checkRange,
  checkTxn,
  isReadOnlyTxn,
  isSerializableTxn,
  putCost,
  txnCost,
} from "./check.ts";
import type { Access } from "./access.ts";
import type { HeaderSource } from "./header.ts";
import { longRange } from "./long_range.ts";
import { RANGE_RESPONSE } from "./range_body.ts";
import { rangeStream } from "./range_stream.ts";

/**
 * The header of the message in which etcd proposes a request, with an id of nine bytes: it counts (etcd,
 * v3_server.go, processInternalRaftRequestOnce), so that what we take is not too large there.
 */
const ENVELOPE_BYTES = 13;

/** Physical removal after a compaction. */
export interface Reaper {
  /** Resolves once the rows that compaction has made unreachable so far are gone and that is durable. */
  readonly done: Promise<void>;
}

export interface KvOptions {
  readonly maxTxnOps: number;
  /** Encoded size of a write request, with what etcd wraps around it. */
  readonly maxRequestBytes: number;
}

/** Counts requests. */
export interface KvCounters {
  readonly ranges: { inc(): void };
  readonly txns: { inc(): void };
}

/** etcdserverpb.KV. */
export class KvHandlers {
  constructor(
    readonly store: Store,
    readonly access: Access,
    readonly quota: SpaceQuota,
    readonly reaper: Reaper,
    readonly header: HeaderSource,
    readonly counters: KvCounters,
    readonly options: KvOptions,
  ) {}

  /** The methods to register. */
  methods(): Method[] {
    const { range, put, deleteRange, txn, compact, rangeStream: stream } =
      KVService.methods;
    return [
      {
        ...range,
        response: RANGE_RESPONSE,
        kind: "unary",
        handle: (r: RangeRequest, call: Call) => this.range(r, call),
      },
      {
        ...put,
        kind: "unary",
        handle: (r: PutRequest, call: Call, n: number) => this.put(r, call, n),
      },
      {
        ...deleteRange,
        kind: "unary",
        handle: (r: DeleteRangeRequest, call: Call, n: number) =>
          this.deleteRange(r, call, n),
      },
      {
        ...txn,
        kind: "unary",
        handle: (r: TxnRequest, call: Call, n: number) => this.txn(r, call, n),
      },
      {
        ...compact,
        kind: "unary",
        handle: (r: CompactionRequest, call: Call) => this.compact(r, call),
      },
      {
        ...stream,
        kind: "serverStream",
        handle: async (r: RangeRequest, call, out) => {
          checkRange(r);
          if (!r.serializable) await this.store.barrier();
          this.access.requireRange(call, r);
          await rangeStream(r, out, this);
        },
      },
    ];
  }

  range(
    request: RangeRequest,
    call: Call,
  ): RangeResponse | Promise<RangeResponse> {
    checkRange(request);
    const waiting = request.serializable ? undefined : this.store.barrier();
    return waiting === undefined
      ? this.#range(request, call)
      : waiting.then(() => this.#range(request, call));
  }

  #range(
    request: RangeRequest,
    call: Call,
  ): RangeResponse | Promise<RangeResponse> {
    this.access.requireRange(call, request);
    this.counters.ranges.inc();
    const read = longRange(this.store, request);
    return read instanceof Promise
      ? this.#answeredLater(read)
      : this.#headed(read);
  }

  async put(
    request: PutRequest,
    call: Call,
    bytes: number,
  ): Promise<PutResponse> {
    checkPut(request);
    const guard = this.access.put(call, request);
    this.#checkSize(bytes);
    this.quota.admit(putCost(request));
    return this.#answered(await this.store.put(request, bytes, guard));
  }

  async deleteRange(
    request: DeleteRangeRequest,
    call: Call,
    bytes: number,
  ): Promise<DeleteRangeResponse> {
    checkDeleteRange(request);
    const guard = this.access.deleteRange(call, request);
    this.#checkSize(bytes);
    this.quota.admitAny();
    return this.#answered(await this.store.deleteRange(request, bytes, guard));
  }

  async txn(
    request: TxnRequest,
    call: Call,
    bytes: number,
  ): Promise<TxnResponse> {
    checkTxn(request, this.options.maxTxnOps);
    this.counters.txns.inc();
    if (isReadOnlyTxn(request)) {
      const isSerializable = isSerializableTxn(request);
      if (!isSerializable) await this.store.barrier();
      this.access.requireReads(call, request);
      const read = this.store.readOnlyTxn(request, isSerializable);
      return read instanceof Promise
        ? await this.#answeredLater(read)
        : this.#headed(read);
    }
    const guard = this.access.txn(call, request);
    this.#checkSize(bytes);
    const cost = txnCost(request);
    if (cost > 0) this.quota.admit(cost);
    else this.quota.admitAny();
    return this.#answered(await this.store.txn(request, bytes, guard));
  }

  async compact(
    request: CompactionRequest,
    call: Call,
  ): Promise<CompactionResponse> {
    this.access.requireRoot(call);
    this.quota.admitAny();
    await this.store.compact(request.revision);
    if (request.physical) await this.reaper.done;
    return newCompactionResponse({
      header: this.header.at(this.store.currentRevision),
    });
  }

  /** A read that had to wait: what it was allowed to see may have changed meanwhile. */
  async #answeredLater<T extends { header: Uint8Array | undefined }>(
    read: Promise<Read<T>>,
  ): Promise<T> {
    const authRevision = this.access.auth.revision;
    const answer = await read;
    this.access.requireUnchanged(authRevision);
    return this.#headed(answer);
  }

  #checkSize(bytes: number): void {
    const withField = 1 + sizeDelimited(bytes);
    if (ENVELOPE_BYTES + withField > this.options.maxRequestBytes) {
      throw new DomainError("requestTooLarge");
    }
  }

  #headed<T extends { header: Uint8Array | undefined }>(read: Read<T>): T {
    read.response.header = this.header.at(read.revision);
    return read.response;
  }

  #answered<T extends { header: Uint8Array | undefined }>(
    written: Written<T>,
  ): T {
    written.result.header = this.header.at(written.revision);
    return written.result;
  }
}
