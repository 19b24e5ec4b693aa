import type {
  IncomingHttpHeaders,
  IncomingMessage,
  RequestListener,
} from "node:http";
import { Readable, Writable } from "node:stream";
import { assert } from "../base/assert.ts";
import { type Clock, SystemClock, type Timer } from "../base/clock.ts";
import { ErrorCode } from "./http2/frame.ts";
import { HeaderBlock } from "./http2/header_block.ts";
import type { ServerStream } from "./http2/server_stream.ts";
import type {
  RequestHeaders,
  StreamHandler,
  StreamReceiver,
} from "./http2/stream_handler.ts";

/** What a response may have queued behind flow control before its writer is told to wait. */
const HIGH_WATER_BYTES = 64 << 10;

/** What belongs to HTTP/1.1's connections (RFC 9113 §8.2.2). */
const CONNECTION_HEADERS: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

const NO_TRAILERS = new HeaderBlock([]);

/**
 * An answer that is complete before its request ends that much later, or with the request: a client that breaks a
 * rule meanwhile is told so.
 */
export const REQUEST_END_MS = 1_000;

/**
 * Serves HTTP/2 streams with a listener made for `node:http`. With TLS a client that speaks both, as browsers,
 * Prometheus and curl do, gets HTTP/2 and asks for `/health` on it.
 *
 * Request and response have those parts of `node:http`'s that our handlers use.
 */
export class HttpStreams implements StreamHandler {
  readonly #listener: RequestListener;
  readonly #clock: Clock;

  constructor(listener: RequestListener, clock: Clock = new SystemClock()) {
    this.#listener = listener;
    this.#clock = clock;
  }

  onRequest(
    stream: ServerStream,
    headers: RequestHeaders,
    endStream: boolean,
  ): void {
    const request = new StreamRequest(stream, headers);
    const response = new StreamResponse(
      stream,
      headers.method === "HEAD",
      this.#clock,
    );
    const exchange = new Exchange(request, response);
    stream.receiver = exchange;
    if (endStream) exchange.finish();
    this.#listener(
      request as unknown as IncomingMessage,
      response as unknown as Parameters<RequestListener>[1],
    );
  }
}

/** Gives streams of gRPC to one handler, and all others to another. */
export class ByContentType implements StreamHandler {
  readonly #grpc: StreamHandler;
  readonly #http: StreamHandler;

  constructor(grpc: StreamHandler, http: StreamHandler) {
    this.#grpc = grpc;
    this.#http = http;
  }

  onRequest(
    stream: ServerStream,
    headers: RequestHeaders,
    endStream: boolean,
  ): void {
    const handler = isGrpc(headers) ? this.#grpc : this.#http;
    handler.onRequest(stream, headers, endStream);
  }
}

function isGrpc({ method, fields }: RequestHeaders): boolean {
  if (method !== "POST") return false;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== "content-type") continue;
    return fields[i + 1]!.startsWith("application/grpc");
  }
  return false;
}

/** Hands on what a stream tells. */
class Exchange implements StreamReceiver {
  readonly #request: StreamRequest;
  readonly #response: StreamResponse;

  constructor(request: StreamRequest, response: StreamResponse) {
    this.#request = request;
    this.#response = response;
  }

  onData(_: ServerStream, chunk: Uint8Array, endStream: boolean): void {
    this.#request.received(chunk);
    if (endStream) this.finish();
  }

  onTrailers(): void {
    this.finish();
  }

  /** The request is complete. */
  finish(): void {
    this.#request.finish();
    this.#response.requestEnded();
  }

  onReset(): void {
    this.#request.destroy();
    this.#response.destroy();
  }

  onDrain(): void {
    this.#response.drained();
  }
}

/** As an `http.IncomingMessage`. */
class StreamRequest extends Readable {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders = {};
  readonly rawHeaders: readonly string[];
  readonly httpVersion = "2.0";
  /** Everything has come. */
  complete = false;
  /** What the handlers look at in a socket. */
  readonly socket: {
    readonly encrypted: true;
    readonly certificateName: string | undefined;
    readonly remoteAddress: string | undefined;
    readonly remotePort: number | undefined;
    destroySoon(): void;
  };
  readonly #stream: ServerStream;
  /** Received and not asked for yet: the client waits for them to be given back. */
  #heldBytes = 0;

