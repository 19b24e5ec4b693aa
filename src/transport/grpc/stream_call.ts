import { DomainError } from "../../base/errors.ts";
import { DEFAULT_HTTP2_LIMITS } from "../http2/limits.ts";
import type { ServerStream } from "../http2/server_stream.ts";
import type {
  RequestHeaders,
  StreamReceiver,
} from "../http2/stream_handler.ts";
import { MessageReader, PREFIX_BYTES } from "./message_reader.ts";
import { metadataOf } from "./metadata.ts";
import { OK_HEAD, sendStatus, trailersOf, writePrefix } from "./response.ts";
import type { GrpcServer } from "./server.ts";
import type {
  Call,
  DuplexMethod,
  MessageReceiver,
  MessageWriter,
  ServerStreamMethod,
} from "./service.ts";
import { Code, type Status, StatusError } from "./status.ts";

// deno-lint-ignore no-explicit-any
type AnyStreaming = ServerStreamMethod<any, any> | DuplexMethod<any, any>;

/** What `drained()` waits for. */
const LOW_WATER_BYTES = DEFAULT_HTTP2_LIMITS.lowWaterBytes;

const OK: Status = { code: Code.Ok, message: "" };

/**
 * One streaming call: what the client sends goes to the handler as it comes, what the handler sends is
 * queued behind flow control.
 *
 *   open --end(), error, deadline--> ended        open --reset, connection lost--> ended, receiver told
 */
export class StreamCall implements Call, MessageWriter<unknown> {
  /** What the stream tells. */
  readonly receiver: StreamReceiver = {
    onData: (stream, chunk, endStream) =>
      this.#onData(stream, chunk, endStream),
    onTrailers: () => {
      if (!this.isEnded) this.#halfClose();
    },
    onReset: () => this.#onReset(),
    onDrain: () => {
      for (const waiting of this.#waiting.splice(0)) waiting.resolve();
      this.onDrain?.();
    },
  };
  isCancelled = false;
  isEnded = false;
  onDrain: (() => void) | undefined = undefined;
  #hasHeaders = false;
  #receiver: MessageReceiver<unknown> | undefined = undefined;
  #reader: MessageReader;
  #abort: AbortController | undefined = undefined;
  #waiting: PromiseWithResolvers<void>[] = [];
  #bytesIn = 0;
  #bytesOut = 0;
  #hasRequest = false;

  constructor(
    readonly server: GrpcServer,
    readonly method: AnyStreaming,
    readonly stream: ServerStream,
    readonly headers: RequestHeaders,
    readonly beganMs: number,
    readonly deadlineMs: number,
  ) {
    this.#reader = new MessageReader(
      server.options.maxReceiveBytes,
      this.metadata("grpc-encoding"),
    );
  }

  get path(): string {
    return this.method.path;
  }

  get peer(): string {
    return this.stream.connection.peer;
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.isCancelled) this.#abort.abort();
    return this.#abort.signal;
  }

  get bufferedBytes(): number {
    return this.stream.bufferedBytes;
  }

  metadata(name: string): string | undefined {
    return metadataOf(this.headers, name);
  }

  /** Opens the handler of a duplex call. */
  begin(endStream: boolean): void {
    this.server.deadlines.add(this);
    if (this.method.kind === "duplex") {
      try {
        this.#receiver = this.method.open(this, this);
      } catch (error) {
        return this.abort(this.server.options.mapError(error, this.path));
      }
    }
    if (endStream) this.#halfClose();
  }

  send(message: unknown): void {
    if (this.isEnded) return;
    const codec = this.method.response;
    const size = codec.size(message);
    const framed = new Uint8Array(PREFIX_BYTES + size);
    writePrefix(framed, 0, size);
    codec.write(message, framed, PREFIX_BYTES);
    this.#sendFramed(framed);
  }

  sendEncoded(message: Uint8Array): void {
    if (this.isEnded) return;
    const framed = new Uint8Array(PREFIX_BYTES + message.length);
    writePrefix(framed, 0, message.length);
    framed.set(message, PREFIX_BYTES);
    this.#sendFramed(framed);
  }

  end(status: Status = OK): void {
    if (this.isEnded) return;
    this.#close(status.code);
    if (this.#hasHeaders) {
      this.stream.sendTrailers(trailersOf(status));
    } else if (status.code === Code.Ok) {
      this.stream.sendHeaders(OK_HEAD, false);
      this.stream.sendTrailers(trailersOf(status));
    } else {
      sendStatus(this.stream, status);
    }
  }

  drained(): Promise<void> {
    if (this.isEnded) return Promise.reject(new DomainError("canceled"));
    if (this.bufferedBytes <= LOW_WATER_BYTES) return Promise.resolve();
    const waiting = Promise.withResolvers<void>();
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  /** Ends the call from the server's side; the handler is told. */
  abort(status: Status): void {
    if (this.isEnded) return;
    this.isCancelled = true;
    this.#abort?.abort();
    this.end(status);
    this.#receiver?.onCancel();
  }

  /** The deadline passed. */
  expire(): void {
    this.abort({
      code: Code.DeadlineExceeded,
      message: "context deadline exceeded",
    });
  }

  #onData(stream: ServerStream, chunk: Uint8Array, endStream: boolean): void {
    stream.consumed(chunk.length);
    if (this.isEnded) return;
    try {
      this.#reader.read(chunk, (message) => this.#onMessage(message));
    } catch (error) {
      return this.abort(this.server.options.mapError(error, this.path));
    }
    if (endStream) this.#halfClose();
  }

  #onReset(): void {
    if (this.isEnded) return;
    this.isCancelled = true;
    this.#abort?.abort();
    this.#close(Code.Canceled);
    this.#receiver?.onCancel();
  }

  #sendFramed(framed: Uint8Array): void {
    if (!this.#hasHeaders) {
      this.#hasHeaders = true;
      this.stream.sendHeaders(OK_HEAD, false);
    }
    this.#bytesOut += framed.length - PREFIX_BYTES;
    this.stream.sendData(framed);
  }

  #onMessage(bytes: Uint8Array): void {
    if (this.isEnded) return;
    this.#bytesIn += bytes.length;
    const request = this.method.request.decode(bytes);
    if (this.method.kind === "duplex") {
      return this.#receiver?.onMessage(request);
    }
    if (this.#hasRequest) {
      throw new StatusError(
        Code.Internal,
        "grpc: a server-streaming call has more than one request",
      );
    }
    this.#hasRequest = true;
    this.method.handle(request, this, this).then(
      () => this.end(),
      (error) => this.end(this.server.options.mapError(error, this.path)),
    );
  }

  #halfClose(): void {
    if (this.isEnded) return;
    if (!this.#reader.isEmpty) {
      return this.abort({
        code: Code.Internal,
        message: "grpc: the request ends inside a message",
      });
    }
    if (this.method.kind === "duplex") return this.#receiver?.onHalfClose();
    if (!this.#hasRequest) {
      this.abort({ code: Code.Internal, message: "grpc: no request message" });
    }
  }

  #close(code: number): void {
    this.isEnded = true;
    this.server.deadlines.remove(this);
    this.server.forget(this);
    for (const waiting of this.#waiting.splice(0)) {
      waiting.promise.catch(() => {}); // its caller may have gone
      waiting.reject(new DomainError("canceled"));
    }
    this.server.ended(
      this.path,
      code,
      this.beganMs,
      this.#bytesIn,
      this.#bytesOut,
    );
  }
}
