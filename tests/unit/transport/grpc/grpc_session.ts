import { concatBytes, EMPTY, text, utf8 } from "../../../../src/base/bytes.ts";
import { WireError } from "../../../../src/pb/wire.ts";
import type { Codec } from "../../../../src/transport/grpc/codec.ts";
import {
  GrpcServer,
  type GrpcServerOptions,
} from "../../../../src/transport/grpc/server.ts";
import {
  type Call,
  type CallObserver,
  type MessageReceiver,
  type MessageWriter,
  type Method,
  newStreamTraffic,
  type StreamTraffic,
} from "../../../../src/transport/grpc/service.ts";
import {
  Code,
  type Status,
  StatusError,
} from "../../../../src/transport/grpc/status.ts";
import {
  Connection,
  type ConnectionSink,
} from "../../../../src/transport/http2/connection.ts";
import {
  Flag,
  FrameType,
  readUint32,
  SettingId,
} from "../../../../src/transport/http2/frame.ts";
import { Decoder } from "../../../../src/transport/http2/hpack/decoder.ts";
import { DEFAULT_HTTP2_LIMITS } from "../../../../src/transport/http2/limits.ts";
import { DomainError } from "../../../../src/base/errors.ts";
import { FakeClock } from "../../../support/fake_clock.ts";
import { ClientFrames, ServerOutput } from "../../../support/h2_client.ts";

/** Messages are text; one that begins with `!` does not decode, and one that is `!` does not encode. */
export const TEXT: Codec<string> = {
  name: "test.Text",
  decode(bytes, pos = 0, end = bytes.length) {
    const message = text(bytes.subarray(pos, end));
    if (message.startsWith("!")) throw new WireError("bad text");
    return message;
  },
  size: (message) => utf8(message).length,
  write(message, out, at) {
    if (message === "!") throw new Error("does not encode");
    const bytes = utf8(message);
    out.set(bytes, at);
    return at + bytes.length;
  },
};

export const UNARY = "/test.Echo/Unary";
export const DOWN = "/test.Echo/Down";
export const BOTH = "/test.Echo/Both";

/** A message with its prefix. */
export function framed(message: string | Uint8Array, flag = 0): Uint8Array {
  const bytes = typeof message === "string" ? utf8(message) : message;
  const prefix = new Uint8Array(5);
  prefix[0] = flag;
  new DataView(prefix.buffer).setUint32(1, bytes.length);
  return concatBytes(prefix, bytes);
}

/** What the client has seen of one call. */
export interface Answer {
  /** Header fields, trailers included; `grpc-message` decoded. */
  readonly fields: Record<string, string>;
  readonly messages: string[];
  /** HEADERS frames. */
  sections: number;
  isEnded: boolean;
  resetCode: number | undefined;
}

export interface CallOptions {
  readonly path?: string;
  readonly method?: string;
  /** name, value… */
  readonly fields?: readonly string[];
  /** Undefined: none. */
  readonly contentType?: string | undefined;
  /** Each is one DATA frame; the last one ends the request unless `isOpen`. */
  readonly data?: readonly Uint8Array[];
  readonly isOpen?: boolean;
}

/** What an observer was told: `started PATH`, `handled PATH CODE MS IN OUT`. */
class Notes implements CallObserver {
  readonly lines: string[] = [];
  readonly streams = new Map<string, StreamTraffic>();

  started(path: string): void {
    this.lines.push(`started ${path}`);
  }

  traffic(path: string): StreamTraffic {
    const traffic = this.streams.get(path) ?? newStreamTraffic();
    this.streams.set(path, traffic);
    return traffic;
  }

  handled(
    path: string,
    code: number,
    durationMs: number,
    bytesIn: number,
    bytesOut: number,
  ): void {
    this.lines.push(
      `handled ${path} ${code} ${durationMs} ${bytesIn} ${bytesOut}`,
    );
  }
}

/** A gRPC server on a connection without a socket, and a client that builds its frames by hand. */
export class GrpcSession implements ConnectionSink {
  readonly clock = new FakeClock();
  readonly server: GrpcServer;
  readonly connection: Connection;
  readonly client = new ClientFrames();
  readonly notes = new Notes();
  /** What `mapError` was given. */
  readonly errors: unknown[] = [];
  queuedBytes = 0;

  // What the handlers do; a test puts its own here.
  unary: (
    request: string,
    call: Call,
    bytes: number,
  ) => string | Promise<string> = (request) => request;
  down: (
    request: string,
    call: Call,
    out: MessageWriter<string>,
  ) => Promise<void> = () => Promise.resolve();
  both: (call: Call, out: MessageWriter<string>) => MessageReceiver<string> = (
    _call,
    out,
  ) => ({
    onMessage: (message) => out.send(message),
    onHalfClose: () => out.end(),
    onCancel: () => {},
  });

