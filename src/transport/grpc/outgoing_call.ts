import { EMPTY } from "../../base/bytes.ts";
import {
  CLIENT_PREFACE,
  ErrorCode,
  Flag,
  FRAME_HEADER_BYTES,
  FrameType,
  MAX_STREAM_ID,
  MIN_MAX_FRAME_SIZE,
  readUint32,
  SettingId,
  writeFrameHeader,
  writeUint32,
} from "../http2/frame.ts";
import { type FrameHandler, FrameReader } from "../http2/frame_reader.ts";
import { HeaderBlock } from "../http2/header_block.ts";
import { Decoder } from "../http2/hpack/decoder.ts";
import { PREFIX_BYTES, writePrefix } from "./message_frame.ts";
import { MessageReader } from "./message_reader.ts";
import { ReceiveBudget } from "./receive_budget.ts";
import { Code, type Status } from "./status.ts";

/** What a call begins with. */
export interface OutgoingHead {
  readonly scheme: "http" | "https";
  readonly authority: string;
  readonly path: string;
  /** Names in lower case, and values in ASCII. */
  readonly metadata: Readonly<Record<string, string>>;
}

export interface OutgoingCallListener {
  /** Bytes for the server, to be sent in order; they do not change any more. */
  write(bytes: Uint8Array): void;
  /** A message; a view that is not overwritten. */
  onMessage(message: Uint8Array): void;
  /** The call is over, and the connection has served its purpose. Called once, unless `cancel` came first. */
  onEnd(status: Status): void;
}

/** The only stream of its connection. */
const STREAM_ID = 1;
/** What is received is taken at once: the window is never to hold the server back. */
const RECEIVE_WINDOW_BYTES = 2 ** 31 - 1;
const REFILL_BYTES = 64 << 20;
const INITIAL_WINDOW_BYTES = 65_535;
/** Of a header section that comes in parts. */
const MAX_HEADER_BYTES = 64 << 10;
/** One message is gathered at a time: what it takes is bounded by its own size. */
const MAX_MESSAGE_BYTES = 2 ** 31 - 1;

/**
 * The client's side of one duplex gRPC call that has a connection for itself, without the socket: bytes in, messages
 * out. It is no general client: no second call, no priorities, no push, no compression; and so it has none of the
 * states that these bring (RFC 9113).
 *
 *   open --trailers, RST_STREAM, GOAWAY below it, broken frame, lost()--> over
 */
