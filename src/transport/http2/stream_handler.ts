import type { HeaderBlock } from "./header_block.ts";
import type { ServerStream } from "./server_stream.ts";

/** What a client asked for: the pseudo-headers and the rest, in order, names in lower case. */
export interface RequestHeaders {
  readonly method: string;
  readonly path: string;
  readonly scheme: string;
  readonly authority: string;
  /** Regular fields as [name, value, name, value, …]; values are latin1 strings, repeated names stay apart. */
  readonly fields: readonly string[];
}

/**
 * What a `Connection` tells of its streams. Implemented by the gRPC server.
 * Called synchronously while a chunk is parsed.
 */
export interface StreamHandler {
  /**
   * A request's header section is complete. Set `stream.receiver` here unless `endStream` is true.
   * `headers` is immutable and may be the same object for many requests: HPACK blocks that repeat
   * are decoded once.
   */
  onRequest(
    stream: ServerStream,
    headers: RequestHeaders,
    endStream: boolean,
  ): void;
}

/** What a stream tells of the rest of its life. */
export interface StreamReceiver {
  /**
   * A DATA frame's payload without its padding. The bytes are never overwritten afterwards: a view may be kept.
   * Flow control: the connection and stream windows are given back when the receiver calls `stream.consumed(n)`.
   */
  onData(stream: ServerStream, chunk: Uint8Array, endStream: boolean): void;
  /** The request ended with a trailer section instead of a DATA frame. */
  onTrailers(stream: ServerStream, fields: readonly string[]): void;
  /**
   * The stream is gone before both sides ended it: RST_STREAM either way, or the connection closed.
   * `code` is an HTTP/2 error code. Nothing can be sent any more. Called at most once.
   */
  onReset(stream: ServerStream, code: number): void;
  /** Bytes queued for the stream fell to `lowWaterBytes` or below after having been above it. */
  onDrain(stream: ServerStream): void;
}

/** Bytes that are written straight into the connection's output buffer when flow control allows. */
export interface BodySource {
  /** Writes exactly the promised number of bytes into `out` at `at`. */
  writeTo(out: Uint8Array, at: number): void;
  /**
   * For a body that has to wait for flow control: writes it in pieces, as they are sent, so that it is never
   * whole in memory. Undefined if it is to be written at once and queued.
   */
  reader?(): BodyReader | undefined;
}

/** A body in pieces. What it is made of must not change any more. */
export interface BodyReader {
  /** Writes the next `length` bytes of the body into `out` at `at`. */
  read(out: Uint8Array, at: number, length: number): void;
}

/**
 * The sending half of a stream, implemented by `ServerStream`:
 *
 *   readonly id: number
 *   receiver: StreamReceiver | undefined
 *   readonly connection: Connection
 *   readonly isClosed: boolean             // nothing can be sent any more
 *   readonly bufferedBytes: number         // DATA bytes queued behind flow control
 *   consumed(bytes: number): void          // gives receive window back (WINDOW_UPDATE gathered per turn)
 *   sendHeaders(block: HeaderBlock, endStream: boolean): void
 *   sendData(bytes: Uint8Array, prefix?: Uint8Array): void
 *       // queues; the bytes must not change afterwards
 *   sendTrailers(block: HeaderBlock): void // after all queued DATA, ends the stream
 *   respond(head: HeaderBlock, length: number, body: BodySource, tail: HeaderBlock): void
 *       // the unary fast path: HEADERS, one message in DATA, trailers, written in place into the
 *       // connection's output buffer where the windows and SETTINGS_MAX_FRAME_SIZE allow; queued otherwise
 *   reset(code: number): void              // RST_STREAM
 */
export type { HeaderBlock, ServerStream };
