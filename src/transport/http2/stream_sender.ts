import { assert } from "../../base/assert.ts";
import { EMPTY } from "../../base/bytes.ts";
import { DataQueue } from "./data_queue.ts";
import { INITIAL_WINDOW_SIZE, MAX_WINDOW_SIZE } from "./flow_control.ts";
import { ErrorCode, MIN_MAX_FRAME_SIZE } from "./frame.ts";
import type { FrameWriter } from "./frame_writer.ts";
import type { HeaderBlock } from "./header_block.ts";
import { Encoder } from "./hpack/encoder.ts";
import type { OutputBuffer } from "./output_buffer.ts";
import { type ServerStream, StreamState } from "./server_stream.ts";
import type { BodySource } from "./stream_handler.ts";

/**
 * Longest DATA frame, whatever the peer would take: the turn of one stream among several that have much to send, and
 * the smallest value that SETTINGS_MAX_FRAME_SIZE can have.
 */
const MAX_DATA_BYTES = MIN_MAX_FRAME_SIZE;

/** What the sender needs of its connection. */
export interface SenderHost {
  /** END_STREAM was written. */
  localEnded(stream: ServerStream): void;
  /** Something was written or queued: a flush must follow. */
  scheduleFlush(): void;
}

/**
 * Sends what streams have to say, within the windows of the peer and while the socket takes it.
 *
 * What fits is written into the output at once. The rest waits in its stream; streams that could go on are in a ring
 * and take turns of one frame in `pump`, so that a large answer delays a small one by one frame per stream.
 * Invariant: a stream is in the ring if and only if it has DATA queued and its window is open.
 */
export class StreamSender {
  /** DATA bytes queued in all streams. */
  bufferedBytes = 0;
  /** The socket is full: DATA stays in the queues. */
  isCongested = false;
  /** The connection's send window. */
  window = INITIAL_WINDOW_SIZE;
  /** The peer's SETTINGS_MAX_FRAME_SIZE. */
  maxFrameSize = MIN_MAX_FRAME_SIZE;
  readonly encoder = new Encoder();
  readonly #host: SenderHost;
  readonly #out: OutputBuffer;
  readonly #writer: FrameWriter;
  readonly #lowWaterBytes: number;
  #firstReady: ServerStream | undefined = undefined;
  #lastReady: ServerStream | undefined = undefined;

  constructor(
    host: SenderHost,
    out: OutputBuffer,
    writer: FrameWriter,
    options: { lowWaterBytes: number },
  ) {
    this.#host = host;
    this.#out = out;
    this.#writer = writer;
    this.#lowWaterBytes = options.lowWaterBytes;
  }

  respond(
    stream: ServerStream,
    head: HeaderBlock,
    length: number,
    body: BodySource,
    tail: HeaderBlock,
  ): void {
    this.#headers(stream, head, false);
    if (this.#fits(stream, length)) {
      const at = this.#writer.beginData(stream.id, length);
      this.#writeBody(stream, body, this.#out.bytes, at);
      this.#sent(stream, at, length);
      this.#end(stream, tail);
    } else {
      const reader = body.reader?.();
      if (reader !== undefined) {
        this.#queueOf(stream).pushReader(reader, length);
      } else {
        const bytes = new Uint8Array(length);
        this.#writeBody(stream, body, bytes, 0);
        this.#queueOf(stream).push(bytes);
      }
      this.#queued(stream, length);
      this.sendTrailers(stream, tail);
    }
    this.#host.scheduleFlush();
  }

  sendHeaders(
    stream: ServerStream,
    block: HeaderBlock,
    endStream: boolean,
  ): void {
    if (endStream) stream.state |= StreamState.LocalEnded;
    this.#headers(stream, block, endStream);
    if (endStream) this.#host.localEnded(stream);
    this.#host.scheduleFlush();
  }

  /** `prefix` and `bytes` are one piece, which is not put together before it leaves. */
  sendData(
    stream: ServerStream,
    bytes: Uint8Array,
    prefix: Uint8Array = EMPTY,
  ): void {
    assert(stream.state & StreamState.HeadersSent, "DATA before HEADERS");
    const length = prefix.length + bytes.length;
    if (length === 0) return;
    if (stream.bufferedBytes === 0 && this.#fits(stream, length)) {
      const at = this.#writer.beginData(stream.id, length);
      const out = this.#out.bytes;
      for (let i = 0; i < prefix.length; i++) out[at + i] = prefix[i]!;
      out.set(bytes, at + prefix.length);
      this.#sent(stream, at, length);
    } else {
      const queue = this.#queueOf(stream);
      queue.push(prefix);
      queue.push(bytes);
      this.#queued(stream, length);
    }
    this.#host.scheduleFlush();
  }

  sendTrailers(stream: ServerStream, block: HeaderBlock): void {
    assert(stream.state & StreamState.HeadersSent, "trailers before HEADERS");
    if (stream.bufferedBytes === 0) {
      this.#end(stream, block);
    } else {
      stream.state |= StreamState.LocalEnded;
      stream.trailers = block;
    }
    this.#host.scheduleFlush();
  }

