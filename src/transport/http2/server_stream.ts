import type { Connection } from "./connection.ts";
import type { DataQueue } from "./data_queue.ts";
import { ReceiveWindow } from "./flow_control.ts";
import type { HeaderBlock } from "./header_block.ts";
import type { BodySource, StreamReceiver } from "./stream_handler.ts";
import type { StreamSender } from "./stream_sender.ts";

/**
 * How far each side has come (RFC 9113 §5.1). A stream exists from the moment the client opened it:
 *
 *            open ──client ends──▶ half-closed (remote)
 *             │                            │
 *          we end: RST_STREAM(NO_ERROR)   we end
 *             ▼                            ▼
 *           gone ◀───── RST_STREAM ─────  gone
 *
 * `LocalEnded` means that the end is written or queued; with DATA in the queue the stream is not gone yet.
 */
export const StreamState = {
  RemoteEnded: 1,
  LocalEnded: 2,
  Gone: 4,
  HeadersSent: 8,
} as const;

/** One request and its response. What may be sent, and when, is documented in `stream_handler.ts`. */
export class ServerStream {
  receiver: StreamReceiver | undefined = undefined;
  /** DATA bytes queued behind flow control or a full socket. Written by the sender only. */
  bufferedBytes = 0;

  // What follows belongs to the connection and its sender.

  /** Bits of `StreamState`. */
  state = 0;
  sendWindow: number;
  readonly receiveWindow: ReceiveWindow;
  /** Received, but not yet `consumed`. */
  unconsumed = 0;
  /** What content-length still promises; -1: nothing was promised. */
  contentLeft: number;
  queue: DataQueue | undefined = undefined;
  /** Follows the queue. */
  trailers: HeaderBlock | undefined = undefined;
  /** Neighbours in the sender's ring of streams that can go on. */
  isReady = false;
  nextReady: ServerStream | undefined = undefined;
  previousReady: ServerStream | undefined = undefined;

  readonly #sender: StreamSender;

  constructor(
    readonly connection: Connection,
    readonly id: number,
    sender: StreamSender,
    sendWindow: number,
    receiveWindow: number,
    contentLength: number,
  ) {
    this.#sender = sender;
    this.sendWindow = sendWindow;
    this.receiveWindow = new ReceiveWindow(receiveWindow);
    this.contentLeft = contentLength;
  }

  /** Nothing can be sent any more: its end is written or queued, or it was reset. */
  get isClosed(): boolean {
    return (this.state & (StreamState.LocalEnded | StreamState.Gone)) !== 0;
  }

  /** Gives receive window back, for bytes that `onData` brought. Does nothing once the stream is gone. */
  consumed(bytes: number): void {
    if ((this.state & StreamState.Gone) === 0) {
      this.connection.release(this, bytes);
    }
  }

  /** Once, before anything else. */
  sendHeaders(block: HeaderBlock, endStream: boolean): void {
    if (!this.isClosed) this.#sender.sendHeaders(this, block, endStream);
  }

  /**
   * Queues; the bytes must not change afterwards. They are kept as they are, so that many streams may share them;
   * `prefix` goes before them and is short.
   */
  sendData(bytes: Uint8Array, prefix?: Uint8Array): void {
    if (!this.isClosed) this.#sender.sendData(this, bytes, prefix);
  }

  /** After all DATA; ends the stream. */
  sendTrailers(block: HeaderBlock): void {
    if (!this.isClosed) this.#sender.sendTrailers(this, block);
  }

  /** HEADERS, `length` bytes of DATA and trailers at once; written in place where the windows allow. */
  respond(
    head: HeaderBlock,
    length: number,
    body: BodySource,
    tail: HeaderBlock,
  ): void {
    if (!this.isClosed) this.#sender.respond(this, head, length, body, tail);
  }

  /** RST_STREAM. The receiver's `onReset` is called unless the stream is gone already. */
  reset(code: number): void {
    if ((this.state & StreamState.Gone) === 0) {
      this.connection.resetStream(this, code);
    }
  }
}