  readonly #answers = new Map<number, Answer>();
  readonly #bytes = new Map<number, Uint8Array>();
  readonly #output = new ServerOutput();
  readonly #decoder = new Decoder(4096);

  constructor(
    options: Partial<GrpcServerOptions> = {},
    { window = 1 << 30 }: { readonly window?: number } = {},
  ) {
    const methods: Method[] = [
      {
        kind: "unary",
        path: UNARY,
        request: TEXT,
        response: TEXT,
        handle: (request, call, bytes) => this.unary(request, call, bytes),
      },
      {
        kind: "serverStream",
        path: DOWN,
        request: TEXT,
        response: TEXT,
        handle: (request, call, out) => this.down(request, call, out),
      },
      {
        kind: "duplex",
        path: BOTH,
        request: TEXT,
        response: TEXT,
        open: (call, out) => this.both(call, out),
      },
    ];
    this.server = new GrpcServer(methods, this.clock, {
      mapError: (error) => this.#mapError(error),
      observer: this.notes,
      ...options,
    });
    this.connection = new Connection(
      this,
      this.server,
      this.clock,
      DEFAULT_HTTP2_LIMITS,
      "127.0.0.1:7",
    );
    this.connection.start();
    this.connection.receive(concatBytes(
      this.client.preface([SettingId.InitialWindowSize, window]),
      this.client.windowUpdate(0, 1 << 30),
    ));
  }

  /** Sends a call as one chunk; returns its stream. */
  call(
    {
      path = UNARY,
      method = "POST",
      fields = [],
      data = [],
      isOpen = false,
      ...rest
    }: CallOptions = {},
  ): number {
    const id = this.client.nextId();
    const contentType = "contentType" in rest
      ? rest.contentType
      : "application/grpc";
    const type = contentType === undefined ? [] : ["content-type", contentType];
    const head = [":method", method, ":scheme", "http", ":path", path];
    const isEmpty = data.length === 0 && !isOpen;
    const frames = [
      this.client.headers(id, [...head, ...type, ...fields], isEmpty),
    ];
    data.forEach((chunk, i) => {
      const isLast = i === data.length - 1 && !isOpen;
      frames.push(this.client.data(id, chunk, isLast));
    });
    this.connection.receive(concatBytes(...frames));
    return id;
  }

  /** A unary call with one message; returns what came back so far. */
  ask(message: string, options: CallOptions = {}): Answer {
    return this.answer(this.call({ ...options, data: [framed(message)] }));
  }

  send(id: number, chunk: Uint8Array, endStream = false): void {
    this.connection.receive(this.client.data(id, chunk, endStream));
  }

  reset(id: number): void {
    this.connection.receive(this.client.rstStream(id, 8));
  }

  /** What the client has seen of a call so far. */
  answer(id: number): Answer {
    let answer = this.#answers.get(id);
    if (answer === undefined) {
      answer = {
        fields: {},
        messages: [],
        sections: 0,
        isEnded: false,
        resetCode: undefined,
      };
      this.#answers.set(id, answer);
    }
    return answer;
  }

  write(bytes: Uint8Array): void {
    for (const { type, flags, id, payload } of this.#output.frames(bytes)) {
      if (id === 0) continue;
      const answer = this.answer(id);
      if (type === FrameType.Headers) {
        answer.sections++;
        this.#decoder.decode(payload, 0, payload.length, {
          field: (name, value) => {
            answer.fields[name] = name === "grpc-message"
              ? decodeURIComponent(value)
              : value;
          },
        });
      } else if (type === FrameType.Data) this.#cut(id, payload);
      else if (type === FrameType.RstStream) {
        answer.resetCode = readUint32(payload, 0);
      } else continue;
      if (type !== FrameType.RstStream && (flags & Flag.EndStream) !== 0) {
        answer.isEnded = true;
      }
    }
  }

  close(): void {}

  #cut(id: number, payload: Uint8Array): void {
    let bytes = concatBytes(this.#bytes.get(id) ?? EMPTY, payload);
    while (bytes.length >= 5) {
      const end = 5 + readUint32(bytes, 1);
      if (end > bytes.length) break;
      this.answer(id).messages.push(text(bytes.subarray(5, end)));
      bytes = bytes.slice(end);
    }
    this.#bytes.set(id, bytes);
  }

  #mapError(error: unknown): Status {
    this.errors.push(error);
    if (error instanceof StatusError) return error;
    if (error instanceof DomainError) {
      return { code: Code.Unavailable, message: error.kind };
    }
    return { code: Code.Unknown, message: "internal error" };
  }
}

/** `code message`, or what is missing for it. */
export function statusOf({ fields, isEnded }: Answer): string {
  if (!isEnded) return "open";
  const code = fields["grpc-status"];
  if (code === undefined) return "no status";
  const message = fields["grpc-message"];
  return message === undefined ? code : `${code} ${message}`;
}

/** Lets promises that are settled run their callbacks. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}