  /** Adds to the connection's window; false if it would exceed 2^31-1. */
  growWindow(increment: number): boolean {
    if (this.window + increment > MAX_WINDOW_SIZE) return false;
    this.window += increment;
    return true;
  }

  /** Adds to a stream's window, which SETTINGS can also shrink below zero; false if it would exceed 2^31-1. */
  growStreamWindow(stream: ServerStream, increment: number): boolean {
    const window = stream.sendWindow + increment;
    if (window > MAX_WINDOW_SIZE) return false;
    stream.sendWindow = window;
    if (stream.bufferedBytes > 0) {
      if (window > 0) this.#addReady(stream);
      else this.#removeReady(stream);
    }
    return true;
  }

  /** Sends queued DATA until it is gone, the connection's window is used up or the socket is full. */
  pump(): void {
    while (
      this.#firstReady !== undefined && this.window > 0 && !this.isCongested
    ) {
      const stream = this.#firstReady;
      this.#removeReady(stream);
      this.#sendQueued(stream);
    }
  }

  /** Forgets what the stream has queued. */
  drop(stream: ServerStream): void {
    this.#removeReady(stream);
    this.bufferedBytes -= stream.bufferedBytes;
    stream.bufferedBytes = 0;
    stream.queue = undefined;
    stream.trailers = undefined;
  }

  #headers(
    stream: ServerStream,
    block: HeaderBlock,
    endStream: boolean,
  ): void {
    assert(!(stream.state & StreamState.HeadersSent), "HEADERS sent twice");
    stream.state |= StreamState.HeadersSent;
    const bytes = this.encoder.encode(block);
    this.#writer.headers(stream.id, bytes, endStream, this.maxFrameSize);
  }

  /** A body that cannot be written costs its stream and nothing else: what is not committed was never there. */
  #writeBody(
    stream: ServerStream,
    body: BodySource,
    out: Uint8Array,
    at: number,
  ): void {
    try {
      body.writeTo(out, at);
    } catch (error) {
      stream.reset(ErrorCode.InternalError);
      throw error;
    }
  }

  /** Trailers without fields are no trailers. */
  #end(stream: ServerStream, trailers: HeaderBlock): void {
    stream.state |= StreamState.LocalEnded;
    if (trailers.fields.length === 0) {
      // A HEADERS frame without fields is an error to older clients in Go (golang.org/x/net).
      this.#writer.endData(stream.id);
    } else {
      const bytes = this.encoder.encode(trailers);
      this.#writer.headers(stream.id, bytes, true, this.maxFrameSize);
    }
    this.#host.localEnded(stream);
  }

  #fits(stream: ServerStream, length: number): boolean {
    return length <= MAX_DATA_BYTES && length <= stream.sendWindow &&
      length <= this.window && !this.isCongested;
  }

  /** Counts a DATA frame whose payload was written at `at`. */
  #sent(stream: ServerStream, at: number, length: number): void {
    this.#out.commit(at + length);
    stream.sendWindow -= length;
    this.window -= length;
  }

  #queueOf(stream: ServerStream): DataQueue {
    return stream.queue ??= new DataQueue();
  }

  #queued(stream: ServerStream, length: number): void {
    stream.bufferedBytes += length;
    this.bufferedBytes += length;
    if (stream.sendWindow > 0) this.#addReady(stream);
  }

  #sendQueued(stream: ServerStream): void {
    const before = stream.bufferedBytes;
    const length = Math.min(
      before,
      stream.sendWindow,
      this.window,
      MAX_DATA_BYTES,
    );
    const at = this.#writer.beginData(stream.id, length);
    stream.queue!.moveTo(this.#out.bytes, at, length);
    this.#sent(stream, at, length);
    const after = before - length;
    stream.bufferedBytes = after;
    this.bufferedBytes -= length;
    if (after > 0) {
      if (stream.sendWindow > 0) this.#addReady(stream);
    } else {
      stream.queue = undefined;
      if (stream.trailers !== undefined) {
        return this.#end(stream, stream.trailers);
      }
    }
    const low = this.#lowWaterBytes;
    if (before > low && after <= low && !stream.isClosed) {
      stream.receiver?.onDrain(stream);
    }
  }

  #addReady(stream: ServerStream): void {
    if (stream.isReady) return;
    stream.isReady = true;
    stream.previousReady = this.#lastReady;
    if (this.#lastReady === undefined) this.#firstReady = stream;
    else this.#lastReady.nextReady = stream;
    this.#lastReady = stream;
  }

  #removeReady(stream: ServerStream): void {
    if (!stream.isReady) return;
    const { previousReady, nextReady } = stream;
    if (previousReady === undefined) this.#firstReady = nextReady;
    else previousReady.nextReady = nextReady;
    if (nextReady === undefined) this.#lastReady = previousReady;
    else nextReady.previousReady = previousReady;
    stream.isReady = false;
    stream.nextReady = undefined;
    stream.previousReady = undefined;
  }
}
