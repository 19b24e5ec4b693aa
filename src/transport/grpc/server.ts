import type { Clock } from "../../base/clock.ts";
import { DomainError } from "../../base/errors.ts";
import { HeaderBlock } from "../http2/header_block.ts";
import type { ServerStream } from "../http2/server_stream.ts";
import type {
  BodyReader,
  RequestHeaders,
  StreamHandler,
} from "../http2/stream_handler.ts";
import type { Codec } from "./codec.ts";
import { Deadlines } from "./deadlines.ts";
import { PREFIX_BYTES } from "./message_reader.ts";
import { metadataOf, parseTimeoutMs } from "./metadata.ts";
import { OK_HEAD, OK_TAIL, sendStatus, writePrefix } from "./response.ts";
import type { CallObserver, ErrorMapper, Method } from "./service.ts";
import { Code, StatusError } from "./status.ts";
import { StreamCall } from "./stream_call.ts";
import { UnaryCall } from "./unary_call.ts";

export interface GrpcServerOptions {
  /** A request message's size. */
  readonly maxReceiveBytes: number;
  readonly mapError: ErrorMapper;
  readonly observer: CallObserver;
}

/** What a request's headers say of the call; kept with them, since they repeat. */
interface CallHead {
  readonly headers: RequestHeaders;
  readonly method: Method | undefined;
  readonly timeoutMs: number;
  /** Why there can be no call. */
  readonly refusal: StatusError | undefined;
  /** Not gRPC at all: an HTTP status. */
  readonly httpStatus: number | undefined;
}

/**
 * gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md): finds the method of each request, reads its messages, and
 * writes the answers.
 *
 * A unary call that is answered at once takes no promise, no closure and no copy of its message.
 */
export class GrpcServer implements StreamHandler {
  readonly deadlines: Deadlines;
  readonly #methods = new Map<string, Method>();
  readonly #services = new Set<string>();
  readonly #open = new Set<StreamCall>();
  readonly #frame = new MessageFrame();
  #lastHead: CallHead | undefined = undefined;
  #activeCalls = 0;
  #isDraining = false;

  constructor(
    methods: readonly Method[],
    readonly clock: Clock,
    readonly options: GrpcServerOptions,
  ) {
    this.deadlines = new Deadlines(clock);
    for (const method of methods) {
      this.#methods.set(method.path, method);
      this.#services.add(method.path.split("/")[1]!);
    }
  }

  /** Calls under way, streams included. */
  get activeCalls(): number {
    return this.#activeCalls;
  }

  /** Refuses new calls from now on. */
  beginDrain(): void {
    this.#isDraining = true;
  }

  /** Ends all streaming calls: they would go on for ever. */
  stopStreams(): void {
    const status = this.options.mapError(new DomainError("stopped"), "");
    for (const call of [...this.#open]) call.abort(status);
  }

  onRequest(
    stream: ServerStream,
    headers: RequestHeaders,
    endStream: boolean,
  ): void {
    let head = this.#lastHead;
    if (head === undefined || head.headers !== headers) {
      head = this.#lastHead = this.#readHead(headers);
    }
    if (head.httpStatus !== undefined) {
      const status = String(head.httpStatus);
      return stream.sendHeaders(new HeaderBlock([":status", status]), true);
    }
    const { method } = head;
    if (method === undefined || head.refusal !== undefined) {
      return sendStatus(stream, head.refusal!);
    }
    const { observer, mapError } = this.options;
    if (this.#isDraining) {
      return sendStatus(
        stream,
        mapError(new DomainError("stopped"), method.path),
      );
    }
    observer.started(method.path);
    this.#activeCalls++;
    const beganMs = this.clock.monotonicMs();
    const deadlineMs = beganMs + head.timeoutMs;
    if (method.kind === "unary") {
      const call = new UnaryCall(
        this,
        method,
        stream,
        headers,
        beganMs,
        deadlineMs,
      );
      stream.receiver = call;
      if (endStream) call.noMessage();
      return;
    }
    const call = new StreamCall(
      this,
      method,
      stream,
      headers,
      beganMs,
      deadlineMs,
    );
    stream.receiver = call.receiver;
    this.#open.add(call);
    call.begin(endStream);
  }

  // What calls report.

  ended(
    path: string,
    code: number,
    beganMs: number,
    bytesIn: number,
    bytesOut: number,
  ): void {
    this.#activeCalls--;
    const durationMs = this.clock.monotonicMs() - beganMs;
    this.options.observer.handled(path, code, durationMs, bytesIn, bytesOut);
  }

  forget(call: StreamCall): void {
    this.#open.delete(call);
  }

  /** Answers a unary call with OK; returns the message's size. */
  respond<M>(stream: ServerStream, codec: Codec<M>, message: M): number {
    const size = codec.size(message);
    const frame = this.#frame;
    frame.codec = codec as Codec<unknown>;
    frame.message = message;
    frame.size = size;
    stream.respond(OK_HEAD, PREFIX_BYTES + size, frame, OK_TAIL);
    frame.message = undefined;
    return size;
  }

  #readHead(headers: RequestHeaders): CallHead {
    const type = metadataOf(headers, "content-type");
    const base = {
      headers,
      method: this.#methods.get(headers.path),
      timeoutMs: Infinity,
      refusal: undefined,
      httpStatus: undefined,
    };
    if (headers.method !== "POST") return { ...base, httpStatus: 405 };
    if (type === undefined || !/^application\/grpc($|[+;])/.test(type)) {
      return { ...base, httpStatus: 415 };
    }
    if (base.method === undefined) {
      return { ...base, refusal: this.#unknown(headers.path) };
    }
    const timeout = metadataOf(headers, "grpc-timeout");
    if (timeout === undefined) return base;
    const timeoutMs = parseTimeoutMs(timeout);
    if (timeoutMs !== undefined) return { ...base, timeoutMs };
    return {
      ...base,
      refusal: new StatusError(
        Code.Internal,
        `malformed grpc-timeout: ${timeout}`,
      ),
    };
  }

  #unknown(path: string): StatusError {
    const match = /^\/([^/]+)\/([^/]*)$/.exec(path);
    if (match === null) {
      return new StatusError(
        Code.Unimplemented,
        `malformed method name: "${path}"`,
      );
    }
    const [, service, method] = match;
    return new StatusError(
      Code.Unimplemented,
      this.#services.has(service!)
        ? `unknown method ${method} for service ${service}`
        : `unknown service ${service}`,
    );
  }
}

/** The one body that all unary answers go through: it is written before `respond` returns. */
class MessageFrame {
  codec: Codec<unknown> | undefined = undefined;
  message: unknown = undefined;
  size = 0;

  writeTo(out: Uint8Array, at: number): void {
    writePrefix(out, at, this.size);
    this.codec!.write(this.message, out, at + PREFIX_BYTES);
  }

  reader(): BodyReader | undefined {
    const body = this.codec!.reader?.(this.message);
    return body && new FramedReader(body, this.size);
  }
}

/** The 5 bytes of the frame, then the message in pieces. */
class FramedReader implements BodyReader {
  readonly #prefix = new Uint8Array(PREFIX_BYTES);
  #offset = 0;

  constructor(readonly body: BodyReader, size: number) {
    writePrefix(this.#prefix, 0, size);
  }

  read(out: Uint8Array, at: number, length: number): void {
    let left = length;
    while (left > 0 && this.#offset < PREFIX_BYTES) {
      out[at++] = this.#prefix[this.#offset++]!;
      left--;
    }
    if (left > 0) this.body.read(out, at, left);
  }
}
