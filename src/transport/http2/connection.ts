import { assert } from "../../base/assert.ts";
import { EMPTY, equalBytes, utf8 } from "../../base/bytes.ts";
import type { Clock, Timer } from "../../base/clock.ts";
import { Closed, ClosedStreams } from "./closed_streams.ts";
import {
  ConnectionError,
  flowControlError,
  frameSizeError,
  malformed,
  protocolError,
  selfDependent,
  StreamError,
} from "./errors.ts";
import { FloodGuard } from "./flood_guard.ts";
import { INITIAL_WINDOW_SIZE, ReceiveWindow } from "./flow_control.ts";
import {
  ErrorCode,
  Flag,
  FrameType,
  MAX_STREAM_ID,
  readUint31,
  readUint32,
} from "./frame.ts";
import { type FrameHandler, FrameReader } from "./frame_reader.ts";
import { FrameWriter } from "./frame_writer.ts";
import { HeaderFragments } from "./header_fragments.ts";
import { Keepalive, type KeepaliveHost } from "./keepalive.ts";
import type { Http2Limits } from "./limits.ts";
import { OutputBuffer } from "./output_buffer.ts";
import { RequestDecoder } from "./request_decoder.ts";
import type { RequestHead } from "./request_head.ts";
import { ServerStream, StreamState } from "./server_stream.ts";
import { announcedSettings, PeerSettings, SETTING_BYTES } from "./settings.ts";
import type { StreamHandler } from "./stream_handler.ts";
import { type SenderHost, StreamSender } from "./stream_sender.ts";

/** Where a connection's output goes. */
export interface ConnectionSink {
  /** Takes a turn's output, in order; the bytes belong to the sink afterwards. */
  write(bytes: Uint8Array): void;
  /** Closes the socket once everything is written. Called at most once. */
  close(error?: Error): void;
  /** Bytes written but not yet taken by the kernel. */
  readonly queuedBytes: number;
}

const KEEPALIVE_PING = utf8("stele ka");
const SHUTDOWN_PING = utf8("stele go");
/** How long a client has to answer the PING of a graceful shutdown before its streams are counted. */
const SHUTDOWN_PING_MS = 5_000;

/** What the next frame has to be. */
const Expect = { Settings: 0, Any: 1, Continuation: 2 } as const;
type Expect = typeof Expect[keyof typeof Expect];

/**
 * The server's side of one HTTP/2 connection (RFC 9113), without a socket: bytes come in through `receive` and go
 * out through a `ConnectionSink`; requests go up to a `StreamHandler`.
 *
 * Output is gathered and written once per turn. An error of one stream resets it; an error of the connection, or an
 * exception of the handler, is told in a GOAWAY and ends everything. Invariant: once the connection is closed, no
 * receiver hears of it any more, and all that had a stream heard `onReset`.
 *
 * The file is long because each frame type has its rules, and they are all about the same state.
 */
export class Connection implements FrameHandler, SenderHost, KeepaliveHost {
  /** Called once, when the connection is closed for whatever reason. */
  onClosed: (() => void) | undefined = undefined;
  lastReceivedMs: number;
  readonly #sink: ConnectionSink;
  readonly #handler: StreamHandler;
  readonly #clock: Clock;
  readonly #limits: Http2Limits;
  readonly #reader: FrameReader;
  readonly #out: OutputBuffer;
  readonly #writer: FrameWriter;
  readonly #sender: StreamSender;
  readonly #decoder: RequestDecoder;
  readonly #keepalive: Keepalive;
  readonly #settings = new PeerSettings();

  readonly #streams = new Map<number, ServerStream>();
  readonly #closedStreams = new ClosedStreams();
  /** The highest stream id that the client used. */
  #lastStreamId = 0;
  /** Requests above it are ignored: the last GOAWAY said so. */
  #lastAcceptedId = MAX_STREAM_ID;
  readonly #window: ReceiveWindow;
  /** Until our SETTINGS are acknowledged, a stream may use the window that it started with, should ours be smaller. */
  #streamWindowSlack: number;

  #expect: Expect = Expect.Settings;
  #fragments: HeaderFragments | undefined = undefined;

