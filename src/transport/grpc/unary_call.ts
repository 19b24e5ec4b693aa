import type { ServerStream } from "../http2/server_stream.ts";
import type {
  RequestHeaders,
  StreamReceiver,
} from "../http2/stream_handler.ts";
import { MessageReader, PREFIX_BYTES, tooLarge } from "./message_reader.ts";
import { metadataOf } from "./metadata.ts";
import { sendStatus } from "./response.ts";
import type { GrpcServer } from "./server.ts";
import type { Call, UnaryMethod } from "./service.ts";
import { Code, type Status, StatusError } from "./status.ts";

// deno-lint-ignore no-explicit-any
type AnyUnary = UnaryMethod<any, any>;

/**
 * One unary call.
 *
 *   reading --whole message and END_STREAM--> handling --answer, error or deadline--> ended
 *       \--reset--> ended <--reset: nobody waits any more--/
 */
export class UnaryCall implements Call, StreamReceiver {
  #isEnded = false;
  isCancelled = false;
  #reader: MessageReader | undefined = undefined;
  #message: Uint8Array | undefined = undefined;
  #bytesIn = 0;
  #abort: AbortController | undefined = undefined;

  constructor(
    readonly server: GrpcServer,
    readonly method: AnyUnary,
    readonly stream: ServerStream,
    readonly headers: RequestHeaders,
    readonly beganMs: number,
    readonly deadlineMs: number,
  ) {}

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

  metadata(name: string): string | undefined {
    return metadataOf(this.headers, name);
  }

  onData(stream: ServerStream, chunk: Uint8Array, endStream: boolean): void {
    stream.consumed(chunk.length);
    if (this.#isEnded) return;
    if (endStream && this.#reader === undefined && isWhole(chunk)) {
      const size = chunk.length - PREFIX_BYTES;
      const { maxReceiveBytes } = this.server.options;
      if (size > maxReceiveBytes) {
        return this.#fail(tooLarge(size, maxReceiveBytes));
      }
      this.#bytesIn = size;
      return this.#handle(chunk, PREFIX_BYTES, chunk.length);
    }
    this.#gather(chunk, endStream);
  }

  onTrailers(): void {
    if (!this.#isEnded) this.#finish();
  }

  onReset(): void {
    if (!this.#isEnded) this.#cancel(Code.Canceled);
  }

  onDrain(): void {}

  /** The request ended without a message. */
  noMessage(): void {
    this.#finish();
  }

  /** The deadline passed. */
  expire(): void {
    if (this.#isEnded) return;
    this.isCancelled = true;
    this.#abort?.abort();
    this.#fail({
      code: Code.DeadlineExceeded,
      message: "context deadline exceeded",
    });
  }

  /** The slow path: a message in several frames, compressed, or not what it should be. */
  #gather(chunk: Uint8Array, endStream: boolean): void {
    this.#reader ??= new MessageReader(
      this.server.options.maxReceiveBytes,
      this.metadata("grpc-encoding"),
    );
    try {
      this.#reader.read(chunk, (message) => {
        if (this.#message !== undefined) {
          throw new StatusError(
            Code.Internal,
            "grpc: a unary call has more than one message",
          );
        }
        this.#message = message;
      });
    } catch (error) {
      return this.#fail(this.server.options.mapError(error, this.path));
    }
    if (endStream) this.#finish();
  }

  #finish(): void {
    const message = this.#message;
    if (message === undefined || this.#reader?.isEmpty === false) {
      return this.#fail({
        code: Code.Internal,
        message: "grpc: a unary call has no whole message",
      });
    }
    this.#bytesIn = message.length;
    this.#handle(message, 0, message.length);
  }

  #handle(bytes: Uint8Array, start: number, end: number): void {
    const { method, server } = this;
    let result;
    try {
      const request = method.request.decode(bytes, start, end);
      result = method.handle(request, this, end - start);
    } catch (error) {
      return this.#fail(server.options.mapError(error, this.path));
    }
    if (!(result instanceof Promise)) return this.#succeed(result);
    server.deadlines.add(this);
    result.then(
      (response) => this.#succeed(response),
      (error) => this.#fail(server.options.mapError(error, this.path)),
    );
  }

  #succeed(response: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    const { server, method, stream } = this;
    if (this.deadlineMs !== Infinity) server.deadlines.remove(this);
    let size;
    try {
      size = server.respond(stream, method.response, response);
    } catch (error) {
      this.#isEnded = false;
      return this.#fail(server.options.mapError(error, this.path));
    }
    server.ended(this.path, Code.Ok, this.beganMs, this.#bytesIn, size);
  }

  #fail(status: Status): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.server.deadlines.remove(this);
    sendStatus(this.stream, status);
    this.server.ended(this.path, status.code, this.beganMs, this.#bytesIn, 0);
  }

  #cancel(code: Code): void {
    this.#isEnded = true;
    this.isCancelled = true;
    this.#abort?.abort();
    this.server.deadlines.remove(this);
    this.server.ended(this.path, code, this.beganMs, this.#bytesIn, 0);
  }
}

/** Whether the chunk is exactly one message that is not compressed. */
function isWhole(chunk: Uint8Array): boolean {
  if (chunk.length < PREFIX_BYTES || chunk[0] !== 0) return false;
  const size = ((chunk[1]! << 24) | (chunk[2]! << 16) | (chunk[3]! << 8) |
    chunk[4]!) >>> 0;
  return size === chunk.length - PREFIX_BYTES;
}
