import {
  Flag,
  FRAME_HEADER_BYTES,
  FrameType,
  writeFrameHeader,
  writeUint32,
} from "./frame.ts";
import type { OutputBuffer } from "./output_buffer.ts";
import { SETTING_BYTES } from "./settings.ts";

/** Up to this a loop copies faster than `TypedArray.set` (measured: 1 ns against 16 for 2 bytes, 12 against 17 for 10, 23 against 16 for 24). */
const SHORT_COPY_BYTES = 12;

/** Writes frames into an output buffer. Knows no rules: the caller has checked windows and sizes. */
export class FrameWriter {
  /** HEADERS and DATA frames written so far. */
  answerFrames = 0;
  readonly #out: OutputBuffer;

  constructor(out: OutputBuffer) {
    this.#out = out;
  }

  /** A whole header section, in as many frames as `maxFrameSize` demands. */
  headers(
    streamId: number,
    block: Uint8Array,
    endStream: boolean,
    maxFrameSize: number,
  ): void {
    this.answerFrames++;
    const flags = endStream ? Flag.EndStream : 0;
    if (block.length <= maxFrameSize) {
      this.#frame(FrameType.Headers, flags | Flag.EndHeaders, streamId, block);
      return;
    }
    let at = maxFrameSize;
    this.#frame(FrameType.Headers, flags, streamId, block.subarray(0, at));
    while (at < block.length) {
      const part = block.subarray(at, at + maxFrameSize);
      at += part.length;
      const last = at === block.length ? Flag.EndHeaders : 0;
      this.#frame(FrameType.Continuation, last, streamId, part);
    }
  }

  /** A DATA frame's header, with room for `length` bytes behind it. Returns where in the buffer they go; `commit` follows. */
  beginData(streamId: number, length: number): number {
    this.answerFrames++;
    const at = this.#out.reserve(FRAME_HEADER_BYTES + length);
    return writeFrameHeader(
      this.#out.bytes,
      at,
      length,
      FrameType.Data,
      0,
      streamId,
    );
  }

  /** An empty DATA frame that ends its stream: it needs no window. */
  endData(streamId: number): void {
    this.answerFrames++;
    this.#frame(FrameType.Data, Flag.EndStream, streamId, NOTHING);
  }

  /** `settings` is id, value, id, value… */
  settings(settings: readonly number[]): void {
    const length = settings.length / 2 * SETTING_BYTES;
    const out = this.#out;
    let at = out.reserve(FRAME_HEADER_BYTES + length);
    const { bytes } = out;
    at = writeFrameHeader(bytes, at, length, FrameType.Settings, 0, 0);
    for (let i = 0; i < settings.length; i += 2) {
      bytes[at] = settings[i]! >>> 8;
      bytes[at + 1] = settings[i]!;
      at = writeUint32(bytes, at + 2, settings[i + 1]!);
    }
    out.commit(at);
  }

  settingsAck(): void {
    this.#frame(FrameType.Settings, Flag.Ack, 0, NOTHING);
  }

  /** `payload` has eight bytes. */
  ping(flags: number, payload: Uint8Array): void {
    this.#frame(FrameType.Ping, flags, 0, payload);
  }

  goAway(lastStreamId: number, code: number, debug: Uint8Array): void {
    const payload = new Uint8Array(8 + debug.length);
    writeUint32(payload, 0, lastStreamId);
    writeUint32(payload, 4, code);
    payload.set(debug, 8);
    this.#frame(FrameType.GoAway, 0, 0, payload);
  }

  rstStream(streamId: number, code: number): void {
    this.#number(FrameType.RstStream, streamId, code);
  }

  windowUpdate(streamId: number, increment: number): void {
    this.#number(FrameType.WindowUpdate, streamId, increment);
  }

  #number(type: number, streamId: number, value: number): void {
    const out = this.#out;
    const at = out.reserve(FRAME_HEADER_BYTES + 4);
    writeFrameHeader(out.bytes, at, 4, type, 0, streamId);
    out.commit(writeUint32(out.bytes, at + FRAME_HEADER_BYTES, value));
  }

  #frame(
    type: number,
    flags: number,
    streamId: number,
    payload: Uint8Array,
  ): void {
    const out = this.#out;
    const length = payload.length;
    let at = out.reserve(FRAME_HEADER_BYTES + length);
    const { bytes } = out;
    at = writeFrameHeader(bytes, at, length, type, flags, streamId);
    if (length <= SHORT_COPY_BYTES) {
      for (let i = 0; i < length; i++) bytes[at + i] = payload[i]!;
    } else {
      bytes.set(payload, at);
    }
    out.commit(at + length);
  }
}

const NOTHING = new Uint8Array(0);
