import { concatBytes } from "../../src/base/bytes.ts";
import {
  Connection,
  type ConnectionSink,
} from "../../src/transport/http2/connection.ts";
import { HeaderBlock } from "../../src/transport/http2/header_block.ts";
import {
  DEFAULT_HTTP2_LIMITS,
  type Http2Limits,
} from "../../src/transport/http2/limits.ts";
import type { ServerStream } from "../../src/transport/http2/server_stream.ts";
import type {
  BodySource,
  RequestHeaders,
  StreamHandler,
  StreamReceiver,
} from "../../src/transport/http2/stream_handler.ts";
import { FakeClock } from "./fake_clock.ts";
import { ClientFrames, ServerOutput } from "./h2_client.ts";

export const HEAD: HeaderBlock = new HeaderBlock([":status", "200"]);
export const TAIL: HeaderBlock = new HeaderBlock(["grpc-status", "0"]);

/** The fields of a request that is not wrong. */
export const REQUEST: readonly string[] = [
  ":method",
  "POST",
  ":scheme",
  "http",
  ":path",
  "/s/m",
  ":authority",
  "host",
];

/** A body of `byte`s. */
export function bodyOf(byte: number, length: number): BodySource {
  return { writeTo: (out, at) => void out.fill(byte, at, at + length) };
}

/** A connection without a socket, what it sent and what it told its handler. */
export class Session implements ConnectionSink, StreamHandler, StreamReceiver {
  readonly clock = new FakeClock();
  readonly client = new ClientFrames();
  readonly connection: Connection;
  /** `request 1 POST /s/m end`, `data 1 5 end`, `trailers 1 a=b`, `reset 1 8`, `drain 1`. */
  readonly events: string[] = [];
  readonly streams = new Map<number, ServerStream>();
  /** What was written, one array per call. */
  readonly writes: Uint8Array[] = [];
  queuedBytes = 0;
  closed: "no" | "yes" | Error = "no";
  /** Called for each request that is complete. */
  onRequestEnd: (stream: ServerStream) => void = () => {};
  onDrained: (stream: ServerStream) => void = () => {};
  /** Whether received DATA is given back at once. */
  consumes = true;
  readonly #output = new ServerOutput();
  #described = 0;

  constructor(limits: Partial<Http2Limits> = {}) {
    this.connection = new Connection(
      this,
      this,
      this.clock,
      { ...DEFAULT_HTTP2_LIMITS, ...limits },
      "test",
    );
    this.connection.start();
  }

  /** A session whose prefaces are through. */
  static open(
    limits: Partial<Http2Limits> = {},
    ...settings: [id: number, value: number][]
  ): Session {
    const session = new Session(limits);
    session.receive(
      session.client.preface(...settings),
      session.client.settingsAck(),
    );
    return session;
  }

  /** Hands bytes to the connection as one chunk; returns what it sent since the last time, one line per frame. */
  receive(...parts: Uint8Array[]): string[] {
    this.connection.receive(concatBytes(...parts));
    return this.sent();
  }

  /** What was sent since the last time; see `ServerOutput.describe`. */
  sent(): string[] {
    const bytes = concatBytes(...this.writes.slice(this.#described));
    this.#described = this.writes.length;
    return this.#output.frames(bytes).map((f) => this.#output.describe(f));
  }

  /** Sends a request without a body, or one whose body is still to come. */
  request(endStream: boolean, id: number = this.client.nextId()): ServerStream {
    this.connection.receive(this.client.headers(id, REQUEST, endStream));
    return this.streams.get(id)!;
  }

  /** Everything that was written. */
  get written(): Uint8Array {
    return concatBytes(...this.writes);
  }

  write(bytes: Uint8Array): void {
    this.writes.push(bytes);
  }

  close(error?: Error): void {
    if (this.closed !== "no") throw new Error("sink closed twice");
    this.closed = error ?? "yes";
  }

  onRequest(
    stream: ServerStream,
    headers: RequestHeaders,
    endStream: boolean,
  ): void {
    const { id } = stream;
    this.events.push(
      `request ${id} ${headers.method} ${headers.path}${
        endStream ? " end" : ""
      }`,
    );
    this.streams.set(id, stream);
    stream.receiver = this;
    if (endStream) this.onRequestEnd(stream);
  }

  onData(stream: ServerStream, chunk: Uint8Array, endStream: boolean): void {
    this.events.push(
      `data ${stream.id} ${chunk.length}${endStream ? " end" : ""}`,
    );
    if (this.consumes) stream.consumed(chunk.length);
    if (endStream) this.onRequestEnd(stream);
  }

  onTrailers(stream: ServerStream, fields: readonly string[]): void {
    this.events.push(`trailers ${stream.id} ${fields.join("=")}`);
    this.onRequestEnd(stream);
  }

  onReset(stream: ServerStream, code: number): void {
    this.events.push(`reset ${stream.id} ${code}`);
  }

  onDrain(stream: ServerStream): void {
    this.events.push(`drain ${stream.id}`);
    this.onDrained(stream);
  }
}
