import { concatBytes, EMPTY, text, utf8 } from "../../src/base/bytes.ts";
import {
  CLIENT_PREFACE,
  Flag,
  FRAME_HEADER_BYTES,
  FrameType,
  readUint31,
  readUint32,
  writeFrameHeader,
  writeUint32,
} from "../../src/transport/http2/frame.ts";
import { Decoder } from "../../src/transport/http2/hpack/decoder.ts";
import { DynamicTable } from "../../src/transport/http2/hpack/dynamic_table.ts";
import {
  FieldEncoder,
  Literal,
} from "../../src/transport/http2/hpack/field_encoder.ts";

/** Any frame, right or wrong. */
export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array = EMPTY,
): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
  writeFrameHeader(bytes, 0, payload.length, type, flags, streamId);
  bytes.set(payload, FRAME_HEADER_BYTES);
  return bytes;
}

/** `value` as four bytes. */
export function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  writeUint32(bytes, 0, value);
  return bytes;
}

/** A client's frames, built by hand. Keeps its HPACK table and counts stream ids. */
export class ClientFrames {
  readonly encoder = new FieldEncoder(new DynamicTable(4096), {
    huffman: true,
  });
  #nextId = 1;

  nextId(): number {
    const id = this.#nextId;
    this.#nextId += 2;
    return id;
  }

  join(frames: readonly Uint8Array[]): Uint8Array {
    return concatBytes(...frames);
  }

  preface(...settings: [id: number, value: number][]): Uint8Array {
    return concatBytes(CLIENT_PREFACE, this.settings(...settings));
  }

  settings(...settings: [id: number, value: number][]): Uint8Array {
    const parts = settings.map(([id, value]) =>
      concatBytes(Uint8Array.of(id >> 8, id), uint32(value))
    );
    return frame(FrameType.Settings, 0, 0, concatBytes(...parts));
  }

  settingsAck(): Uint8Array {
    return frame(FrameType.Settings, Flag.Ack, 0);
  }

  /** The header block of `fields` (name, value…), which leaves the dynamic table alone. */
  block(fields: readonly string[]): Uint8Array {
    return this.#block(fields, Literal.WithoutIndexing);
  }

  headers(
    id: number,
    fields: readonly string[],
    endStream: boolean,
  ): Uint8Array {
    return this.headersOf(id, this.block(fields), endStream);
  }

  /** As a client does whose table is warm: after the first time, an index for each field. */
  indexedHeaders(
    id: number,
    fields: readonly string[],
    endStream: boolean,
  ): Uint8Array {
    const block = this.#block(fields, Literal.Indexing);
    return this.headersOf(id, block, endStream);
  }

  headersOf(id: number, block: Uint8Array, endStream: boolean): Uint8Array {
    const flags = Flag.EndHeaders | (endStream ? Flag.EndStream : 0);
    return frame(FrameType.Headers, flags, id, block);
  }

  data(id: number, payload: Uint8Array, endStream: boolean): Uint8Array {
    return frame(FrameType.Data, endStream ? Flag.EndStream : 0, id, payload);
  }

  windowUpdate(id: number, increment: number): Uint8Array {
    return frame(FrameType.WindowUpdate, 0, id, uint32(increment));
  }

  rstStream(id: number, code: number): Uint8Array {
    return frame(FrameType.RstStream, 0, id, uint32(code));
  }

  /** `payload` has eight characters. */
  ping(payload: string): Uint8Array {
    return frame(FrameType.Ping, 0, 0, utf8(payload));
  }

  pingAck(payload: Uint8Array): Uint8Array {
    return frame(FrameType.Ping, Flag.Ack, 0, payload);
  }

  #block(fields: readonly string[], literal: Literal): Uint8Array {
    const out: number[] = [];
    for (let i = 0; i < fields.length; i += 2) {
      this.encoder.append(out, fields[i]!, fields[i + 1]!, literal);
    }
    return Uint8Array.from(out);
  }
}

/** A frame as the server sent it. */
export interface SeenFrame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Uint8Array;
}

/** Cuts a server's output into frames; what is incomplete waits for more. */
export class ServerOutput {
  #rest: Uint8Array = EMPTY;
  readonly #decoder = new Decoder(4096);

  frames(bytes: Uint8Array): SeenFrame[] {
    const all = concatBytes(this.#rest, bytes);
    const frames: SeenFrame[] = [];
    let at = 0;
    while (all.length - at >= FRAME_HEADER_BYTES) {
      const length = (all[at]! << 16) | (all[at + 1]! << 8) | all[at + 2]!;
      const next = at + FRAME_HEADER_BYTES + length;
      if (next > all.length) break;
      frames.push({
        type: all[at + 3]!,
        flags: all[at + 4]!,
        id: readUint31(all, at + 5),
        payload: all.slice(at + FRAME_HEADER_BYTES, next),
      });
      at = next;
    }
    this.#rest = all.slice(at);
    return frames;
  }

  /** One line per frame, e.g. `HEADERS 1 end :status=200`. Header blocks must come in order, each once. */
  describe(frame: SeenFrame): string {
    const { type, flags, id, payload } = frame;
    const end = (flags & Flag.EndStream) !== 0 ? " end" : "";
    const ack = (flags & Flag.Ack) !== 0 ? " ack" : "";
    switch (type) {
      case FrameType.Data:
        return `DATA ${id}${end} ${payload.length}`;
      case FrameType.Headers:
        return `HEADERS ${id}${end}${
          (flags & Flag.EndHeaders) !== 0 ? this.#fields(payload) : " …"
        }`;
      case FrameType.RstStream:
        return `RST_STREAM ${id} ${readUint32(payload, 0)}`;
      case FrameType.Settings:
        return `SETTINGS${ack}`;
      case FrameType.Ping:
        return `PING${ack} ${text(payload)}`;
      case FrameType.GoAway:
        return `GOAWAY ${readUint32(payload, 0)} ${readUint32(payload, 4)} ${
          text(payload.subarray(8))
        }`;
      case FrameType.WindowUpdate:
        return `WINDOW_UPDATE ${id} ${readUint32(payload, 0)}`;
      case FrameType.Continuation:
        return `CONTINUATION ${id}`;
    }
    return `type ${type}`;
  }

  #fields(block: Uint8Array): string {
    let line = "";
    this.#decoder.decode(block, 0, block.length, {
      field: (name, value) => line += ` ${name}=${value}`,
    });
    return line;
  }
}
