import type { Codec } from "./codec.ts";
import type { Status } from "./status.ts";

/** One call as its handler sees it. */
export interface Call {
  /** The method's path, `/package.Service/Method`. */
  readonly path: string;
  /** The client's address, for logs; `"unix"` on a Unix socket. */
  readonly peer: string;
  /** The common name of the client's certificate, checked; undefined without TLS, without one, or through the gateway. */
  readonly certificateName: string | undefined;
  /** The first value of a metadata entry (name in lower case), or undefined. `-bin` values come decoded as latin1. */
  metadata(name: string): string | undefined;
  /** When the client stops waiting, in `Clock.monotonicMs()`; `Infinity` without `grpc-timeout`. */
  readonly deadlineMs: number;
  /** True once the client went away, cancelled, or its deadline passed: nobody waits for the answer any more. */
  readonly isCancelled: boolean;
  /** Aborts when `isCancelled` becomes true. Made on first use. */
  readonly signal: AbortSignal;
}

/** The sending side of a streaming call. All methods do nothing once the call has ended. */
export interface MessageWriter<M> {
  /** Encodes and queues a message. Never blocks: look at `bufferedBytes`. */
  send(message: M): void;
  /** Queues a message that is encoded already (without gRPC's 5-byte prefix). The bytes must not change afterwards. */
  sendEncoded(message: Uint8Array): void;
  /** Ends the call; OK by default. */
  end(status?: Status): void;
  /** Bytes queued that flow control or the socket does not take yet. */
  readonly bufferedBytes: number;
  readonly isEnded: boolean;
  /** Resolves when `bufferedBytes` is at or below the low-water mark (64 KiB); rejects when the call is cancelled. */
  drained(): Promise<void>;
  /** Set to be called each time `bufferedBytes` falls to the low-water mark from above it. */
  onDrain: (() => void) | undefined;
}

/** The receiving side of a duplex call. */
export interface MessageReceiver<M> {
  onMessage(message: M): void;
  /** The client will send no more; the call goes on until the writer ends it. */
  onHalfClose(): void;
  /** The call is over without the handler having ended it (client cancelled, deadline, connection lost). Called at most once. */
  onCancel(): void;
}

export interface UnaryMethod<Req, Res> {
  readonly kind: "unary";
  readonly path: string;
  readonly request: Codec<Req>;
  readonly response: Codec<Res>;
  /** `bytes` is the encoded request's length. Answering without a promise is the fast path. */
  handle(request: Req, call: Call, bytes: number): Res | Promise<Res>;
}

export interface ServerStreamMethod<Req, Res> {
  readonly kind: "serverStream";
  readonly path: string;
  readonly request: Codec<Req>;
  readonly response: Codec<Res>;
  /** Resolving ends the call with OK (unless it was ended), rejecting with the mapped error. */
  handle(request: Req, call: Call, out: MessageWriter<Res>): Promise<void>;
}

export interface DuplexMethod<Req, Res> {
  readonly kind: "duplex";
  readonly path: string;
  readonly request: Codec<Req>;
  readonly response: Codec<Res>;
  open(call: Call, out: MessageWriter<Res>): MessageReceiver<Req>;
}

// deno-lint-ignore no-explicit-any
type Any = any;

/** A method of any messages. */
export type Method =
  | UnaryMethod<Any, Any>
  | ServerStreamMethod<Any, Any>
  | DuplexMethod<Any, Any>;

/** Turns whatever a handler threw into the status that the client sees; logs what is unexpected. */
export type ErrorMapper = (error: unknown, path: string) => Status;

/** What has gone through a method's streams, of all calls together. Plain numbers: a message costs additions. */
export interface StreamTraffic {
  messagesIn: number;
  bytesIn: number;
  messagesOut: number;
  bytesOut: number;
}

export function newStreamTraffic(): StreamTraffic {
  return { messagesIn: 0, bytesIn: 0, messagesOut: 0, bytesOut: 0 };
}

/** Told of every call; for metrics and the slow-request log. Must be cheap. */
export interface CallObserver {
  started(path: string): void;
  /** Where a streaming call counts its messages as they go: it may live for weeks. Not asked for unary calls. */
  traffic(path: string): StreamTraffic;
  /** `bytesIn`/`bytesOut` count a unary call's message bytes; `durationMs` the time since the request's headers. */
  handled(
    path: string,
    code: number,
    durationMs: number,
    bytesIn: number,
    bytesOut: number,
  ): void;
}
