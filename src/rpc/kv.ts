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
import type { Call, Method } from "../transport/grpc/service.ts";
import {
  checkDeleteRange,
  checkPut,
  checkRange,
  checkTxn,
  isReadOnlyTxn,
  putCost,
  txnCost,
} from "./check.ts";
import type { HeaderSource } from "./header.ts";
import { RANGE_RESPONSE } from "./range_body.ts";
import { rangeStream } from "./range_stream.ts";

/** Physical removal after a compaction. */
export interface Reaper {
  /** Resolves once the rows that compaction has made unreachable so far are gone and that is durable. */
  readonly done: Promise<void>;
}

export interface KvOptions {
  readonly maxTxnOps: number;
  /** Encoded size of a write request. */
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
        handle: (r: RangeRequest) => this.range(r),
      },
      {
        ...put,
        kind: "unary",
        handle: (r: PutRequest, _: Call, n: number) => this.put(r, n),
      },
      {
        ...deleteRange,
        kind: "unary",
        handle: (r: DeleteRangeRequest, _: Call, n: number) =>
          this.deleteRange(r, n),
      },
      {
        ...txn,
        kind: "unary",
        handle: (r: TxnRequest, _: Call, n: number) => this.txn(r, n),
      },
      {
        ...compact,
        kind: "unary",
        handle: (r: CompactionRequest) => this.compact(r),
      },
      {
        ...stream,
        kind: "serverStream",
        handle: (r: RangeRequest, _call, out) => rangeStream(r, out, this),
      },
    ];
  }

  range(request: RangeRequest): RangeResponse | Promise<RangeResponse> {
    checkRange(request);
    this.counters.ranges.inc();
    const read = this.store.range(request);
    return read instanceof Promise
      ? read.then((r) => this.#headed(r))
      : this.#headed(read);
  }

  async put(request: PutRequest, bytes: number): Promise<PutResponse> {
    checkPut(request);
    this.#checkSize(bytes);
    this.quota.admit(putCost(request));
    return this.#answered(await this.store.put(request, bytes));
  }

  async deleteRange(
    request: DeleteRangeRequest,
    bytes: number,
  ): Promise<DeleteRangeResponse> {
    checkDeleteRange(request);
    this.#checkSize(bytes);
    this.quota.admitAny();
    return this.#answered(await this.store.deleteRange(request, bytes));
  }

  async txn(request: TxnRequest, bytes: number): Promise<TxnResponse> {
    checkTxn(request, this.options.maxTxnOps);
    this.counters.txns.inc();
    if (isReadOnlyTxn(request)) {
      return this.#headed(await this.store.readOnlyTxn(request));
    }
    this.#checkSize(bytes);
    const cost = txnCost(request);
    if (cost > 0) this.quota.admit(cost);
    else this.quota.admitAny();
    return this.#answered(await this.store.txn(request, bytes));
  }

  async compact(request: CompactionRequest): Promise<CompactionResponse> {
    this.quota.admitAny();
    await this.store.compact(request.revision);
    if (request.physical) await this.reaper.done;
    return newCompactionResponse({
      header: this.header.at(this.store.currentRevision),
    });
  }

  #checkSize(bytes: number): void {
    if (bytes > this.options.maxRequestBytes) {
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
