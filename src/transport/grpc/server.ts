import type { Clock } from "../../base/clock.ts";
import { DomainError } from "../../base/errors.ts";
import type { ServerStream } from "../http2/server_stream.ts";
import type { RequestHeaders, StreamHandler } from "../http2/stream_handler.ts";
import type { ActiveCall, CallHost } from "./active_call.ts";
import {
  type CallHead,
  type MethodTable,
  readCallHead,
  Refusal,
} from "./call_head.ts";
import type { Codec } from "./codec.ts";
import { Deadlines } from "./deadlines.ts";
import { MessageFrame, PREFIX_BYTES } from "./message_frame.ts";
import { ReceiveBudget } from "./receive_budget.ts";
import { RefusedCall } from "./refused_call.ts";
import { OK_HEAD, OK_TAIL, sendStatus } from "./response.ts";
import type {
  CallObserver,
  ErrorMapper,
  Method,
  StreamTraffic,
} from "./service.ts";
import { DuplexCall, ServerStreamCall, StreamCall } from "./stream_call.ts";
import { UnaryCall } from "./unary_call.ts";

/** etcd's 1.5 MiB for a request, and 512 KiB so that its own error can be told. */
export const DEFAULT_MAX_RECEIVE_BYTES = 2 << 20;
/** What gRPC's length prefix is taken for in other languages. */
export const DEFAULT_MAX_SEND_BYTES = 2 ** 31 - 1;
/** A hundred of the largest requests at once; most requests come in one frame and need none of it. */
export const DEFAULT_MAX_PARTIAL_BYTES = 256 << 20;

export interface GrpcServerOptions {
  /** A request message's size. Default 2 MiB. */
  readonly maxReceiveBytes?: number;
  /** An answer's size. Default 2^31-1. */
  readonly maxSendBytes?: number;
  /** Memory for requests that have not come to their end, of all calls together. Default 256 MiB. */
  readonly maxPartialBytes?: number;
  readonly mapError: ErrorMapper;
  readonly observer: CallObserver;
}

/**
 * gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md): finds the method of each request, reads its messages, and
 * writes the answers. Messages are taken plain or with gzip, and sent plain.
 *
 * Invariant: the observer hears `handled` once for each `started`.
 */
export class GrpcServer implements StreamHandler, CallHost, MethodTable {
  readonly deadlines: Deadlines;
  readonly budget: ReceiveBudget;
  readonly maxReceiveBytes: number;
  readonly maxSendBytes: number;
  readonly mapError: ErrorMapper;
  readonly #observer: CallObserver;
  readonly #clock: Clock;
  readonly #methods = new Map<string, Method>();
  readonly #services = new Set<string>();
  readonly #streaming = new Set<StreamCall>();
  readonly #frame = new MessageFrame();
  /** Of the last request: the headers of the next one are often the same object. */
  #lastHead: CallHead | undefined = undefined;
  #activeCalls = 0;
  #isDraining = false;

  constructor(
    methods: readonly Method[],
    clock: Clock,
    {
      maxReceiveBytes = DEFAULT_MAX_RECEIVE_BYTES,
      maxSendBytes = DEFAULT_MAX_SEND_BYTES,
      maxPartialBytes = DEFAULT_MAX_PARTIAL_BYTES,
      mapError,
      observer,
    }: GrpcServerOptions,
  ) {
    this.#clock = clock;
    this.deadlines = new Deadlines(clock);
    this.budget = new ReceiveBudget(maxPartialBytes);
    this.maxReceiveBytes = maxReceiveBytes;
    this.maxSendBytes = maxSendBytes;
    this.mapError = mapError;
    this.#observer = observer;
    for (const method of methods) {
      this.#methods.set(method.path, method);
      this.#services.add(method.path.split("/")[1]!);
    }
  }

  /** Calls under way, streams included. */
  get activeCalls(): number {
    return this.#activeCalls;
  }

  /** Refuses new calls from now on. With the last of those under way, the server's timer ends too. */
  beginDrain(): void {
    this.#isDraining = true;
    this.deadlines.rest();
  }

  /** Ends all streaming calls: they would go on for ever. */
  stopStreams(): void {
    for (const call of [...this.#streaming]) {
      call.abort(this.mapError(new DomainError("stopped"), call.path));
    }
  }

  onRequest(
    stream: ServerStream,
    headers: RequestHeaders,
    endStream: boolean,
  ): void {
    let head = this.#lastHead;
    if (head === undefined || head.headers !== headers) {
      const read = readCallHead(headers, this);
      if (read instanceof Refusal) return refuse(stream, read, endStream);
      head = this.#lastHead = read;
    }
    const { method } = head;
    if (this.#isDraining) {
      const stopped = new DomainError("stopped");
      return sendStatus(stream, this.mapError(stopped, method.path));
    }
    this.#observer.started(method.path);
    this.#activeCalls++;
    // The connection has looked at the clock for this chunk: another look would cost 0.1 µs.
    const beganMs = stream.connection.lastReceivedMs;
    const deadlineMs = beganMs + head.timeoutMs;
    let call;
    switch (method.kind) {
      case "unary":
        call = new UnaryCall(this, head, stream, beganMs, deadlineMs);
        stream.receiver = call;
        this.deadlines.add(call);
        break;
      case "serverStream":
        call = new ServerStreamCall(this, head, stream, beganMs, deadlineMs);
        stream.receiver = call;
        this.#streaming.add(call);
        this.deadlines.add(call);
        break;
      case "duplex":
        call = new DuplexCall(this, head, stream, beganMs, deadlineMs);
        stream.receiver = call;
        this.#streaming.add(call);
        this.deadlines.add(call);
        call.open();
        break;
    }
    if (endStream) call.onHalfClose();
  }

  // What calls and their heads ask.

  method(path: string): Method | undefined {
    return this.#methods.get(path);
  }

  hasService(name: string): boolean {
    return this.#services.has(name);
  }

  traffic(path: string): StreamTraffic {
    return this.#observer.traffic(path);
  }

  ended(
    call: ActiveCall,
    code: number,
    bytesIn: number,
    bytesOut: number,
  ): void {
    this.#activeCalls--;
    this.deadlines.remove(call);
    if (this.#isDraining) this.deadlines.rest();
    if (call instanceof StreamCall) this.#streaming.delete(call);
    const durationMs = this.#clock.monotonicMs() - call.beganMs;
    this.#observer.handled(call.path, code, durationMs, bytesIn, bytesOut);
  }

  respond(
    stream: ServerStream,
    codec: Codec<unknown>,
    message: unknown,
    size: number,
  ): void {
    const frame = this.#frame.fill(codec, message, size);
    stream.respond(OK_HEAD, PREFIX_BYTES + size, frame, OK_TAIL);
    frame.clear();
  }
}

function refuse(
  stream: ServerStream,
  refusal: Refusal,
  endStream: boolean,
): void {
  if (endStream || refusal.isGrpc) refusal.send(stream);
  else stream.receiver = new RefusedCall(refusal);
}
