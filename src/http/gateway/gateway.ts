import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "../../base/clock.ts";
import { DomainError } from "../../base/errors.ts";
import { assert } from "../../base/assert.ts";
import { hostPort } from "../../transport/address.ts";
import { Deadlines } from "../../transport/grpc/deadlines.ts";
import type { ReceiveBudget } from "../../transport/grpc/receive_budget.ts";
import type {
  CallObserver,
  ErrorMapper,
  Method,
} from "../../transport/grpc/service.ts";
import { Code, type Status, StatusError } from "../../transport/grpc/status.ts";
import {
  acceptWebSocket,
  type WebSocketConnection,
  type WebSocketHandler,
} from "../../transport/websocket.ts";
import { readTarget } from "../request_target.ts";
import type { AnswerSink, Input } from "./answer_sink.ts";
import type { CallHost, GatewayCall } from "./gateway_call.ts";
import { HttpSink, sendStatusJson } from "./http_sink.ts";
import { type MessageType, readMessageTypes } from "./message_type.ts";
import { GATEWAY_PATHS, gatewayPath } from "./paths.ts";
import { readTimeoutMs, RequestMetadata } from "./request_metadata.ts";
import {
  DuplexGatewayCall,
  ServerStreamGatewayCall,
} from "./streaming_gateway_call.ts";
import { UnaryGatewayCall } from "./unary_gateway_call.ts";
import { WebSocketSink } from "./websocket_sink.ts";

/** What JSON may take for each byte of a message: base64 takes a third more, and names, spaces and escapes have room. */
const JSON_BYTES_PER_BYTE = 2;

/** A request that is read as a whole has to be there by then, so that it cannot hold memory for nothing. */
const REQUEST_TIMEOUT_MS = 30_000;

/** What of a request is left when it was answered is read and dropped up to this, so that the client sees the answer. */
const MAX_DROPPED_BYTES = 1 << 20;

export interface GatewayOptions {
  /** An encoded request's size; its JSON may be twice as long. */
  readonly maxReceiveBytes: number;
  /** Memory for requests that have not come to their end. */
  readonly budget: ReceiveBudget;
  readonly mapError: ErrorMapper;
  readonly observer: CallObserver;
}

/**
 * etcd's gRPC gateway: the methods that gRPC serves, as `POST /v3/…` with JSON for messages. It answers as grpc-gateway v2
 * does, over HTTP/1.1 and over WebSocket (grpc-websocket-proxy).
 */
export class Gateway implements CallHost {
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly budget: ReceiveBudget;
  readonly maxReceiveBytes: number;
  readonly maxJsonBytes: number;
  readonly mapError: ErrorMapper;
  readonly observer: CallObserver;
  readonly #methods: ReadonlyMap<string, Method>;
  readonly #streaming = new Set<GatewayCall>();
  #types: ReadonlyMap<string, MessageType> | undefined = undefined;
  #isDraining = false;

  constructor(
    methods: readonly Method[],
    clock: Clock,
    { maxReceiveBytes, budget, mapError, observer }: GatewayOptions,
  ) {
    this.#methods = new Map(methods.map((method) => [method.path, method]));
    this.clock = clock;
    this.deadlines = new Deadlines(clock);
    this.maxReceiveBytes = maxReceiveBytes;
    this.maxJsonBytes = maxReceiveBytes * JSON_BYTES_PER_BYTE;
    this.budget = budget;
    this.mapError = mapError;
    this.observer = observer;
  }

  /** Whether a request is the gateway's. */
  handles(request: IncomingMessage): boolean {
    return gatewayPath(pathOf(request)) !== undefined;
  }