  constructor(
    stream: ServerStream,
    { method, path, authority, fields }: RequestHeaders,
  ) {
    super({ highWaterMark: HIGH_WATER_BYTES });
    this.#stream = stream;
    this.method = method;
    this.url = path;
    this.rawHeaders = fields;
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i]!;
      const before = this.headers[name];
      this.headers[name] = before === undefined
        ? fields[i + 1]!
        : `${before}${name === "cookie" ? "; " : ", "}${fields[i + 1]!}`;
    }
    this.headers.host ??= authority;
    const peer = /^\[?(.+?)\]?:(\d+)$/.exec(stream.connection.peer);
    this.socket = {
      encrypted: true,
      certificateName: stream.connection.certificateName,
      remoteAddress: peer?.[1],
      remotePort: peer === null ? undefined : Number(peer[2]),
      destroySoon: () => this.destroy(),
    };
  }

  received(chunk: Uint8Array): void {
    if (this.destroyed) {
      this.#stream.consumed(chunk.length);
      return;
    }
    this.#heldBytes += chunk.length;
    if (chunk.length > 0 && this.push(chunk)) this.#giveBack();
  }

  finish(): void {
    this.complete = true;
    if (!this.destroyed) this.push(null);
  }

  override _read(): void {
    this.#giveBack();
  }

  override _destroy(
    error: Error | null,
    done: (error?: Error | null) => void,
  ): void {
    this.#giveBack();
    if (!this.complete) this.#stream.reset(ErrorCode.Cancel);
    done(error);
  }

  #giveBack(): void {
    if (this.#heldBytes === 0) return;
    this.#stream.consumed(this.#heldBytes);
    this.#heldBytes = 0;
  }
}

/** As an `http.ServerResponse`. */
class StreamResponse extends Writable {
  statusCode = 200;
  headersSent = false;
  readonly #stream: ServerStream;
  readonly #isHead: boolean;
  readonly #headers = new Map<string, string>();
  #isHeadSent = false;
  /** Waits until less is queued. */
  #written: (() => void) | undefined = undefined;
  readonly #clock: Clock;
  #isRequestEnded = false;
  /** Of an answer that is complete before its request. */
  #end: { readonly send: () => void; readonly timer: Timer } | undefined =
    undefined;

  constructor(stream: ServerStream, isHead: boolean, clock: Clock) {
    super({ highWaterMark: HIGH_WATER_BYTES });
    this.#stream = stream;
    this.#isHead = isHead;
    this.#clock = clock;
  }

  setHeader(name: string, value: string | number | readonly string[]): this {
    const text = typeof value === "object" ? value.join(", ") : `${value}`;
    this.#headers.set(name.toLowerCase(), text);
    return this;
  }

  getHeader(name: string): string | undefined {
    return this.#headers.get(name.toLowerCase());
  }

  hasHeader(name: string): boolean {
    return this.#headers.has(name.toLowerCase());
  }

  removeHeader(name: string): void {
    this.#headers.delete(name.toLowerCase());
  }

  writeHead(
    statusCode: number,
    headers: Readonly<Record<string, string | number>> = {},
  ): this {
    // 499 of the gateway has no name.
    assert(statusCode >= 200 && statusCode < 600, "a final HTTP status");
    this.statusCode = statusCode;
    for (const [name, value] of Object.entries(headers)) {
      this.setHeader(name, value);
    }
    // Sent with the first byte or the end: what has no body is one frame.
    this.headersSent = true;
    return this;
  }

  drained(): void {
    const written = this.#written;
    this.#written = undefined;
    written?.();
  }

  /** The request is complete, or its client is gone. */
  requestEnded(): void {
    this.#isRequestEnded = true;
    this.#sendEnd();
  }

  override _write(
    chunk: Uint8Array,
    _encoding: string,
    done: () => void,
  ): void {
    if (!this.#isHead && chunk.length > 0) {
      this.#sendHead(false);
      this.#stream.sendData(chunk);
    }
    if (this.#stream.bufferedBytes > HIGH_WATER_BYTES) this.#written = done;
    else done();
  }

  override _final(done: () => void): void {
    const send = () => {
      if (!this.#isHeadSent) this.#sendHead(true);
      else this.#stream.sendTrailers(NO_TRAILERS);
      done();
    };
    const timer = this.#clock.after(REQUEST_END_MS, () => this.#sendEnd());
    this.#end = { send, timer };
    if (this.#isRequestEnded) this.#sendEnd();
  }

  override _destroy(
    error: Error | null,
    done: (error?: Error | null) => void,
  ): void {
    if (!this.writableFinished) this.#stream.reset(ErrorCode.InternalError);
    this.#end?.timer.cancel();
    this.#end = undefined;
    this.drained();
    done(error);
  }

  #sendEnd(): void {
    const end = this.#end;
    this.#end = undefined;
    end?.timer.cancel();
    end?.send();
  }

  #sendHead(isEnd: boolean): void {
    if (this.#isHeadSent) return;
    this.#isHeadSent = true;
    this.headersSent = true;
    const fields = [":status", String(this.statusCode)];
    for (const [name, value] of this.#headers) {
      if (!CONNECTION_HEADERS.has(name)) fields.push(name, value);
    }
    if (!this.hasHeader("date")) fields.push("date", new Date().toUTCString());
    this.#stream.sendHeaders(new HeaderBlock(fields), isEnd);
  }
}
