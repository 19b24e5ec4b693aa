import { Buffer } from "node:buffer";
import type { ServerStream } from "../http2/server_stream.ts";
import type { RequestHeaders } from "../http2/stream_handler.ts";
import { base64Fault, isBinary, parseTimeoutMs } from "./metadata.ts";
import { sendPlain, sendStatus } from "./response.ts";
import type { Method } from "./service.ts";
import { Code, type Status } from "./status.ts";

/** What a request's headers say of its call. */
export interface CallHead {
  readonly headers: RequestHeaders;
  readonly method: Method;
  /** Infinity: no deadline. */
  readonly timeoutMs: number;
  /** Whether messages may be compressed, with gzip. */
  readonly isGzip: boolean;
}

/** What is told of a client's own words: they may be 64 KiB, and quoted four times as much. */
const MAX_TOLD_CHARS = 512;

/** Unsupported Media Type. */
const NOT_GRPC = 415;

/** Why there can be no call. */
export class Refusal {
  constructor(
    readonly status: Status,
    readonly httpStatus = 200,
    readonly fields: readonly string[] = [],
  ) {}

  /** Whether the request is one of gRPC, which may wait for its answer before it ends. */
  get isGrpc(): boolean {
    return this.httpStatus !== NOT_GRPC;
  }

  send(stream: ServerStream): void {
    if (this.isGrpc) sendStatus(stream, this.status, this);
    else sendPlain(stream, this.status, this.httpStatus);
  }
}

/** The methods that are served, by path. */
export interface MethodTable {
  method(path: string): Method | undefined;
  hasService(name: string): boolean;
}

/**
 * Reads a request's headers: what is refused, with which status and in which order of precedence is as in grpc-go
 * (internal/transport/http2_server.go, server.go).
 */
export function readCallHead(
  headers: RequestHeaders,
  table: MethodTable,
): CallHead | Refusal {
  const { fields } = headers;
  let isGrpc = false;
  let contentType = "";
  let timeout: string | undefined = undefined;
  let encoding = "identity";
  let badBinary = -1;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!;
    switch (name) {
      case "content-type":
        contentType = fields[i + 1]!;
        isGrpc = isGrpcType(contentType);
        break;
      case "grpc-timeout":
        timeout = fields[i + 1]!;
        break;
      case "grpc-encoding":
        encoding = fields[i + 1]!;
        break;
      default:
        if (isBinary(name) && base64Fault(fields[i + 1]!)) badBinary = i;
    }
  }
  if (!isGrpc) return notGrpc(contentType);
  let timeoutMs = Infinity;
  if (timeout !== undefined) {
    const parsed = parseTimeoutMs(timeout);
    if (typeof parsed === "string") {
      return badRequest(`malformed grpc-timeout: ${parsed}`);
    }
    timeoutMs = parsed;
  }
  if (badBinary >= 0) {
    const name = fields[badBinary]!;
    const value = fields[badBinary + 1]!;
    return badRequest(
      `malformed binary metadata ${quote(value)} in header ${quote(name)}: ` +
        base64Fault(value),
    );
  }
  if (headers.method !== "POST") return notPost(headers.method);
  if (timeoutMs === 0) return TOO_LATE;
  const method = table.method(headers.path);
  if (method === undefined) return unknownMethod(headers.path, table);
  const isGzip = encoding === "gzip";
  if (!isGzip && encoding !== "identity" && encoding !== "") {
    return unknownEncoding(encoding);
  }
  return { headers, method, timeoutMs, isGzip };
}

export const DEADLINE_EXCEEDED: Status = {
  code: Code.DeadlineExceeded,
  message: "context deadline exceeded",
};

const TOO_LATE = new Refusal(DEADLINE_EXCEEDED);

/** `application/grpc`, alone or with a subtype or parameters behind it. */
function isGrpcType(type: string): boolean {
  return type === "application/grpc" || /^application\/grpc[+;]/.test(type);
}

function notGrpc(type: string): Refusal {
  const message = `invalid gRPC request content-type ${quote(type)}`;
  return new Refusal({ code: Code.InvalidArgument, message }, NOT_GRPC);
}

function notPost(method: string): Refusal {
  const message = `Received a HEADERS frame with :method ${quote(method)} ` +
    "which should be POST";
  return new Refusal({ code: Code.Internal, message }, 405);
}

function badRequest(message: string): Refusal {
  return new Refusal({ code: Code.Internal, message }, 400);
}

function unknownEncoding(encoding: string): Refusal {
  const message = "grpc: Decompressor is not installed for grpc-encoding " +
    quote(encoding);
  return new Refusal({ code: Code.Unimplemented, message }, 200, [
    "grpc-accept-encoding",
    "gzip",
  ]);
}

function unknownMethod(path: string, table: MethodTable): Refusal {
  const slash = path.lastIndexOf("/");
  let message;
  if (slash < 1 || path.charCodeAt(0) !== 0x2f) {
    message = `malformed method name: ${quote(path)}`;
  } else {
    const service = path.slice(1, slash);
    message = table.hasService(service)
      ? `unknown method ${told(path.slice(slash + 1))} for service ${service}`
      : `unknown service ${told(service)}`;
  }
  return new Refusal({ code: Code.Unimplemented, message });
}

/** A latin1 string between quotes, as Go's `%q` has it. */
function quote(text: string): string {
  const inner = cut(text).replace(
    /["\\]|[^\x20-\x7e]/g,
    (c) =>
      c === '"' || c === "\\"
        ? `\\${c}`
        : `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  return `"${inner}"`;
}

/** A latin1 string as the UTF-8 that it is. */
function told(latin1: string): string {
  return Buffer.from(cut(latin1), "latin1").toString();
}

function cut(text: string): string {
  return text.length > MAX_TOLD_CHARS
    ? `${text.slice(0, MAX_TOLD_CHARS)}...`
    : text;
}