export class OutgoingCall implements FrameHandler {
  readonly #listener: OutgoingCallListener;
  readonly #frames = new FrameReader(this, MIN_MAX_FRAME_SIZE);
  readonly #decoder = new Decoder(4096);
  readonly #messages = new MessageReader({
    maxBytes: MAX_MESSAGE_BYTES,
    isGzip: false,
    budget: new ReceiveBudget(Infinity),
  });
  #headerParts: Uint8Array[] = [];
  #headerBytes = 0;
  #endsWithHeaders = false;
  #httpStatus = "";
  #connectionWindow = INITIAL_WINDOW_BYTES;
  #streamWindow = INITIAL_WINDOW_BYTES;
  /** What the stream's window began with, as the server's settings have it. */
  #initialWindow = INITIAL_WINDOW_BYTES;
  #received = 0;
  /** Messages that the windows do not let go yet, and how far the first of them has gone. */
  #unsent: Uint8Array[] = [];
  #unsentAt = 0;
  #isOver = false;

  constructor(head: OutgoingHead, listener: OutgoingCallListener) {
    this.#listener = listener;
    // The reader is made for servers: it wants to see a client's preface first.
    this.#frames.push(CLIENT_PREFACE);
    this.#frames.run();
    listener.write(CLIENT_PREFACE);
    listener.write(settings([
      [SettingId.EnablePush, 0],
      [SettingId.InitialWindowSize, RECEIVE_WINDOW_BYTES],
    ]));
    listener.write(
      windowUpdate(0, RECEIVE_WINDOW_BYTES - INITIAL_WINDOW_BYTES),
    );
    const block = headerBlock(head);
    listener.write(frame(FrameType.Headers, Flag.EndHeaders, block));
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Message bytes that the server does not take yet. */
  get unsentBytes(): number {
    return this.#unsent.reduce((sum, { length }) => sum + length, 0) -
      this.#unsentAt;
  }

  /** Sends a message; the bytes must not change afterwards. */
  send(message: Uint8Array): void {
    if (this.#isOver) return;
    const framed = new Uint8Array(PREFIX_BYTES + message.length);
    writePrefix(framed, 0, message.length);
    framed.set(message, PREFIX_BYTES);
    this.#unsent.push(framed);
    this.#pump();
  }

  /** Gives the call up. */
  cancel(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const code = new Uint8Array(4);
    writeUint32(code, 0, ErrorCode.Cancel);
    this.#listener.write(frame(FrameType.RstStream, 0, code));
  }

  /** Bytes from the server; they must not change afterwards. */
  receive(chunk: Uint8Array): void {
    if (this.#isOver) return;
    try {
      this.#frames.push(chunk);
      this.#frames.run();
    } catch (error) {
      this.lost(error instanceof Error ? error.message : String(error));
    }
  }

  /** The connection is gone, or cannot be made sense of. */
  lost(reason: string): void {
    this.#end({ code: Code.Unavailable, message: reason });
  }

  onFrame(
    type: number,
    flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    if (this.#isOver) return;
    const payload = bytes.subarray(start, end);
    switch (type) {
      case FrameType.Data:
        return this.#data(flags, payload);
      case FrameType.Headers:
        return this.#headers(flags, payload);
      case FrameType.Continuation:
        return this.#headerPart(flags, payload);
      case FrameType.Settings:
        return this.#settings(flags, payload);
      case FrameType.Ping:
        if ((flags & Flag.Ack) !== 0) return;
        return this.#listener.write(
          frame(FrameType.Ping, Flag.Ack, payload, 0),
        );
      case FrameType.WindowUpdate:
        return this.#windowUpdate(streamId, payload);
      case FrameType.RstStream:
        return this.lost(`the server reset the call: ${numberIn(payload, 0)}`);
      case FrameType.GoAway: {
        // A call that is under way is finished; one that it does not know any more will not be.
        if ((numberIn(payload, 0) & MAX_STREAM_ID) >= STREAM_ID) return;
        return this.lost(`the server goes away: ${numberIn(payload, 4)}`);
      }
    }
  }

  #data(flags: number, payload: Uint8Array): void {
    this.#received += payload.length;
    if (this.#received >= REFILL_BYTES) {
      this.#listener.write(windowUpdate(0, this.#received));
      this.#listener.write(windowUpdate(STREAM_ID, this.#received));
      this.#received = 0;
    }
    this.#messages.push(unpadded(flags, payload));
    for (;;) {
      const message = this.#messages.next();
      if (message === undefined || this.#isOver) break;
      this.#listener.onMessage(message);
    }
    if ((flags & Flag.EndStream) !== 0) this.lost("it ended without a status");
  }

  #headers(flags: number, payload: Uint8Array): void {
    this.#endsWithHeaders = (flags & Flag.EndStream) !== 0;
    const block = unpadded(flags, payload);
    const isWeighted = (flags & Flag.Priority) !== 0;
    this.#headerPart(flags, isWeighted ? block.subarray(5) : block);
  }

  #headerPart(flags: number, part: Uint8Array): void {
    this.#headerParts.push(part);
    this.#headerBytes += part.length;
    if (this.#headerBytes > MAX_HEADER_BYTES) {
      return this.lost("its headers are too large");
    }
    if ((flags & Flag.EndHeaders) === 0) return;
    const block = new Uint8Array(this.#headerBytes);
    let at = 0;
    for (const each of this.#headerParts) {
      block.set(each, at);
      at += each.length;
    }
    this.#headerParts = [];
    this.#headerBytes = 0;
    this.#section(block);
  }

  /** Headers, or trailers, or both in one. */
  #section(block: Uint8Array): void {
    let code: number | undefined;
    let message = "";
    this.#decoder.decode(block, 0, block.length, {
      field: (name, value) => {
        if (name === ":status") this.#httpStatus = value;
        else if (name === "grpc-status") code = Number(value);
        else if (name === "grpc-message") message = plain(value);
      },
    });
    if (this.#httpStatus !== "200") {
      return this.lost(`it is no gRPC server: HTTP ${this.#httpStatus}`);
    }
    if (!this.#endsWithHeaders) return;
    if (code === undefined) return this.lost("it ended without a status");
    this.#end({ code: code as Code, message });
  }

  #settings(flags: number, payload: Uint8Array): void {
    if ((flags & Flag.Ack) !== 0) return;
    for (let at = 0; at + 6 <= payload.length; at += 6) {
      const id = (payload[at]! << 8) | payload[at + 1]!;
      if (id !== SettingId.InitialWindowSize) continue;
      const size = readUint32(payload, at + 2);
      this.#streamWindow += size - this.#initialWindow;
      this.#initialWindow = size;
    }
    this.#listener.write(frame(FrameType.Settings, Flag.Ack, EMPTY, 0));
    this.#pump();
  }

  #windowUpdate(streamId: number, payload: Uint8Array): void {
    const increment = numberIn(payload, 0) & MAX_STREAM_ID;
    if (streamId === 0) this.#connectionWindow += increment;
    else this.#streamWindow += increment;
    this.#pump();
  }

  /** Sends what the windows allow. */
  #pump(): void {
    let sent = 0;
    for (const message of this.#unsent) {
      const window = Math.min(this.#connectionWindow, this.#streamWindow);
      const from = this.#unsentAt;
      const to = Math.min(message.length, from + Math.max(0, window));
      if (to > from) this.#listener.write(dataFrames(message, from, to));
      this.#connectionWindow -= to - from;
      this.#streamWindow -= to - from;
      this.#unsentAt = to;
      if (to < message.length) break;
      this.#unsentAt = 0;
      sent++;
    }
    if (sent > 0) this.#unsent.splice(0, sent);
  }

  #end(status: Status): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#frames.stop();
    this.#listener.onEnd(status);
  }
}

