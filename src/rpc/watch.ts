import { DomainError } from "../base/errors.ts";
import { keyRange } from "../mvcc/key_range.ts";
import {
  type WatchCreateRequest,
  WatchCreateRequest_FilterType as FilterType,
  type WatchRequest,
  type WatchResponse,
  WatchService,
} from "../pb/etcdserverpb.ts";
import type {
  Call,
  DuplexMethod,
  MessageReceiver,
  MessageWriter,
} from "../transport/grpc/service.ts";
import type { WatchHub } from "../watch/hub.ts";
import type { WatchProblem, WatchStream } from "../watch/watch_stream.ts";
import { codeName } from "../transport/grpc/status.ts";
import { STATUS } from "./errors.ts";

/** etcd takes an empty key for the smallest one. */
const SMALLEST_KEY: Uint8Array = new Uint8Array(1);

/** The reasons that etcd gives, word for word (etcd, server/storage/mvcc/watcher.go); the last one is ours. */
const REASON: Readonly<Record<WatchProblem, string>> = {
  emptyRange: "mvcc: watcher range is empty",
  duplicateId: "mvcc: duplicate watch ID provided on the WatchStream",
  tooManyWatchers: STATUS.tooManyRequests.message,
};

/** Who may watch what; throws `DomainError` for those who may not. `Access` is one. */
export interface WatchPermissions {
  requireRead(
    call: Call,
    range: { readonly key: Uint8Array; readonly rangeEnd: Uint8Array },
  ): void;
}

/** etcdserverpb.Watch. */
export function watchMethod(
  hub: WatchHub,
  permissions: WatchPermissions,
): DuplexMethod<WatchRequest, WatchResponse> {
  const { path, request, response } = WatchService.methods.watch;
  return {
    kind: "duplex",
    path,
    request,
    response,
    open: (call, out) => new WatchCall(hub, permissions, call, out),
  };
}

/**
 * One Watch call: requests in, the hub's responses out. Half-close does not end it (the gateway and curl
 * rely on that); the client's going away does.
 */
class WatchCall implements MessageReceiver<WatchRequest> {
  readonly #stream: WatchStream;

  constructor(
    hub: WatchHub,
    readonly permissions: WatchPermissions,
    readonly call: Call,
    out: MessageWriter<WatchResponse>,
  ) {
    this.#stream = hub.open(out, (error) => out.end(STATUS[error.kind]));
  }

  onMessage(request: WatchRequest): void {
    const { createRequest, cancelRequest, progressRequest } = request;
    if (createRequest !== undefined) this.#create(createRequest);
    else if (cancelRequest !== undefined) {
      this.#stream.cancel(cancelRequest.watchId);
    } else if (progressRequest !== undefined) this.#stream.requestProgress();
  }

  onHalfClose(): void {}

  onCancel(): void {
    this.#stream.close();
  }

  /** Why the range may not be watched, in the form that Go gives a status; clients log in again after some. */
  #refusal(key: Uint8Array, rangeEnd: Uint8Array): string | undefined {
    try {
      this.permissions.requireRead(this.call, { key, rangeEnd });
      return undefined;
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      const { code, message } = STATUS[error.kind];
      return `rpc error: code = ${codeName(code)} desc = ${message}`;
    }
  }

  #create(request: WatchCreateRequest): void {
    const { rangeEnd, startRevision, filters } = request;
    const key = request.key.length === 0 ? SMALLEST_KEY : request.key;
    if (startRevision < 0) {
      this.#stream.refuse(STATUS.compacted.message);
      return;
    }
    const refusal = this.#refusal(key, rangeEnd);
    if (refusal !== undefined) {
      this.#stream.refuse(refusal);
      return;
    }
    const problem = this.#stream.create({
      range: keyRange(key, rangeEnd),
      startRevision,
      id: request.watchId,
      progressNotify: request.progressNotify,
      prevKv: request.prevKv,
      skipPuts: filters.includes(FilterType.NOPUT),
      skipDeletes: filters.includes(FilterType.NODELETE),
      fragment: request.fragment,
    });
    if (problem !== undefined) this.#stream.refuse(REASON[problem]);
  }
}