  /** Refuses new calls, and ends all streams: they would go on for ever. */
  stop(): void {
    this.#isDraining = true;
    for (const call of [...this.#streaming]) call.abort(this.#stopped());
    this.deadlines.rest();
  }

  /** Answers a request that `handles` is true for. */
  serve(request: IncomingMessage, response: ServerResponse): void {
    request.on("error", () => {}); // the response's `close` follows
    const sink = new HttpSink(response);
    let call;
    try {
      const method = this.#methodOf(request);
      call = this.#call(method, request, sink, request, authorizationOf);
    } catch (error) {
      dropRest(request, response);
      sendStatusJson(response, this.mapError(error, pathOf(request)));
      return;
    }
    if (call.method.kind !== "duplex") this.#bound(request, call);
    request.on("data", (chunk: Uint8Array) => call.onInput(chunk));
    request.on("end", () => call.onInputEnd());
    response.on("close", () => call.gone());
    dropRest(request, response);
    if (call instanceof DuplexGatewayCall) {
      // What the client may still ask has nobody to answer it: the connection is of no more use.
      response.on("finish", () => {
        if (!request.complete) closeSoon(request.socket);
      });
      call.open();
    }
  }

  /** Whether a request asks for a WebSocket to the gateway. */
  accepts(request: IncomingMessage): boolean {
    return request.headers.upgrade?.toLowerCase() === "websocket" &&
      this.handles(request);
  }

  /** Answers a request that `accepts` is true for. What is wrong with it is said in the first message. */
  async upgrade(
    request: IncomingMessage,
    socket: Socket,
    head: Uint8Array,
  ): Promise<void> {
    socket.on("error", () => {}); // `close` follows
    try {
      await acceptWebSocket(request, socket, head, {
        maxMessageBytes: this.maxJsonBytes,
        budget: this.budget,
        subprotocol: "Bearer",
        clock: this.clock,
      }, (connection) => this.#openWebSocket(request, connection));
    } catch {
      // The handshake is not to be saved: there is no answer that the client would understand.
      socket.destroy();
    }
  }

  // What calls ask.

  type(name: string): MessageType {
    this.#types ??= readMessageTypes();
    const type = this.#types.get(name);
    assert(type !== undefined, "a method's messages have descriptors");
    return type;
  }

  ended(call: GatewayCall): void {
    this.#streaming.delete(call);
    if (this.#isDraining) this.deadlines.rest();
  }

  #openWebSocket(
    request: IncomingMessage,
    connection: WebSocketConnection,
  ): WebSocketHandler {
    const sink = new WebSocketSink(connection);
    let call: GatewayCall | undefined = undefined;
    try {
      // A browser cannot say which method it wants: it is POST always.
      const method = this.#methodOf(request, "POST");
      call = this.#call(method, request, sink, connection, subprotocolToken);
      if (call instanceof DuplexGatewayCall) call.open();
    } catch (error) {
      sink.refuse(this.mapError(error, pathOf(request)));
    }
    return {
      onMessage(message) {
        call?.onInput(message);
        // One message is a whole request where there can be no other.
        if (call?.method.kind !== "duplex") call?.onInputEnd();
      },
      onDrain: () => sink.onDrain?.(),
      onClose: () => call?.gone(),
    };
  }

  /** Throws `StatusError` if there is no such method here. */
  #methodOf(request: IncomingMessage, httpMethod = request.method): Method {
    const path = GATEWAY_PATHS.get(gatewayPath(pathOf(request)) ?? "");
    if (path === undefined) throw new StatusError(Code.NotFound, "Not Found");
    if (httpMethod !== "POST") {
      throw new StatusError(Code.Unimplemented, "Method Not Allowed");
    }
    const method = this.#methods.get(path);
    if (method === undefined) {
      const message = `unknown service ${path.split("/")[1]}`;
      throw new StatusError(Code.Unimplemented, message);
    }
    if (this.#isDraining) throw new DomainError("stopped");
    return method;
  }

  #call(
    method: Method,
    request: IncomingMessage,
    sink: AnswerSink,
    input: Input,
    authorization: (request: IncomingMessage) => string | undefined,
  ): GatewayCall {
    const metadata = new RequestMetadata(
      request,
      readTimeoutMs(headerOf(request, "grpc-timeout")),
      authorization(request),
    );
    const peer = peerOf(request);
    let call;
    switch (method.kind) {
      case "unary":
        return new UnaryGatewayCall(this, method, peer, metadata, sink);
      case "serverStream":
        call = new ServerStreamGatewayCall(this, method, peer, metadata, sink);
        break;
      case "duplex":
        call = new DuplexGatewayCall(
          this,
          method,
          peer,
          metadata,
          sink,
          input,
        );
        break;
    }
    this.#streaming.add(call);
    return call;
  }

  /** Ends the call if its request does not come in time. */
  #bound(request: IncomingMessage, call: GatewayCall): void {
    const timer = this.clock.after(REQUEST_TIMEOUT_MS, () => {
      call.abort(TOO_SLOW);
    });
    request.on("end", () => timer.cancel());
    request.on("close", () => timer.cancel());
  }

  #stopped(): Status {
    return this.mapError(new DomainError("stopped"), "");
  }
}

const TOO_SLOW: Status = {
  code: Code.DeadlineExceeded,
  message: "the request did not come in time",
};

/** A request that is answered before its end must not keep the connection. */
function dropRest(request: IncomingMessage, response: ServerResponse): void {
  let bytes = 0;
  request.on("data", (chunk: Uint8Array) => {
    if (!response.writableEnded) return;
    bytes += chunk.length;
    if (bytes > MAX_DROPPED_BYTES) request.destroy();
  });
}

function pathOf(request: IncomingMessage): string {
  return readTarget(request).path;
}

function peerOf({ socket }: IncomingMessage): string {
  return socket.remoteAddress === undefined
    ? "unix"
    : hostPort(socket.remoteAddress, socket.remotePort ?? 0);
}

function headerOf(
  request: IncomingMessage,
  name: string,
): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function authorizationOf(request: IncomingMessage): string | undefined {
  return headerOf(request, "authorization");
}

/** A browser's WebSocket has no header of its own choice but this: `Bearer, TOKEN`. */
function subprotocolToken(request: IncomingMessage): string | undefined {
  const offered = headerOf(request, "sec-websocket-protocol");
  const token = offered?.split("Bearer,", 2)[1]?.trim();
  return token === undefined ? authorizationOf(request) : `Bearer ${token}`;
}

/** Closes a socket behind what is written; Deno 2.7 can only end it. */
function closeSoon(socket: Socket): void {
  if ("destroySoon" in socket) socket.destroySoon();
  else (socket as Socket).end();
}
