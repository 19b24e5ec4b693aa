import {
  decodeResponseHeader,
  decodeWatchResponse,
} from "../../../src/pb/etcdserverpb.ts";
import { decodeEvent, type Event } from "../../../src/pb/mvccpb.ts";
import type { WatchWriter } from "../../../src/watch/watch_stream.ts";

const LOW_WATER_BYTES = 64 << 10;

/** A response as a client sees it. */
export interface Received {
  readonly revision: number;
  /** The id as a number, and with all its bits. */
  readonly watchId: number;
  readonly watchId64: bigint;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compactRevision: number;
  readonly cancelReason: string;
  readonly fragment: boolean;
  readonly events: readonly Event[];
  readonly bytes: number;
}

/** A stream whose client reads when the test lets it. */
export class FakeWriter implements WatchWriter {
  onDrain: (() => void) | undefined = undefined;
  isReading = true;
  bufferedBytes = 0;
  maxBufferedBytes = 0;
  maxMessageBytes = 0;
  /** Called on each message, before it is taken. */
  onSend: () => void = () => {};
  readonly sent: Uint8Array[] = [];
  #read = 0;

  sendEncoded(message: Uint8Array): void {
    this.onSend();
    this.sent.push(message);
    this.maxMessageBytes = Math.max(this.maxMessageBytes, message.length);
    if (this.isReading) return;
    this.bufferedBytes += message.length;
    this.maxBufferedBytes = Math.max(this.maxBufferedBytes, this.bufferedBytes);
  }

  /** The client has read everything that was sent so far. */
  drain(): void {
    const wasAbove = this.bufferedBytes > LOW_WATER_BYTES;
    this.bufferedBytes = 0;
    if (wasAbove) this.onDrain?.();
  }

  /** What was sent since the last call. */
  take(): Received[] {
    const received = this.sent.slice(this.#read).map(decode);
    this.#read = this.sent.length;
    return received;
  }
}

export function decode(message: Uint8Array): Received {
  const { header, events, watchId, ...rest } = decodeWatchResponse(message);
  return {
    ...rest,
    watchId: Number(watchId),
    watchId64: watchId,
    revision: decodeResponseHeader(header!).revision,
    events: events.map((event) => decodeEvent(event)),
    bytes: message.length,
  };
}
