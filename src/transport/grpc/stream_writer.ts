import { DomainError } from "../../base/errors.ts";
import { DEFAULT_HTTP2_LIMITS } from "../http2/limits.ts";
import type { ServerStream } from "../http2/server_stream.ts";
import { tooLargeToSend } from "./active_call.ts";
import type { Codec } from "./codec.ts";
import { PREFIX_BYTES, writePrefix } from "./message_frame.ts";
import { OK_HEAD, sendStatus, trailersOf } from "./response.ts";
import type { MessageWriter } from "./service.ts";
import { Code, type Status } from "./status.ts";

/** What `drained()` waits for. */
const LOW_WATER_BYTES = DEFAULT_HTTP2_LIMITS.lowWaterBytes;

const OK: Status = { code: Code.Ok, message: "" };

/**
 * The sending side of a streaming call: what the handler sends is queued behind flow control.
 *
 *   new --first message: HEADERS--> open --end(): trailers--> ended
 *     \--end(): HEADERS and trailers, in one for an error--/
 */
export class StreamWriter implements MessageWriter<unknown> {
  onDrain: (() => void) | undefined = undefined;
  /** Message bytes so far. */
  bytesOut = 0;
  readonly #stream: ServerStream;
  readonly #codec: Codec<unknown>;
  readonly #maxBytes: number;
  readonly #onEnd: (status: Status) => void;
  #isEnded = false;
  #hasHeaders = false;
  #waiting: PromiseWithResolvers<void>[] = [];

  /** `onEnd` is called when the handler ends the call. */
  constructor(
    stream: ServerStream,
    codec: Codec<unknown>,
    maxBytes: number,
    onEnd: (status: Status) => void,
  ) {
    this.#stream = stream;
    this.#codec = codec;
    this.#maxBytes = maxBytes;
    this.#onEnd = onEnd;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  get bufferedBytes(): number {
    return this.#stream.bufferedBytes;
  }

  send(message: unknown): void {
    if (this.#isEnded) return;
    const size = this.#codec.size(message);
    const framed = this.#frame(size);
    this.#codec.write(message, framed, PREFIX_BYTES);
    this.#send(framed);
  }

  sendEncoded(message: Uint8Array): void {
    if (this.#isEnded) return;
    const framed = this.#frame(message.length);
    framed.set(message, PREFIX_BYTES);
    this.#send(framed);
  }

  end(status: Status = OK): void {
    if (this.#isEnded) return;
    this.close();
    this.#onEnd(status);
    if (this.#hasHeaders) {
      this.#stream.sendTrailers(trailersOf(status));
    } else if (status.code === Code.Ok) {
      this.#stream.sendHeaders(OK_HEAD, false);
      this.#stream.sendTrailers(trailersOf(status));
    } else {
      sendStatus(this.#stream, status);
    }
  }

  drained(): Promise<void> {
    if (this.#isEnded) return Promise.reject(new DomainError("canceled"));
    if (this.bufferedBytes <= LOW_WATER_BYTES) return Promise.resolve();
    const waiting = Promise.withResolvers<void>();
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  // For the call.

  /** Flow control has let the queue go down to the low-water mark. */
  drain(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { resolve } of waiting) resolve();
    if (!this.#isEnded) this.onDrain?.();
  }

  /** Nothing can be sent any more. */
  close(): void {
    this.#isEnded = true;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { promise, reject } of waiting) {
      promise.catch(() => {}); // Whoever waited may have gone.
      reject(new DomainError("canceled"));
    }
  }

  #frame(size: number): Uint8Array {
    if (size > this.#maxBytes) throw tooLargeToSend(size, this.#maxBytes);
    const framed = new Uint8Array(PREFIX_BYTES + size);
    writePrefix(framed, 0, size);
    return framed;
  }

  #send(framed: Uint8Array): void {
    if (!this.#hasHeaders) {
      this.#hasHeaders = true;
      this.#stream.sendHeaders(OK_HEAD, false);
    }
    this.bytesOut += framed.length - PREFIX_BYTES;
    this.#stream.sendData(framed);
  }
}