  readonly #settingsFlood: FloodGuard;
  readonly #pingFlood: FloodGuard;
  readonly #resetFlood: FloodGuard;
  readonly #emptyFlood: FloodGuard;
  readonly #windowUpdateFlood: FloodGuard;

  /** A flush will come: nobody has to ask for one. */
  #isFlushDue = false;
  readonly #flushSoon = () => this.#flushTask();
  #isShuttingDown = false;
  #isClosed = false;
  /** The socket holds more than any reading client leaves there. */
  #isOverrun = false;
  #prefaceTimer: Timer | undefined = undefined;
  #goAwayTimer: Timer | undefined = undefined;
  #graceTimer: Timer | undefined = undefined;
  #bytesIn = 0;
  #bytesOut = 0;

  constructor(
    sink: ConnectionSink,
    handler: StreamHandler,
    clock: Clock,
    limits: Http2Limits,
    /** `127.0.0.1:1234`, for logs. */
    readonly peer: string,
    /** Of the client's certificate, checked; undefined without one. */
    readonly certificateName: string | undefined = undefined,
  ) {
    this.#sink = sink;
    this.#handler = handler;
    this.#clock = clock;
    this.#limits = limits;
    this.lastReceivedMs = clock.monotonicMs();
    this.#reader = new FrameReader(this, limits.maxFrameSize);
    this.#out = new OutputBuffer((bytes) => this.#emit(bytes));
    this.#writer = new FrameWriter(this.#out);
    this.#sender = new StreamSender(this, this.#out, this.#writer, limits);
    this.#decoder = new RequestDecoder(limits.maxHeaderListBytes);
    this.#keepalive = new Keepalive(this, clock, limits);
    this.#window = new ReceiveWindow(
      Math.max(limits.connectionWindowSize, INITIAL_WINDOW_SIZE),
    );
    this.#streamWindowSlack = Math.max(
      0,
      INITIAL_WINDOW_SIZE - limits.initialWindowSize,
    );
    const guard = (what: string, limit: number, perAnswer: number) =>
      new FloodGuard(what, {
        limit,
        perAnswer,
        windowMs: limits.floodWindowMs,
      });
    this.#settingsFlood = guard("SETTINGS frames", limits.maxSettingsFrames, 0);
    this.#pingFlood = guard("PING frames", limits.maxPings, 1);
    this.#resetFlood = guard("stream resets", limits.maxRapidResets, 1);
    this.#emptyFlood = guard("empty frames", limits.maxEmptyFrames, 0);
    this.#windowUpdateFlood = guard(
      "WINDOW_UPDATE frames",
      limits.maxWindowUpdates,
      4,
    );
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  /** No streams are open, and nothing waits to be written. */
  get isIdle(): boolean {
    return this.#streams.size === 0 && this.#out.length === 0;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get bytesIn(): number {
    return this.#bytesIn;
  }

  get bytesOut(): number {
    return this.#bytesOut;
  }

  /** DATA that waits in streams for the client to read. */
  get bufferedBytes(): number {
    return this.#sender.bufferedBytes;
  }

  /** Sends the server's preface. */
  start(): void {
    this.#writer.settings(announcedSettings(this.#limits));
    const increment = this.#limits.connectionWindowSize - INITIAL_WINDOW_SIZE;
    if (increment > 0) this.#writer.windowUpdate(0, increment);
    this.#prefaceTimer = this.#clock.after(
      this.#limits.prefaceTimeoutMs,
      () => this.#checkPreface(),
    );
    this.#keepalive.start();
    this.flush();
  }

  /**
   * Takes what the socket read: any part of the client's bytes, beginning with its preface. The chunk belongs to the
   * connection from now on and must not change. Writes what there is to say before it returns.
   */
  receive(chunk: Uint8Array): void {
    if (this.#isClosed) return;
    this.lastReceivedMs = this.#clock.monotonicMs();
    this.#bytesIn += chunk.length;
    this.#isFlushDue = true;
    // A Buffer's subarray() is slow and makes more Buffers.
    this.#reader.push(
      chunk.constructor === Uint8Array
        ? chunk
        : new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length),
    );
    while (!this.#readFrames());
    this.#flushTask();
  }

  /** Writes what was gathered. Needs no calling: sending outside of `receive` schedules it once per turn. */
  flush(): void {
    if (this.#isClosed) return;
    const sender = this.#sender;
    if (sender.isCongested) this.#measureSocket();
    // What receivers send when they hear `onDrain` is part of this flush.
    this.#isFlushDue = true;
    sender.pump();
    this.#isFlushDue = false;
    if (this.#out.length > 0) this.#emit(this.#out.take());
    if (this.#isOverrun) {
      this.#fail(
        new ConnectionError(
          ErrorCode.EnhanceYourCalm,
          "client does not read its answers",
        ),
      );
    } else if (
      this.#lastAcceptedId !== MAX_STREAM_ID && this.#streams.size === 0
    ) {
      this.#finish();
    }
  }

  /** The sink's queue has emptied. */
  socketDrained(): void {
    this.#flushTask();
  }

  /**
   * Lets the client finish: it is told to open no more streams, those it opened meanwhile are still accepted, and
   * the connection closes when all have ended, or after `graceMs` in any case.
   */
  shutdown(graceMs: number): void {
    if (this.#isClosed || this.#isShuttingDown) return;
    this.#isShuttingDown = true;
    if (this.#expect === Expect.Settings || graceMs <= 0) {
      this.#endGrace();
      return;
    }
    this.#writer.goAway(MAX_STREAM_ID, ErrorCode.NoError, utf8("shutdown"));
    this.#writer.ping(0, SHUTDOWN_PING);
    this.#goAwayTimer = this.#clock.after(
      Math.min(graceMs, SHUTDOWN_PING_MS),
      () => this.#lastGoAway(),
    );
    this.#graceTimer = this.#clock.after(graceMs, () => this.#endGrace());
    this.flush();
  }

  /** The socket is gone: all receivers hear `onReset`. The sink is not called any more. */
  close(_error?: Error): void {
    this.#end(ErrorCode.Cancel, () => {});
  }

  // For streams, their sender, the frame reader and keepalive.

  onFrame(
    type: number,
    flags: number,
    id: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    if (this.#expect !== Expect.Any) this.#checkExpected(type, flags, id);
    switch (type) {
      case FrameType.Data:
        return this.#data(flags, id, bytes, start, end);
      case FrameType.Headers:
        return this.#headers(flags, id, bytes, start, end);
      case FrameType.WindowUpdate:
        return this.#windowUpdate(id, bytes, start, end);
      case FrameType.Settings:
        return this.#settingsFrame(flags, id, bytes, start, end);
      case FrameType.Ping:
        return this.#ping(flags, id, bytes, start, end);
      case FrameType.RstStream:
        return this.#rstStream(id, bytes, start, end);
      case FrameType.Continuation:
        return this.#continuation(flags, bytes, start, end);
      case FrameType.Priority:
        return this.#priority(id, bytes, start, end);
      case FrameType.GoAway:
        return this.#goAway(id, start, end);
      case FrameType.PushPromise:
        throw protocolError("PUSH_PROMISE from a client");
      default:
        // §5.5: extensions are ignored.
        this.#emptyFlood.count(this.lastReceivedMs, 0);
    }
  }

  /** Gives `bytes` of the receive windows back. */
  release(stream: ServerStream, bytes: number): void {
    assert(bytes <= stream.unconsumed, "more consumed than received");
    stream.unconsumed -= bytes;
    this.#releaseConnection(bytes);
    if ((stream.state & StreamState.RemoteEnded) !== 0) return;
    const increment = stream.receiveWindow.release(bytes);
    if (increment === 0) return;
    this.#writer.windowUpdate(stream.id, increment);
    this.scheduleFlush();
  }

  resetStream(stream: ServerStream, code: number): void {
    this.#writer.rstStream(stream.id, code);
    this.#remove(stream, Closed.ByServer);
    this.scheduleFlush();
    stream.receiver?.onReset(stream, code);
  }

  localEnded(stream: ServerStream): void {
    if ((stream.state & StreamState.RemoteEnded) !== 0) {
      this.#remove(stream, Closed.ByClient);
      return;
    }
    // §8.1: the answer is complete, the rest of the request is of no interest.
    this.#writer.rstStream(stream.id, ErrorCode.NoError);
    this.#remove(stream, Closed.ByServer);
  }

  scheduleFlush(): void {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    queueMicrotask(this.#flushSoon);
  }

  sendKeepalivePing(): void {
    this.#writer.ping(0, KEEPALIVE_PING);
    this.#flushTask();
  }

  keepaliveFailed(error: ConnectionError): void {
    this.#fail(error);
  }

  // Frames

  #checkExpected(type: number, flags: number, id: number): void {
    if (this.#expect === Expect.Settings) {
      // §3.4: the client's preface ends with a SETTINGS frame.
      if (type !== FrameType.Settings || (flags & Flag.Ack) !== 0) {
        throw protocolError("first frame is not SETTINGS");
      }
      this.#expect = Expect.Any;
    } else if (
      type !== FrameType.Continuation || id !== this.#fragments!.streamId
    ) {
      throw protocolError("header section interrupted");
    }
  }

  #data(
    flags: number,
    id: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    if (id === 0) throw protocolError("DATA on stream 0");
    const length = end - start;
    if (!this.#window.take(length, 0)) {
      throw flowControlError("DATA beyond the connection's window");
    }
    const stream = this.#streams.get(id);
    if (
      stream === undefined || (stream.state & StreamState.RemoteEnded) !== 0
    ) {
      return this.#dataOnClosed(stream, id, length);
    }
    stream.unconsumed += length;
    if (!stream.receiveWindow.take(length, this.#streamWindowSlack)) {
      throw new StreamError(
        id,
        ErrorCode.FlowControlError,
        "DATA beyond the stream's window",
      );
    }
    if ((flags & Flag.Padded) !== 0) {
      end -= padding(bytes, start, end);
      start++;
      this.release(stream, length - (end - start));
    }
    const endStream = (flags & Flag.EndStream) !== 0;
    const payload = end - start;
    if (stream.contentLeft >= 0) {
      stream.contentLeft -= payload;
      if (stream.contentLeft < 0 || (endStream && stream.contentLeft > 0)) {
        throw malformed(id, "content-length does not match");
      }
    }
    if (endStream) stream.state |= StreamState.RemoteEnded;
    else if (payload === 0) this.#emptyFlood.count(this.lastReceivedMs, 0);

    const chunk = payload === 0 ? EMPTY : bytes.subarray(start, end);
    if (stream.receiver !== undefined) {
      stream.receiver.onData(stream, chunk, endStream);
    } else {
      stream.consumed(payload);
    }
  }

  #dataOnClosed(
    stream: ServerStream | undefined,
    id: number,
    length: number,
  ): void {
    this.#releaseConnection(length);
    this.#checkNotIdle(id, "DATA");
    if (length === 0) this.#emptyFlood.count(this.lastReceivedMs, 0);
    if (this.#isIgnored(id)) return;
    if (
      stream !== undefined || this.#closedStreams.get(id) === Closed.ByClient
    ) {
      throw new StreamError(id, ErrorCode.StreamClosed, "DATA after the end");
    }
    // Perhaps we reset it, many streams ago.
    this.#writer.rstStream(id, ErrorCode.StreamClosed);
  }

  #headers(
    flags: number,
    id: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    if ((id & 1) === 0) throw protocolError("HEADERS on an even stream");
    if ((flags & Flag.Padded) !== 0) {
      end -= padding(bytes, start, end);
      start++;
    }
    let isSelfDependent = false;
    if ((flags & Flag.Priority) !== 0) {
      if (end - start < 5) throw frameSizeError("HEADERS");
      isSelfDependent = readUint31(bytes, start) === id;
      start += 5;
    }
    const endStream = (flags & Flag.EndStream) !== 0;
    if ((flags & Flag.EndHeaders) !== 0) {
      this.#section(id, endStream, isSelfDependent, bytes, start, end);
      return;
    }
    this.#fragments = new HeaderFragments(
      id,
      endStream,
      isSelfDependent,
      this.#limits,
    );
    this.#fragments.append(bytes, start, end);
    this.#expect = Expect.Continuation;
  }

  #continuation(
    flags: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const fragments = this.#fragments;
    if (fragments === undefined) {
      throw protocolError("CONTINUATION without HEADERS");
    }
    fragments.continue(bytes, start, end);
    if ((flags & Flag.EndHeaders) === 0) return;
    this.#fragments = undefined;
    this.#expect = Expect.Any;
    const { streamId, endStream, isSelfDependent, block } = fragments;
    this.#section(
      streamId,
      endStream,
      isSelfDependent,
      block,
      0,
      block.length,
    );
  }

  /** A complete header section. Whatever is wrong with it, it is decoded first: it may change the HPACK table. */
  #section(
    id: number,
    endStream: boolean,
    isSelfDependent: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    if (id <= this.#lastStreamId) {
      const head = this.#decoder.trailers(bytes, start, end);
      if (isSelfDependent) throw selfDependent(id);
      this.#trailers(id, endStream, head);
      return;
    }
    this.#lastStreamId = id;
    const head = this.#decoder.request(bytes, start, end);
    if (id > this.#lastAcceptedId) return;
    if (isSelfDependent) throw selfDependent(id);
    checkSection(id, head);
    if (endStream && head.contentLength > 0) {
      throw malformed(id, "content-length does not match");
    }
    this.#open(id, endStream, head);
  }

  #open(id: number, endStream: boolean, head: RequestHead): void {
    const limits = this.#limits;
    if (
      this.#streams.size >= limits.maxConcurrentStreams ||
      this.#sender.bufferedBytes > limits.maxBufferedBytes
    ) {
      this.#writer.rstStream(id, ErrorCode.RefusedStream);
      this.#closedStreams.add(id, Closed.ByServer);
      return;
    }
    const stream = new ServerStream(
      this,
      id,
      this.#sender,
      this.#settings.initialWindowSize,
      limits.initialWindowSize,
      head.contentLength,
    );
    if (endStream) stream.state = StreamState.RemoteEnded;
    this.#streams.set(id, stream);
    this.#handler.onRequest(stream, head, endStream);
  }

  #trailers(id: number, endStream: boolean, head: RequestHead): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      if (this.#isIgnored(id)) return;
      if (this.#closedStreams.get(id) === Closed.Unknown) {
        throw protocolError("HEADERS on a stream below an earlier one");
      }
      throw new ConnectionError(
        ErrorCode.StreamClosed,
        "HEADERS on a closed stream",
      );
    }
    if ((stream.state & StreamState.RemoteEnded) !== 0) {
      throw new StreamError(
        id,
        ErrorCode.StreamClosed,
        "HEADERS after the end",
      );
    }
    checkSection(id, head);
    if (!endStream) throw malformed(id, "trailers without END_STREAM");
    if (stream.contentLeft > 0) {
      throw malformed(id, "content-length does not match");
    }
    stream.state |= StreamState.RemoteEnded;
    stream.receiver?.onTrailers(stream, head.fields);
  }

  #windowUpdate(
    id: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    if (end - start !== 4) throw frameSizeError("WINDOW_UPDATE");
    this.#windowUpdateFlood.count(
      this.lastReceivedMs,
      this.#writer.answerFrames,
    );
    const increment = readUint31(bytes, start);
    if (id === 0) {
      if (increment === 0) throw protocolError("WINDOW_UPDATE of 0");
      if (!this.#sender.growWindow(increment)) {
        throw flowControlError("the connection's window exceeds 2^31-1");
      }
      return;
    }
    const stream = this.#streams.get(id);
    if (stream === undefined) return this.#checkNotIdle(id, "WINDOW_UPDATE");
    if (increment === 0) {
      throw new StreamError(id, ErrorCode.ProtocolError, "WINDOW_UPDATE of 0");
    }
    if (!this.#sender.growStreamWindow(stream, increment)) {
      throw new StreamError(
        id,
        ErrorCode.FlowControlError,
        "the stream's window exceeds 2^31-1",
      );
    }
  }

  #settingsFrame(
    flags: number,
    id: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    if (id !== 0) throw protocolError("SETTINGS on a stream");
    this.#settingsFlood.count(this.lastReceivedMs, 0);
    if ((flags & Flag.Ack) !== 0) {
      if (end > start) throw frameSizeError("SETTINGS");
      this.#streamWindowSlack = 0;
      this.#decoder.limitTable(this.#limits.headerTableSize);
      return;
    }
    if ((end - start) % SETTING_BYTES !== 0) throw frameSizeError("SETTINGS");
    const settings = this.#settings;
    const windowBefore = settings.initialWindowSize;
    settings.apply(bytes, start, end);
    this.#sender.maxFrameSize = settings.maxFrameSize;
    this.#sender.encoder.limitTable(settings.headerTableSize);
    const difference = settings.initialWindowSize - windowBefore;
    if (difference !== 0) {
      for (const stream of this.#streams.values()) {
        if (!this.#sender.growStreamWindow(stream, difference)) {
          throw flowControlError("a stream's window exceeds 2^31-1");
        }
      }
    }
    this.#writer.settingsAck();
  }

  #ping(
    flags: number,
    id: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    if (id !== 0) throw protocolError("PING on a stream");
    if (end - start !== 8) throw frameSizeError("PING");
    const payload = bytes.subarray(start, end);
    this.#pingFlood.count(this.lastReceivedMs, this.#writer.answerFrames);
    if ((flags & Flag.Ack) !== 0) {
      if (this.#isShuttingDown && equalBytes(payload, SHUTDOWN_PING)) {
        this.#lastGoAway();
      }
      return;
    }
    this.#writer.ping(Flag.Ack, payload);
    this.#keepalive.pinged(
      this.lastReceivedMs,
      this.#streams.size,
      this.#writer.answerFrames,
    );
  }

  #rstStream(id: number, bytes: Uint8Array, start: number, end: number): void {
    if (id === 0) throw protocolError("RST_STREAM on stream 0");
    if (end - start !== 4) throw frameSizeError("RST_STREAM");
    this.#checkNotIdle(id, "RST_STREAM");
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    this.#remove(stream, Closed.ByClient);
    stream.receiver?.onReset(stream, readUint32(bytes, start));
    if ((stream.state & StreamState.HeadersSent) === 0) this.#countReset();
  }

  #priority(id: number, bytes: Uint8Array, start: number, end: number): void {
    if (id === 0) throw protocolError("PRIORITY on stream 0");
    this.#emptyFlood.count(this.lastReceivedMs, 0);
    // An idle stream cannot be reset.
    const isIdle = (id & 1) === 0 || id > this.#lastStreamId;
    if (end - start !== 5) {
      if (isIdle) throw frameSizeError("PRIORITY");
      throw new StreamError(id, ErrorCode.FrameSizeError, "PRIORITY size");
    }
    if (readUint31(bytes, start) === id) {
      throw isIdle
        ? protocolError("stream depends on itself")
        : selfDependent(id);
    }
  }

  /** The client will accept no streams of ours, of which there are none. It closes the connection when it is done. */
  #goAway(id: number, start: number, end: number): void {
    if (id !== 0) throw protocolError("GOAWAY on a stream");
    if (end - start < 8) throw frameSizeError("GOAWAY");
    this.#emptyFlood.count(this.lastReceivedMs, 0);
  }

  // Streams

  #checkNotIdle(id: number, what: string): void {
    if ((id & 1) === 0 || id > this.#lastStreamId) {
      throw protocolError(`${what} on an idle stream`);
    }
  }

  /** Whether frames of a closed stream may still be on their way, sent before the client knew. */
  #isIgnored(id: number): boolean {
    return id > this.#lastAcceptedId ||
      this.#closedStreams.get(id) === Closed.ByServer;
  }

  #remove(stream: ServerStream, how: Closed): void {
    stream.state |= StreamState.Gone;
    this.#streams.delete(stream.id);
    this.#closedStreams.add(stream.id, how);
    if (stream.bufferedBytes > 0) this.#sender.drop(stream);
    if (stream.unconsumed > 0) this.#releaseConnection(stream.unconsumed);
  }

  #releaseConnection(bytes: number): void {
    const increment = this.#window.release(bytes);
    if (increment === 0) return;
    this.#writer.windowUpdate(0, increment);
    this.scheduleFlush();
  }

  #countReset(): void {
    this.#resetFlood.count(this.lastReceivedMs, this.#writer.answerFrames);
  }

  // Reading and writing

  /** False if a stream failed and there may be more frames. */
  #readFrames(): boolean {
    try {
      this.#reader.run();
      return true;
    } catch (error) {
      if (!(error instanceof StreamError)) {
        this.#fail(asConnectionError(error));
        return true;
      }
      return this.#streamFailed(error);
    }
  }

  /** True if that was the end of the connection. */
  #streamFailed(error: StreamError): boolean {
    try {
      const stream = this.#streams.get(error.streamId);
      if (stream !== undefined) {
        this.resetStream(stream, error.code);
      } else {
        this.#writer.rstStream(error.streamId, error.code);
        this.#closedStreams.add(error.streamId, Closed.ByServer);
      }
      this.#countReset();
      return false;
    } catch (error) {
      this.#fail(asConnectionError(error));
      return true;
    }
  }

  #flushTask(): void {
    try {
      this.flush();
    } catch (error) {
      this.#fail(asConnectionError(error));
    }
  }

  #emit(bytes: Uint8Array): void {
    this.#bytesOut += bytes.length;
    this.#sink.write(bytes);
    this.#measureSocket();
  }

  #measureSocket(): void {
    const queued = this.#sink.queuedBytes;
    this.#sender.isCongested = queued > this.#limits.maxUnsentBytes;
    if (queued > this.#limits.maxQueuedOutputBytes) this.#isOverrun = true;
  }

  // The end

  #checkPreface(): void {
    if (this.#expect !== Expect.Settings) return;
    this.#fail(
      new ConnectionError(
        ErrorCode.ProtocolError,
        "no connection preface in time",
      ),
    );
  }

  /** Tells which streams were accepted; the connection ends with the last of them. */
  #lastGoAway(): void {
    if (this.#isClosed || this.#lastAcceptedId !== MAX_STREAM_ID) return;
    this.#lastAcceptedId = this.#lastStreamId;
    this.#writer.goAway(
      this.#lastStreamId,
      ErrorCode.NoError,
      utf8("shutdown"),
    );
    this.scheduleFlush();
  }

  #endGrace(): void {
    this.#lastGoAway();
    if (this.#out.length > 0) this.#emit(this.#out.take());
    this.#finish();
  }

  #finish(): void {
    if (this.#isClosed) return;
    this.#end(ErrorCode.Cancel, () => this.#sink.close());
  }

  #fail(error: ConnectionError): void {
    if (this.#isClosed) return;
    this.#writer.goAway(
      Math.min(this.#lastStreamId, this.#lastAcceptedId),
      error.code,
      utf8(error.message),
    );
    this.#emit(this.#out.take());
    this.#end(error.code, () => this.#sink.close(error));
  }

  #end(code: number, closeSink: () => void): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#reader.stop();
    this.#keepalive.stop();
    this.#prefaceTimer?.cancel();
    this.#goAwayTimer?.cancel();
    this.#graceTimer?.cancel();
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const stream of streams) {
      stream.state |= StreamState.Gone;
      this.#sender.drop(stream);
    }
    closeSink();
    for (const stream of streams) stream.receiver?.onReset(stream, code);
    this.onClosed?.();
  }
}

/** The padding at the end of a frame whose first byte tells its length (§6.1). */
function padding(bytes: Uint8Array, start: number, end: number): number {
  if (start === end) throw frameSizeError("padded frame");
  const length = bytes[start]!;
  if (length >= end - start) throw protocolError("padding exceeds its frame");
  return length;
}

function checkSection(id: number, head: RequestHead): void {
  if (head.problem !== undefined) throw malformed(id, head.problem);
  if (head.isTooLarge) {
    throw new StreamError(
      id,
      ErrorCode.EnhanceYourCalm,
      "header section too large",
    );
  }
}

function asConnectionError(error: unknown): ConnectionError {
  return error instanceof ConnectionError ? error : new ConnectionError(
    ErrorCode.InternalError,
    "internal error",
    { cause: error },
  );
}
