import { WireError } from "../../pb/wire.ts";
import type { ServerStream } from "../http2/server_stream.ts";
import type { CallHead } from "./call_head.ts";
import type { Codec } from "./codec.ts";
import type { Deadlines, Expiring } from "./deadlines.ts";
import type { MessageReaderOptions } from "./message_reader.ts";
import { metadataOf } from "./metadata.ts";
import type { ReceiveBudget } from "./receive_budget.ts";
import type { Call, ErrorMapper, StreamTraffic } from "./service.ts";
import { Code, type Status, StatusError } from "./status.ts";

/** What calls need of their server. */
export interface CallHost {
  readonly deadlines: Deadlines;
  readonly budget: ReceiveBudget;
  readonly maxReceiveBytes: number;
  readonly maxSendBytes: number;
  readonly mapError: ErrorMapper;
  /** Where a streaming call counts its messages. */
  traffic(path: string): StreamTraffic;
  /** The call is over. Called once; bytes are those of a unary call. */
  ended(
    call: ActiveCall,
    code: number,
    bytesIn: number,
    bytesOut: number,
  ): void;
  /** Answers with OK and a message whose encoded size is `size`. */
  respond(
    stream: ServerStream,
    codec: Codec<unknown>,
    message: unknown,
    size: number,
  ): void;
}

/** What calls of all kinds have in common: what the handler may ask, and the deadline. */
export abstract class ActiveCall implements Call, Expiring {
  isCancelled = false;
  deadlineSlot = -1;
  previousDeadline: Expiring | undefined = undefined;
  nextDeadline: Expiring | undefined = undefined;
  #abort: AbortController | undefined = undefined;

  constructor(
    protected readonly host: CallHost,
    protected readonly head: CallHead,
    readonly stream: ServerStream,
    /** When the request came. */
    readonly beganMs: number,
    readonly deadlineMs: number,
  ) {}

  get path(): string {
    return this.head.method.path;
  }

  get peer(): string {
    return this.stream.connection.peer;
  }

  get certificateName(): string | undefined {
    return this.stream.connection.certificateName;
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.isCancelled) this.#abort.abort();
    return this.#abort.signal;
  }

  metadata(name: string): string | undefined {
    return metadataOf(this.head.headers.fields, name);
  }

  abstract expire(): void;

  /** Tells the handler that nobody waits for it any more. */
  protected cancel(): void {
    this.isCancelled = true;
    this.#abort?.abort();
  }

  protected readerOptions(): MessageReaderOptions {
    const { maxReceiveBytes, budget } = this.host;
    return { maxBytes: maxReceiveBytes, isGzip: this.head.isGzip, budget };
  }

  /** The size of a message that may be sent; throws `StatusError` if it may not. */
  protected sendSize(message: unknown): number {
    const size = this.head.method.response.size(message);
    const { maxSendBytes } = this.host;
    if (size > maxSendBytes) throw tooLargeToSend(size, maxSendBytes);
    return size;
  }

  /** What the client is told of a request that does not decode: `what`, and why. */
  protected decodeStatus(error: unknown, what: string): Status {
    if (!(error instanceof WireError)) {
      return this.host.mapError(error, this.path);
    }
    return { code: Code.Internal, message: `grpc: ${what}: ${error.message}` };
  }
}

export function tooLargeToSend(size: number, maxBytes: number): StatusError {
  return new StatusError(
    Code.ResourceExhausted,
    `grpc: trying to send message larger than max (${size} vs. ${maxBytes})`,
  );
}
