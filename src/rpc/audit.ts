import type { AuditEntry, AuditLog, AuditRange } from "../auth/audit_log.ts";
import { decodeResponseHeader } from "../pb/etcdserverpb.ts";
import type {
  AuthenticateRequest,
  RequestOp,
  TxnRequest,
  WatchCreateRequest,
  WatchRequest,
} from "../pb/etcdserverpb.ts";
import type {
  Call,
  DuplexMethod,
  ErrorMapper,
  MessageReceiver,
  MessageWriter,
  Method,
  ServerStreamMethod,
  UnaryMethod,
} from "../transport/grpc/service.ts";
import { Code, codeName, type Status } from "../transport/grpc/status.ts";
import type { Access } from "./access.ts";

const AUTHENTICATE = "/etcdserverpb.Auth/Authenticate";
const KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive";

/**
 * Writes an entry for each request: unary ones and streams of answers when they are done, watches when they are
 * asked for. Renewals of leases change nothing that anybody can read, and are left out.
 */
export class Auditor {
  constructor(
    readonly log: AuditLog,
    readonly access: Access,
    readonly mapError: ErrorMapper,
  ) {}

  /** The method, with what is asked of it written down. */
  watch(method: Method): Method {
    switch (method.kind) {
      case "unary":
        return this.#unary(method);
      case "serverStream":
        return this.#serverStream(method);
      case "duplex":
        return method.path === KEEP_ALIVE ? method : this.#duplex(method);
    }
  }

  #unary<Req, Res>(method: UnaryMethod<Req, Res>): UnaryMethod<Req, Res> {
    return {
      ...method,
      handle: async (request, call, bytes) => {
        const who = this.#who(call);
        try {
          const response = await method.handle(request, call, bytes);
          this.#record(call, who, request, "OK", revisionOf(response));
          return response;
        } catch (error) {
          const { code } = this.#status(error, call);
          this.#record(call, who, request, codeName(code));
          throw error;
        }
      },
    };
  }

  #serverStream<Req, Res>(
    method: ServerStreamMethod<Req, Res>,
  ): ServerStreamMethod<Req, Res> {
    return {
      ...method,
      handle: async (request, call, out) => {
        const who = this.#who(call);
        try {
          await method.handle(request, call, out);
          this.#record(
            call,
            who,
            request,
            call.isCancelled ? "Canceled" : "OK",
          );
        } catch (error) {
          const { code } = this.#status(error, call);
          this.#record(call, who, request, codeName(code));
          throw error;
        }
      },
    };
  }

  #duplex<Req, Res>(method: DuplexMethod<Req, Res>): DuplexMethod<Req, Res> {
    return {
      ...method,
      open: (call, out: MessageWriter<Res>): MessageReceiver<Req> => {
        const receiver = method.open(call, out);
        return {
          onMessage: (message) => {
            this.#watchRequest(call, message as WatchRequest);
            receiver.onMessage(message);
          },
          onHalfClose: () => receiver.onHalfClose(),
          onCancel: () => receiver.onCancel(),
        };
      },
    };
  }

  #watchRequest(call: Call, { createRequest }: WatchRequest): void {
    if (createRequest === undefined) return;
    let code: Code = Code.Ok;
    try {
      this.access.requireRead(call, watched(createRequest));
    } catch (error) {
      code = this.#status(error, call).code;
    }
    this.#record(call, this.#who(call), createRequest, codeName(code));
  }

  /** Only what handlers throw on purpose: the rest is mapped, and logged, where it ends. */
  #status(error: unknown, call: Call): Pick<Status, "code"> {
    return isExpected(error)
      ? this.mapError(error, call.path)
      : { code: Code.Unknown };
  }

  /** Before the request, which may end the caller's own token. */
  #who(call: Call): Pick<AuditEntry, "user" | "isCertificate"> {
    try {
      const user = this.access.caller(call)?.name ?? "";
      const isCertificate = user !== "" && user === call.certificateName &&
        call.metadata("token") === undefined;
      return { user, isCertificate };
    } catch {
      return { user: "" }; // a token that is not valid: the outcome says so
    }
  }

  #record(
    call: Call,
    who: Pick<AuditEntry, "user" | "isCertificate">,
    request: unknown,
    outcome: string,
    revision?: number,
  ): void {
    const user = call.path === AUTHENTICATE
      ? (request as AuthenticateRequest).name
      : who.user;
    this.log.record({
      ...who,
      user,
      peer: call.peer,
      method: call.path,
      ranges: rangesOf(request),
      outcome,
      ...(revision === undefined ? {} : { revision }),
    });
  }
}

function isExpected(error: unknown): boolean {
  return error instanceof Error &&
    (error.name === "DomainError" || error.name === "StatusError");
}

/** An empty key is the smallest one. */
function watched({ key, rangeEnd }: WatchCreateRequest): Required<AuditRange> {
  return { key: key.length === 0 ? new Uint8Array(1) : key, rangeEnd };
}

/** The keys that a request names, whatever request it is. */
function rangesOf(request: unknown): AuditRange[] {
  const { key, rangeEnd, success } = request as Partial<
    AuditRange & TxnRequest
  >;
  if (success !== undefined) return txnRanges(request as TxnRequest);
  if (!(key instanceof Uint8Array)) return [];
  return [rangeOf(key, rangeEnd)];
}

function txnRanges({ compare, success, failure }: TxnRequest): AuditRange[] {
  const ranges = compare.map(({ key, rangeEnd }) => rangeOf(key, rangeEnd));
  for (const op of [...success, ...failure]) {
    ranges.push(...opRanges(op));
  }
  return ranges;
}

function opRanges(op: RequestOp): AuditRange[] {
  if (op.requestTxn !== undefined) return txnRanges(op.requestTxn);
  const named = op.requestRange ?? op.requestDeleteRange;
  if (named !== undefined) return [rangeOf(named.key, named.rangeEnd)];
  return op.requestPut === undefined ? [] : [{ key: op.requestPut.key }];
}

function rangeOf(
  key: Uint8Array,
  rangeEnd: Uint8Array | undefined,
): AuditRange {
  return rangeEnd === undefined || rangeEnd.length === 0
    ? { key }
    : { key, rangeEnd };
}

/** The revision of a response's header. */
function revisionOf(response: unknown): number | undefined {
  const { header } = response as { header?: Uint8Array };
  return header === undefined
    ? undefined
    : decodeResponseHeader(header).revision;
}