function headerBlock(
  { scheme, authority, path, metadata }: OutgoingHead,
): Uint8Array {
  const fields = [
    ":method",
    "POST",
    ":scheme",
    scheme,
    ":path",
    path,
    ":authority",
    authority,
    "te",
    "trailers",
    "content-type",
    "application/grpc",
    ...Object.entries(metadata).flat(),
  ];
  return new HeaderBlock(fields).literalBytes;
}

function frame(
  type: number,
  flags: number,
  payload: Uint8Array,
  streamId = STREAM_ID,
): Uint8Array {
  const out = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
  writeFrameHeader(out, 0, payload.length, type, flags, streamId);
  out.set(payload, FRAME_HEADER_BYTES);
  return out;
}

/** `bytes[from, to)` in as many frames as it takes, in one piece. */
function dataFrames(bytes: Uint8Array, from: number, to: number): Uint8Array {
  const count = Math.ceil((to - from) / MIN_MAX_FRAME_SIZE);
  const out = new Uint8Array(to - from + count * FRAME_HEADER_BYTES);
  let at = 0;
  for (let start = from; start < to; start += MIN_MAX_FRAME_SIZE) {
    const part = bytes.subarray(
      start,
      Math.min(to, start + MIN_MAX_FRAME_SIZE),
    );
    at = writeFrameHeader(out, at, part.length, FrameType.Data, 0, STREAM_ID);
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function settings(entries: readonly (readonly [number, number])[]): Uint8Array {
  const payload = new Uint8Array(entries.length * 6);
  let at = 0;
  for (const [id, value] of entries) {
    payload[at] = id >>> 8;
    payload[at + 1] = id;
    at = writeUint32(payload, at + 2, value);
  }
  return frame(FrameType.Settings, 0, payload, 0);
}

function windowUpdate(streamId: number, increment: number): Uint8Array {
  const payload = new Uint8Array(4);
  writeUint32(payload, 0, increment);
  return frame(FrameType.WindowUpdate, 0, payload, streamId);
}

function unpadded(flags: number, payload: Uint8Array): Uint8Array {
  if ((flags & Flag.Padded) === 0) return payload;
  const padding = payload[0] ?? 0;
  return payload.subarray(1, Math.max(1, payload.length - padding));
}

/** 0 where a frame is too short to hold it. */
function numberIn(payload: Uint8Array, at: number): number {
  return payload.length < at + 4 ? 0 : readUint32(payload, at);
}

/** The opposite of `encodeGrpcMessage`; as it is, if it is not encoded. */
function plain(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}
