import type { ServerStream } from "../http2/server_stream.ts";
import type { StreamReceiver } from "../http2/stream_handler.ts";
import { ActiveCall, type CallHost } from "./active_call.ts";
import { type CallHead, DEADLINE_EXCEEDED } from "./call_head.ts";
import { MessageReader } from "./message_reader.ts";
import type {
  DuplexMethod,
  MessageReceiver,
  ServerStreamMethod,
  StreamTraffic,
} from "./service.ts";
import { SingleMessage, unexpectedEof } from "./single_message.ts";
import { Code, type Status } from "./status.ts";
import { StreamWriter } from "./stream_writer.ts";

/**
 * With more than this queued for a client that does not read its answers, the window of what it sends is held back,
 * so that it cannot make the queue grow for ever. Must be above the low-water mark, where it is given back.
 */
const HOLD_ABOVE_BYTES = 1 << 20;

/**
 * One streaming call, as its stream and its handler see it. A `ServerStreamCall` and a `DuplexCall` differ in what
 * they do with the request.
 *
 *   open --the handler ends it--> ended
 *   open --deadline, broken request, abort(), reset: the handler is told--> ended
 */
export abstract class StreamCall extends ActiveCall implements StreamReceiver {
  protected readonly out: StreamWriter;
  readonly #traffic: StreamTraffic;

  constructor(
    host: CallHost,
    head: CallHead,
    stream: ServerStream,
    beganMs: number,
    deadlineMs: number,
  ) {
    super(host, head, stream, beganMs, deadlineMs);
    const { path, response } = head.method;
    this.#traffic = host.traffic(path);
    this.out = new StreamWriter(stream, response, {
      maxBytes: host.maxSendBytes,
      traffic: this.#traffic,
      onEnd: (status) => this.#end(status.code),
    });
  }

  abstract onData(
    stream: ServerStream,
    chunk: Uint8Array,
    endStream: boolean,
  ): void;

  /** The request is complete. */
  abstract onHalfClose(): void;

  /** Lets go of what has come of the request. */
  protected abstract closeRequest(): void;

  /** The call ended, and not by the handler. */
  protected abstract cancelled(): void;

  onTrailers(): void {
    this.onHalfClose();
  }

  onReset(): void {
    if (this.out.isEnded) return;
    this.out.close();
    this.#end(Code.Canceled);
    this.cancel();
    this.cancelled();
  }

  onDrain(_stream: ServerStream): void {
    this.out.drain();
  }

  override expire(): void {
    this.abort(DEADLINE_EXCEEDED);
  }

  /** Ends the call from the server's side. */
  abort(status: Status): void {
    if (this.out.isEnded) return;
    this.out.end(status);
    this.cancel();
    this.cancelled();
  }

  protected abortWith(error: unknown): void {
    if (!this.out.isEnded) this.abort(this.host.mapError(error, this.path));
  }

  /** Undefined if the call is over because of it. */
  protected decode(bytes: Uint8Array): unknown {
    this.#traffic.messagesIn++;
    this.#traffic.bytesIn += bytes.length;
    try {
      return this.head.method.request.decode(bytes);
    } catch (error) {
      const what = "failed to unmarshal the received message";
      this.abort(this.decodeStatus(error, what));
      return undefined;
    }
  }

  #end(code: number): void {
    this.closeRequest();
    this.host.ended(this, code, 0, 0);
  }
}

/** One request, many answers. The handler starts when the request is complete. */
export class ServerStreamCall extends StreamCall {
  #request: SingleMessage | undefined = undefined;

  override onData(
    stream: ServerStream,
    chunk: Uint8Array,
    endStream: boolean,
  ): void {
    stream.consumed(chunk.length);
    if (this.out.isEnded) return;
    try {
      this.#request ??= new SingleMessage(this.readerOptions());
      this.#request.add(chunk);
    } catch (error) {
      return this.abortWith(error);
    }
    if (endStream) this.onHalfClose();
  }

  override onHalfClose(): void {
    if (this.out.isEnded) return;
    let message;
    try {
      this.#request ??= new SingleMessage(this.readerOptions());
      message = this.#request.finish();
    } catch (error) {
      return this.abortWith(error);
    }
    const request = this.decode(message);
    if (this.out.isEnded) return;
    const method = this.head.method as ServerStreamMethod<unknown, unknown>;
    let done;
    try {
      done = method.handle(request, this, this.out);
    } catch (error) {
      return this.#failed(error);
    }
    done.then(() => this.out.end(), (error) => this.#failed(error));
  }

  protected override closeRequest(): void {
    this.#request?.close();
  }

  protected override cancelled(): void {
    // The handler sees `signal` and `isCancelled`, and its writer does nothing any more.
  }

  #failed(error: unknown): void {
    if (this.out.isEnded) return;
    this.out.end(this.host.mapError(error, this.path));
  }
}

/** Messages both ways. The handler takes each message as it comes. */
export class DuplexCall extends StreamCall {
  #receiver: MessageReceiver<unknown> | undefined = undefined;
  #reader: MessageReader | undefined = undefined;
  /** Window that is held back. */
  #heldBytes = 0;

  /** Opens the handler. */
  open(): void {
    const method = this.head.method as DuplexMethod<unknown, unknown>;
    try {
      this.#receiver = method.open(this, this.out);
    } catch (error) {
      this.abortWith(error);
    }
  }

  override onData(
    stream: ServerStream,
    chunk: Uint8Array,
    endStream: boolean,
  ): void {
    if (!this.out.isEnded) this.#read(chunk);
    if (this.out.bufferedBytes > HOLD_ABOVE_BYTES && !this.out.isEnded) {
      this.#heldBytes += chunk.length;
    } else {
      stream.consumed(chunk.length);
    }
    if (endStream) this.onHalfClose();
  }

  override onHalfClose(): void {
    if (this.out.isEnded) return;
    if (this.#reader?.isEmpty === false) {
      return this.abortWith(unexpectedEof());
    }
    try {
      this.#receiver?.onHalfClose();
    } catch (error) {
      this.abortWith(error);
    }
  }

  override onDrain(stream: ServerStream): void {
    const held = this.#heldBytes;
    this.#heldBytes = 0;
    if (held > 0) stream.consumed(held);
    super.onDrain(stream);
  }

  protected override closeRequest(): void {
    this.#reader?.close();
  }

  protected override cancelled(): void {
    this.#receiver?.onCancel();
  }

  #read(chunk: Uint8Array): void {
    try {
      const reader = this.#reader ??= new MessageReader(this.readerOptions());
      reader.push(chunk);
      while (!this.out.isEnded) {
        const message = reader.next();
        if (message === undefined) return;
        const request = this.decode(message);
        if (!this.out.isEnded) this.#receiver?.onMessage(request);
      }
    } catch (error) {
      this.abortWith(error);
    }
  }
}
