import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { concatBytes, text } from "../../../src/base/bytes.ts";
import {
  ErrorCode,
  Flag,
  FrameType,
  readUint32,
  SettingId,
} from "../../../src/transport/http2/frame.ts";
import { Decoder } from "../../../src/transport/http2/hpack/decoder.ts";
import {
  ClientFrames,
  frame,
  type SeenFrame,
  ServerOutput,
} from "../../support/h2_client.ts";

/** What is written before the socket is asked whether it takes more. */
const BATCH_BYTES = 64 << 10;
const MAX_FRAME_BYTES = 16_384;
/** A server that neither takes bytes nor closes for this long, however busy the machine is, has forgotten its client. */
const PATIENCE_MS = 60_000;

/** A client on a plain socket that keeps no rule unless it is told to. */
export class RawClient implements Disposable {
  readonly frames = new ClientFrames();
  /** `CODE text` of the GOAWAY that came. */
  goAway: string | undefined = undefined;
  /** Bytes that came. */
  received = 0;
  /** Streams with the code of their RST_STREAM, and those with their gRPC status and message. */
  readonly resets = new Map<number, number>();
  readonly statuses = new Map<number, string>();
  /** PINGs that were answered. */
  pongs = 0;
  isClosed = false;
  readonly closed: Promise<void>;
  /** What an HTTP/1.1 server said, its beginning. */
  said = "";
  /** The same, a character a byte. */
  latin1 = "";
  readonly #output = new ServerOutput();
  readonly #decoder = new Decoder(4096);
  /** Of a header section that goes on. */
  #fragments: Uint8Array[] = [];
  #isHttp2 = false;

  private constructor(readonly socket: Socket) {
    socket.setNoDelay(true);
    socket.on("error", () => {}); // `close` follows
    this.closed = new Promise((resolve) =>
      socket.on("close", () => {
        this.isClosed = true;
        resolve();
      })
    );
    socket.on("data", (chunk: Uint8Array) => this.#receive(chunk));
  }

  static open(port: number): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, "127.0.0.1");
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new RawClient(socket));
      });
    });
  }

  /** With HTTP/2's preface sent. `windowBytes` is what each stream may receive. */
  static async http2(port: number, windowBytes = 65_535): Promise<RawClient> {
    const client = await RawClient.open(port);
    client.#isHttp2 = true;
    client.write(
      client.frames.preface([SettingId.InitialWindowSize, windowBytes]),
      client.frames.settingsAck(),
    );
    return client;
  }

  /** The server has said so, or is gone. */
  get isOver(): boolean {
    return this.isClosed || this.goAway !== undefined;
  }

  write(...parts: Uint8Array[]): void {
    if (!this.isClosed) this.socket.write(concatBytes(...parts));
  }

  /** Writes what `next` makes, up to `count` times, as the server takes it; stops when the connection ends. */
  async flood(count: number, next: (i: number) => Uint8Array): Promise<void> {
    let parts: Uint8Array[] = [];
    let bytes = 0;
    for (let i = 0; i < count && !this.isOver; i++) {
      const part = next(i);
      parts.push(part);
      bytes += part.length;
      if (bytes < BATCH_BYTES && i + 1 < count) continue;
      const isTaken = this.socket.write(concatBytes(...parts));
      parts = [];
      bytes = 0;
      if (!isTaken) await this.#taken();
      await turn();
    }
  }

  /** A request without a body, whose header block is in as many frames as it takes. */
  sectionOf(id: number, block: Uint8Array): Uint8Array {
    const parts: Uint8Array[] = [];
    for (let at = 0; at === 0 || at < block.length; at += MAX_FRAME_BYTES) {
      const isLast = at + MAX_FRAME_BYTES >= block.length;
      const flags = (isLast ? Flag.EndHeaders : 0) |
        (at === 0 ? Flag.EndStream : 0);
      const type = at === 0 ? FrameType.Headers : FrameType.Continuation;
      parts.push(
        frame(type, flags, id, block.subarray(at, at + MAX_FRAME_BYTES)),
      );
    }
    return concatBytes(...parts);
  }

  /** Resolves when the server has dealt with all that was sent, or has closed. */
  async settled(): Promise<void> {
    const before = this.pongs;
    this.write(this.frames.ping("settled?"));
    await this.until("a PING is answered", () => this.pongs > before);
  }

  /** Waits until it holds or the connection ends; throws if neither comes. */
  async until(what: string, holds: () => boolean): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!holds() && !this.isClosed) {
      if (performance.now() > deadline) throw new Error(`not in time: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  #taken(): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error("the server takes nothing, and does not close")),
        PATIENCE_MS,
      );
      const done = () => {
        clearTimeout(timer);
        this.socket.off("drain", done);
        resolve();
      };
      this.socket.once("drain", done);
      void this.closed.then(done);
    });
  }

  #receive(chunk: Uint8Array): void {
    this.received += chunk.length;
    if (!this.#isHttp2) {
      if (this.said.length < 4096) {
        this.said += text(chunk);
        this.latin1 += Buffer.from(chunk).toString("latin1");
      }
      return;
    }
    for (const seen of this.#output.frames(chunk)) this.#frame(seen);
  }

  #frame({ type, flags, id, payload }: SeenFrame): void {
    if (type === FrameType.GoAway) {
      this.goAway = `${nameOf(readUint32(payload, 4))} ${
        text(payload.subarray(8))
      }`;
    } else if (type === FrameType.RstStream) {
      this.resets.set(id, readUint32(payload, 0));
    } else if (type === FrameType.Ping && (flags & Flag.Ack) !== 0) {
      this.pongs++;
    } else if (
      type === FrameType.Headers || type === FrameType.Continuation
    ) {
      this.#fragments.push(payload.slice());
      if ((flags & Flag.EndHeaders) === 0) return;
      this.#headers(id, concatBytes(...this.#fragments));
      this.#fragments = [];
    }
  }

  #headers(id: number, block: Uint8Array): void {
    const fields = new Map<string, string>();
    this.#decoder.decode(block, 0, block.length, {
      field: (name, value) => void fields.set(name, value),
    });
    const code = fields.get("grpc-status");
    if (code === undefined) return;
    const message = decodeURIComponent(fields.get("grpc-message") ?? "");
    this.statuses.set(id, `${code} ${message}`.trim());
  }
}

/** A call's header fields. */
export function callFields(
  path: string,
  ...more: readonly string[]
): string[] {
  return [
    ...[":method", "POST", ":scheme", "http", ":path", path],
    ...[":authority", "localhost", "te", "trailers"],
    ...["content-type", "application/grpc", ...more],
  ];
}

/** `message` behind gRPC's prefix. */
export function grpcMessage(
  message: Uint8Array,
  { flag = 0, length = message.length } = {},
): Uint8Array {
  const bytes = new Uint8Array(5 + message.length);
  bytes[0] = flag;
  new DataView(bytes.buffer).setUint32(1, length);
  bytes.set(message, 5);
  return bytes;
}

/** Lets others run: what the server said is read. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

function nameOf(code: number): string {
  for (const [name, value] of Object.entries(ErrorCode)) {
    if (value === code) return name;
  }
  return String(code);
}
