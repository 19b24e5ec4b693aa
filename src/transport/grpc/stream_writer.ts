import { DomainError } from "../../base/errors.ts";
import { DEFAULT_HTTP2_LIMITS } from "../http2/limits.ts";
import type { ServerStream } from "../http2/server_stream.ts";
import { tooLargeToSend } from "./active_call.ts";
import type { Codec } from "./codec.ts";
import { PREFIX_BYTES, writePrefix } from "./message_frame.ts";
import { OK_HEAD, sendStatus, trailersOf } from "./response.ts";
import type { MessageWriter, StreamTraffic } from "./service.ts";
import { Code, type Status } from "./status.ts";

/** What `drained()` waits for. */
const LOW_WATER_BYTES = DEFAULT_HTTP2_LIMITS.lowWaterBytes;

/**
 * While the streams of a connection have more than this queued together, each of them counts as full once it is above
 * the low-water mark: a client that reads nothing on thousands of watches costs 64 KiB for each of them, and not the
 * megabyte that one alone may have. Below the mark none may count as full: `drained` and `onDrain` would not come.
 */
const FULL_CONNECTION_BYTES = 16 << 20;

const OK: Status = { code: Code.Ok, message: "" };

export interface StreamWriterOptions {
  /** A message's size. */
  readonly maxBytes: number;
  readonly traffic: StreamTraffic;
  /** Called when the handler ends the call. */
  readonly onEnd: (status: Status) => void;
}

/**
 * The sending side of a streaming call: what the handler sends is queued behind flow control.
 *
 *   new --first message: HEADERS--> open --end(): trailers--> ended
 *     \--end(): HEADERS and trailers in one--/
 */
export class StreamWriter implements MessageWriter<unknown> {
  onDrain: (() => void) | undefined = undefined;
  readonly #stream: ServerStream;
  readonly #codec: Codec<unknown>;
  readonly #maxBytes: number;
  readonly #traffic: StreamTraffic;
  readonly #onEnd: (status: Status) => void;
  #isEnded = false;
  #hasHeaders = false;
  #waiting: PromiseWithResolvers<void>[] = [];

  constructor(
    stream: ServerStream,
    codec: Codec<unknown>,
    { maxBytes, traffic, onEnd }: StreamWriterOptions,
  ) {
    this.#stream = stream;
    this.#codec = codec;
    this.#maxBytes = maxBytes;
    this.#traffic = traffic;
    this.#onEnd = onEnd;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Infinity while the connection is full, and this stream has its part in it. */
  get bufferedBytes(): number {
    const { bufferedBytes, connection } = this.#stream;
    return bufferedBytes > LOW_WATER_BYTES &&
        connection.bufferedBytes > FULL_CONNECTION_BYTES
      ? Infinity
      : bufferedBytes;
  }

  send(message: unknown): void {
    if (this.#isEnded) return;
    const size = this.#codec.size(message);
    const framed = new Uint8Array(PREFIX_BYTES + this.#checked(size));
    writePrefix(framed, 0, size);
    this.#codec.write(message, framed, PREFIX_BYTES);
    this.#begin(size);
    this.#stream.sendData(framed);
  }

  /** The message is queued as it is: one that goes to a thousand watchers that do not read is there once. */
  sendEncoded(message: Uint8Array): void {
    if (this.#isEnded) return;
    const size = this.#checked(message.length);
    const prefix = new Uint8Array(PREFIX_BYTES);
    writePrefix(prefix, 0, size);
    this.#begin(size);
    this.#stream.sendData(message, prefix);
  }

  end(status: Status = OK): void {
    if (this.#isEnded) return;
    this.close();
    this.#onEnd(status);
    if (this.#hasHeaders) this.#stream.sendTrailers(trailersOf(status));
    else sendStatus(this.#stream, status);
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

  #checked(size: number): number {
    if (size > this.#maxBytes) throw tooLargeToSend(size, this.#maxBytes);
    return size;
  }

  /** Counts a message; the first one has the headers before it. */
  #begin(size: number): void {
    this.#traffic.messagesOut++;
    this.#traffic.bytesOut += size;
    if (this.#hasHeaders) return;
    this.#hasHeaders = true;
    this.#stream.sendHeaders(OK_HEAD, false);
  }
}
