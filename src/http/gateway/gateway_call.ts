import type { Clock } from "../../base/clock.ts";
import { WireError } from "../../pb/wire.ts";
import type { Deadlines, Expiring } from "../../transport/grpc/deadlines.ts";
import { tooLarge } from "../../transport/grpc/message_reader.ts";
import type { ReceiveBudget } from "../../transport/grpc/receive_budget.ts";
import {
  type Call,
  type CallObserver,
  type ErrorMapper,
  type Method,
  newStreamTraffic,
  type StreamTraffic,
} from "../../transport/grpc/service.ts";
import { Code, type Status, StatusError } from "../../transport/grpc/status.ts";
import type { AnswerSink } from "./answer_sink.ts";
import { encodeJson } from "./json_encoder.ts";
import { JsonRenderer } from "./json_renderer.ts";
import { textOfJson } from "./json_strings.ts";
import { JsonError } from "./json_syntax.ts";
import type { MessageType } from "./message_type.ts";
import type { RequestMetadata } from "./request_metadata.ts";
import { WireBuffer } from "./wire_buffer.ts";

/** What calls need of the gateway. */
export interface CallHost {
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly budget: ReceiveBudget;
  /** An encoded request's size. */
  readonly maxReceiveBytes: number;
  /** The size of its JSON. */
  readonly maxJsonBytes: number;
  readonly mapError: ErrorMapper;
  readonly observer: CallObserver;
  type(name: string): MessageType;
  /** The call is over. Called once. */
  ended(call: GatewayCall): void;
}

/** Longer answers are for gRPC, or for pages: the gateway holds the encoded answer as a whole. */
export const MAX_ANSWER_BYTES = 256 << 20;

const DEADLINE_EXCEEDED: Status = {
  code: Code.DeadlineExceeded,
  message: "context deadline exceeded",
};

/**
 * One call that came as JSON. Its method is the one that gRPC serves: the request is turned into its wire form
 * and decoded, the answer is encoded and turned into JSON.
 *
 *   reading --the whole request--> handling --answer, error--> ended
 *        \--bad request, deadline, client gone--> ended <--deadline, client gone--/
 *
 * Invariant: the observer hears `handled` once for each `started`; what was taken of the budget is given back.
 */
export abstract class GatewayCall implements Call, Expiring {
  /** The gateway has no certificate of its own, and a client's says nothing here: as etcd. */
  readonly certificateName = undefined;
  readonly deadlineMs: number;
  /** Whether the answer is complete, or nobody waits for it. */
  isEnded = false;
  isCancelled = false;
  deadlineSlot = -1;
  previousDeadline: Expiring | undefined = undefined;
  nextDeadline: Expiring | undefined = undefined;
  readonly #traffic: StreamTraffic;
  readonly #beganMs: number;
  readonly #metadata: RequestMetadata;
  /** Of a request that is read as a whole; in the budget. */
  #gathered = new WireBuffer();
  #gatheredBytes = 0;
  #abort: AbortController | undefined = undefined;

  constructor(
    protected readonly host: CallHost,
    readonly method: Method,
    readonly peer: string,
    metadata: RequestMetadata,
    protected readonly sink: AnswerSink,
  ) {
    this.#metadata = metadata;
    this.#traffic = method.kind === "unary"
      ? newStreamTraffic()
      : host.observer.traffic(method.path);
    this.#beganMs = host.clock.monotonicMs();
    this.deadlineMs = this.#beganMs + metadata.timeoutMs;
    host.observer.started(method.path);
    host.deadlines.add(this);
  }

