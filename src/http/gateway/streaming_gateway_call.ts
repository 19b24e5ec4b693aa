import { DomainError } from "../../base/errors.ts";
import { DEFAULT_HTTP2_LIMITS } from "../../transport/http2/limits.ts";
import type {
  DuplexMethod,
  MessageReceiver,
  MessageWriter,
  Method,
  ServerStreamMethod,
} from "../../transport/grpc/service.ts";
import { Code, type Status } from "../../transport/grpc/status.ts";
import type { AnswerSink, Input } from "./answer_sink.ts";
import { type CallHost, GatewayCall } from "./gateway_call.ts";
import { JsonSplitter } from "./json_splitter.ts";
import { JsonError } from "./json_syntax.ts";
import type { RequestMetadata } from "./request_metadata.ts";

/** What `drained()` waits for. */
const LOW_WATER_BYTES = DEFAULT_HTTP2_LIMITS.lowWaterBytes;

/** With more than this queued for a client that does not read its answers, no more is read of what it asks. */
const HOLD_ABOVE_BYTES = 1 << 20;

const OK: Status = { code: Code.Ok, message: "" };

/** A call with a stream of answers, and the writer that its handler sends them with. */
abstract class StreamingGatewayCall extends GatewayCall
  implements MessageWriter<unknown> {
  onDrain: (() => void) | undefined = undefined;
  #waiting: PromiseWithResolvers<void>[] = [];

  constructor(
    host: CallHost,
    method: Method,
    peer: string,
    metadata: RequestMetadata,
    sink: AnswerSink,
  ) {
    super(host, method, peer, metadata, sink);
    sink.onDrain = () => this.drain();
  }

  // What the handler sends.

  send(message: unknown): void {
    if (!this.isEnded) this.sendEncoded(this.encode(message));
  }

  sendEncoded(message: Uint8Array): void {
    if (!this.isEnded) this.sink.result(this.render(message));
  }

  end(status: Status = OK): void {
    if (this.isEnded) return;
    this.finish(status.code);
    this.sendEnd(status);
    this.letGo();
  }

  get bufferedBytes(): number {
    return this.sink.bufferedBytes;
  }

  drained(): Promise<void> {
    if (this.isEnded) return Promise.reject(new DomainError("canceled"));
    if (this.bufferedBytes <= LOW_WATER_BYTES) return Promise.resolve();
    const waiting = Promise.withResolvers<void>();
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  // For the gateway.

  protected drain(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { resolve } of waiting) resolve();
    if (!this.isEnded) this.onDrain?.();
  }

  protected override sendEnd(status: Status): void {
    this.sink.end(status);
  }

  protected override cancelled(): void {
    this.letGo();
  }

  /** Nothing can be sent any more. */
  protected letGo(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { promise, reject } of waiting) {
      promise.catch(() => {}); // Whoever waited may have gone.
      reject(new DomainError("canceled"));
    }
  }
}

/** One request, many answers. The handler starts when the request is complete. */
export class ServerStreamGatewayCall extends StreamingGatewayCall {
  /** Whether there was no request to make a stream of. */
  #isRefused = false;

  override onInput(chunk: Uint8Array): void {
    this.gather(chunk);
  }

  override onInputEnd(): void {
    if (this.isEnded) return;
    const method = this.method as ServerStreamMethod<unknown, unknown>;
    let request;
    try {
      ({ request } = this.decodeGathered());
    } catch (error) {
      this.#isRefused = true;
      return this.abortWith(error);
    }
    let done;
    try {
      done = method.handle(request, this, this);
    } catch (error) {
      return this.abortWith(error);
    }
    done.then(() => this.end(), (error) => this.abortWith(error));
  }

  protected override sendEnd(status: Status): void {
    if (this.#isRefused) this.sink.refuse(status);
    else super.sendEnd(status);
  }
}

/** Messages both ways. The handler takes each message as it comes; the end of the request does not end the call. */
export class DuplexGatewayCall extends StreamingGatewayCall {
  readonly #input: Input;
  readonly #splitter: JsonSplitter;
  #receiver: MessageReceiver<unknown> | undefined = undefined;
  #isHeld = false;

  constructor(
    host: CallHost,
    method: Method,
    peer: string,
    metadata: RequestMetadata,
    sink: AnswerSink,
    input: Input,
  ) {
    super(host, method, peer, metadata, sink);
    this.#input = input;
    this.#splitter = new JsonSplitter(host.maxJsonBytes, host.budget);
  }

  /** Opens the handler. */
  open(): void {
    const method = this.method as DuplexMethod<unknown, unknown>;
    try {
      this.#receiver = method.open(this, this);
    } catch (error) {
      this.abortWith(error);
    }
  }

  override onInput(chunk: Uint8Array): void {
    if (this.isEnded) return;
    try {
      this.#splitter.push(chunk);
      for (;;) {
        const json = this.#splitter.next();
        if (json === undefined) break;
        const { request } = this.decode(json);
        this.#receiver?.onMessage(request);
        if (this.isEnded) return;
      }
    } catch (error) {
      return this.abortWith(error);
    }
    if (this.bufferedBytes > HOLD_ABOVE_BYTES) {
      this.#isHeld = true;
      this.#input.pause();
    }
  }

  override onInputEnd(): void {
    if (this.isEnded) return;
    try {
      if (!this.#splitter.isEmpty) throw new JsonError("unexpected EOF");
      this.#receiver?.onHalfClose();
    } catch (error) {
      this.abortWith(error);
    }
  }

  protected override drain(): void {
    if (this.#isHeld) {
      this.#isHeld = false;
      this.#input.resume();
    }
    super.drain();
  }

  protected override letGo(): void {
    super.letGo();
    this.#splitter.close();
  }

  protected override cancelled(): void {
    super.cancelled();
    this.#receiver?.onCancel();
  }
}