  get path(): string {
    return this.method.path;
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.isCancelled) this.#abort.abort();
    return this.#abort.signal;
  }

  metadata(name: string): string | undefined {
    return this.#metadata.get(name);
  }

  /** Some bytes of the request. */
  abstract onInput(chunk: Uint8Array): void;

  /** The request is complete. */
  abstract onInputEnd(): void;

  /** Tells the client how the call ended. */
  protected abstract sendEnd(status: Status): void;

  /** The call ended, and not by the handler. */
  protected abstract cancelled(): void;

  expire(): void {
    this.abort(DEADLINE_EXCEEDED);
  }

  /** Ends the call from the server's side. */
  abort(status: Status): void {
    if (this.isEnded) return;
    this.finish(status.code);
    this.sendEnd(status);
    this.#cancel();
  }

  /** The client went away. */
  gone(): void {
    if (this.isEnded) return;
    this.finish(Code.Canceled);
    this.#cancel();
  }

  /** Ends the call with what was thrown. */
  protected abortWith(error: unknown): void {
    if (this.isEnded) return;
    this.abort(this.#statusOf(error));
  }

  /** The handler is done. */
  protected finish(code: number): void {
    this.isEnded = true;
    this.#letGo();
    this.host.deadlines.remove(this);
    const durationMs = this.host.clock.monotonicMs() - this.#beganMs;
    // A stream's bytes are counted as they go.
    const { bytesIn, bytesOut } = this.method.kind === "unary"
      ? this.#traffic
      : newStreamTraffic();
    const { observer } = this.host;
    observer.handled(this.path, code, durationMs, bytesIn, bytesOut);
    this.host.ended(this);
  }

  /** Adds to a request that is read as a whole. */
  protected gather(chunk: Uint8Array): void {
    if (this.isEnded) return;
    try {
      this.host.budget.take(chunk.length);
      this.#gathered.add(chunk);
      this.#gatheredBytes += chunk.length;
      const { maxJsonBytes } = this.host;
      if (this.#gatheredBytes > maxJsonBytes) {
        throw tooLarge(this.#gatheredBytes, maxJsonBytes);
      }
    } catch (error) {
      this.abortWith(error);
    }
  }

  /** The request that was gathered. */
  protected decodeGathered(): { request: unknown; bytes: number } {
    const decoded = this.decode(this.#gathered.toBytes());
    this.#letGo();
    return decoded;
  }

  /** A request out of its JSON. Throws `JsonError`, `StatusError`, `WireError`. */
  protected decode(json: Uint8Array): { request: unknown; bytes: number } {
    const codec = this.method.request;
    const encoded = encodeJson(this.host.type(codec.name), textOfJson(json));
    const { maxReceiveBytes } = this.host;
    const bytes = encoded.length;
    this.#traffic.messagesIn++;
    this.#traffic.bytesIn += bytes;
    if (bytes > maxReceiveBytes) throw tooLarge(bytes, maxReceiveBytes);
    return { request: codec.decode(encoded), bytes };
  }

  protected encode(message: unknown): Uint8Array {
    const codec = this.method.response;
    const size = codec.size(message);
    if (size > MAX_ANSWER_BYTES) {
      throw new StatusError(
        Code.ResourceExhausted,
        `grpc: trying to send message larger than max (${size} vs. ${MAX_ANSWER_BYTES})`,
      );
    }
    const bytes = new Uint8Array(size);
    codec.write(message, bytes, 0);
    return bytes;
  }

  protected render(bytes: Uint8Array): JsonRenderer {
    this.#traffic.messagesOut++;
    this.#traffic.bytesOut += bytes.length;
    return new JsonRenderer(this.host.type(this.method.response.name), bytes);
  }

  #statusOf(error: unknown): Status {
    if (error instanceof JsonError) {
      return { code: Code.InvalidArgument, message: error.message };
    }
    if (error instanceof WireError) {
      const message = `grpc: error unmarshalling request: ${error.message}`;
      return { code: Code.Internal, message };
    }
    return this.host.mapError(error, this.path);
  }

  #letGo(): void {
    this.host.budget.giveBack(this.#gatheredBytes);
    this.#gathered = new WireBuffer();
    this.#gatheredBytes = 0;
  }

  #cancel(): void {
    this.isCancelled = true;
    this.#abort?.abort();
    this.cancelled();
  }
}
