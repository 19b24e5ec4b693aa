import { connect, type Socket } from "node:net";
import { concatBytes, EMPTY, utf8 } from "../../../src/base/bytes.ts";
import {
  Flag,
  FRAME_HEADER_BYTES,
  FrameType,
  readUint31,
  readUint32,
  writeFrameHeader,
  writeUint32,
} from "../../../src/transport/http2/frame.ts";
import { Decoder } from "../../../src/transport/http2/hpack/decoder.ts";
import { ClientFrames, frame } from "../../support/h2_client.ts";

/** How a call failed: gRPC's code (14 UNAVAILABLE, 8 RESOURCE_EXHAUSTED, …) and message. */
export class GrpcFailure extends Error {
  constructor(readonly code: number, message: string) {
    super(message);
  }
}

/** One call of which both sides may send any number of messages. */
export interface GrpcStream {
  send(message: Uint8Array): void;
  /** Resets the stream; nothing more is heard of it. */
  cancel(): void;
}

interface Call {
  readonly id: number;
  readonly onMessage: (message: Uint8Array) => void;
  /** Called once; undefined: gRPC's status was OK. */
  readonly onEnd: (failure: GrpcFailure | undefined) => void;
  /** Bytes of a message that is not whole yet. */
  parts: Uint8Array[];
  partBytes: number;
  sendWindow: number;
  /** Received and not given back to the server's window. */
  received: number;
}

interface Unsent {
  readonly call: Call;
  readonly bytes: Uint8Array;
  at: number;
  readonly endStream: boolean;
}

const MAX_FRAME_BYTES = 16_384;
const INITIAL_WINDOW_BYTES = 65_535;
const MAX_WINDOW_BYTES = 2 ** 31 - 1;
const REFILL_BYTES = 64 << 20;
const SETTINGS_INITIAL_WINDOW_SIZE = 4;
const PREFIX_BYTES = 5;

/**
 * A gRPC client that costs next to nothing: frames over a plain socket, and windows that never hold the server back.
 * It exists because a load made with a full client measures that client. Messages are wire bytes.
 *
 * Requests of one turn leave in one write. Nothing is bounded here: who calls decides how much is under way.
 */
export class GrpcConnection {
  readonly #socket: Socket;
  readonly #frames = new ClientFrames();
  readonly #decoder = new Decoder(4096);
  readonly #calls = new Map<number, Call>();
  /** Header blocks by path; they leave the dynamic table alone, so one serves every call. */
  readonly #blocks = new Map<string, Uint8Array>();
  #out: Uint8Array[] = [];
  #isFlushDue = false;
  #unsent: Unsent[] = [];
  #rest: Uint8Array = EMPTY;
  #sendWindow = INITIAL_WINDOW_BYTES;
  #streamWindow = INITIAL_WINDOW_BYTES;
  #received = 0;
  #closed: GrpcFailure | undefined = undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Uint8Array) => this.#receive(chunk));
    socket.on("error", (error) => this.#fail(error.message));
    socket.on("close", () => this.#fail("connection closed"));
    this.#write(
      this.#frames.preface([SETTINGS_INITIAL_WINDOW_SIZE, MAX_WINDOW_BYTES]),
    );
    this.#write(
      this.#frames.windowUpdate(0, MAX_WINDOW_BYTES - INITIAL_WINDOW_BYTES),
    );
  }

  /** Rejects if nothing listens at 127.0.0.1:`port`. */
  static open(port: number): Promise<GrpcConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, "127.0.0.1");
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new GrpcConnection(socket));
      });
    });
  }

  /** Calls that have not ended. */
  get callCount(): number {
    return this.#calls.size;
  }

  /** Rejects with a `GrpcFailure`. */
  unary(path: string, request: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      let answer: Uint8Array = EMPTY;
      const call = this.#open(
        path,
        (message) => answer = message,
        (failure) => failure === undefined ? resolve(answer) : reject(failure),
      );
      this.#send(call, request, true);
    });
  }

  /** A call with one request and any number of answers; resolves at its end. */
  serverStream(
    path: string,
    request: Uint8Array,
    onMessage: (message: Uint8Array) => void,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const call = this.#open(
        path,
        onMessage,
        (failure) => failure === undefined ? resolve() : reject(failure),
      );
      this.#send(call, request, true);
    });
  }

  duplex(
    path: string,
    onMessage: (message: Uint8Array) => void,
    onEnd: (failure: GrpcFailure | undefined) => void,
  ): GrpcStream {
    const call = this.#open(path, onMessage, onEnd);
    return {
      send: (message) => this.#send(call, message, false),
      cancel: () => {
        if (!this.#calls.delete(call.id)) return;
        const CANCEL = 8;
        this.#write(this.#frames.rstStream(call.id, CANCEL));
      },
    };
  }

  /** A socket that is not read: what the server sends piles up at its side. */
  pauseReading(): void {
    this.#socket.pause();
  }

  resumeReading(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.destroy();
  }

  #open(
    path: string,
    onMessage: Call["onMessage"],
    onEnd: Call["onEnd"],
  ): Call {
    const id = this.#frames.nextId();
    const call: Call = {
      id,
      onMessage,
      onEnd,
      parts: [],
      partBytes: 0,
      sendWindow: this.#streamWindow,
      received: 0,
    };
    if (this.#closed !== undefined) {
      const failure = this.#closed;
      queueMicrotask(() => onEnd(failure));
      return call;
    }
    this.#calls.set(id, call);
    let block = this.#blocks.get(path);
    if (block === undefined) {
      block = this.#frames.block([
        ...[":method", "POST", ":scheme", "http", ":path", path],
        ...[":authority", "localhost", "te", "trailers"],
        ...["content-type", "application/grpc"],
      ]);
      this.#blocks.set(path, block);
    }
    this.#write(this.#frames.headersOf(id, block, false));
    return call;
  }

  #send(call: Call, message: Uint8Array, endStream: boolean): void {
    const bytes = new Uint8Array(PREFIX_BYTES + message.length);
    writeUint32(bytes, 1, message.length);
    bytes.set(message, PREFIX_BYTES);
    this.#unsent.push({ call, bytes, at: 0, endStream });
    this.#pump();
  }

  /** Sends what the server's windows allow, in order: one stream that has to wait holds up the others. */
  #pump(): void {
    let done = 0;
    for (const unsent of this.#unsent) {
      const { call, bytes, endStream } = unsent;
      while (unsent.at < bytes.length && this.#calls.has(call.id)) {
        const size = Math.min(
          bytes.length - unsent.at,
          MAX_FRAME_BYTES,
          this.#sendWindow,
          call.sendWindow,
        );
        if (size <= 0) {
          this.#unsent.splice(0, done);
          return;
        }
        const end = unsent.at + size;
        const flags = endStream && end === bytes.length ? Flag.EndStream : 0;
        const header = new Uint8Array(FRAME_HEADER_BYTES);
        writeFrameHeader(header, 0, size, FrameType.Data, flags, call.id);
        this.#write(header);
        this.#write(bytes.subarray(unsent.at, end));
        unsent.at = end;
        this.#sendWindow -= size;
        call.sendWindow -= size;
      }
      done++;
    }
    this.#unsent.length = 0;
  }

  #write(bytes: Uint8Array): void {
    this.#out.push(bytes);
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    queueMicrotask(() => {
      this.#isFlushDue = false;
      const out = this.#out;
      this.#out = [];
      if (!this.#socket.destroyed) this.#socket.write(concatBytes(...out));
    });
  }

  #receive(chunk: Uint8Array): void {
    const bytes = this.#rest.length === 0
      ? chunk
      : concatBytes(this.#rest, chunk);
    let at = 0;
    while (bytes.length - at >= FRAME_HEADER_BYTES) {
      const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) |
        bytes[at + 2]!;
      const start = at + FRAME_HEADER_BYTES;
      if (start + length > bytes.length) break;
      const payload = bytes.subarray(start, start + length);
      this.#frame(bytes[at + 3]!, bytes[at + 4]!, readUint31(bytes, at + 5), {
        payload,
      });
      at = start + length;
    }
    // A copy: the rest of a small frame must not hold a whole chunk.
    this.#rest = at === bytes.length ? EMPTY : bytes.slice(at);
  }

  #frame(
    type: number,
    flags: number,
    id: number,
    { payload }: { payload: Uint8Array },
  ): void {
    switch (type) {
      case FrameType.Data:
        return this.#data(id, payload);
      case FrameType.Headers:
        return this.#headers(id, payload, (flags & Flag.EndStream) !== 0);
      case FrameType.Settings:
        if ((flags & Flag.Ack) === 0) this.#settings(payload);
        return;
      case FrameType.Ping:
        if ((flags & Flag.Ack) === 0) {
          this.#write(this.#frames.pingAck(payload.slice()));
        }
        return;
      case FrameType.WindowUpdate: {
        const increment = readUint31(payload, 0);
        if (id === 0) this.#sendWindow += increment;
        else {
          const call = this.#calls.get(id);
          if (call !== undefined) call.sendWindow += increment;
        }
        return this.#pump();
      }
      case FrameType.RstStream:
        return this.#end(
          id,
          new GrpcFailure(13, `reset ${readUint32(payload, 0)}`),
        );
      case FrameType.GoAway:
        return this.#fail(`GOAWAY ${readUint32(payload, 4)}`);
    }
  }

  #settings(payload: Uint8Array): void {
    for (let at = 0; at + 6 <= payload.length; at += 6) {
      if (payload[at + 1] !== SETTINGS_INITIAL_WINDOW_SIZE) continue;
      const size = readUint32(payload, at + 2);
      const change = size - this.#streamWindow;
      this.#streamWindow = size;
      for (const call of this.#calls.values()) call.sendWindow += change;
    }
    this.#write(frame(FrameType.Settings, Flag.Ack, 0));
    this.#pump();
  }

  #data(id: number, payload: Uint8Array): void {
    this.#received += payload.length;
    if (this.#received >= REFILL_BYTES) {
      this.#write(this.#frames.windowUpdate(0, this.#received));
      this.#received = 0;
    }
    const call = this.#calls.get(id);
    if (call === undefined) return;
    call.received += payload.length;
    if (call.received >= REFILL_BYTES) {
      this.#write(this.#frames.windowUpdate(id, call.received));
      call.received = 0;
    }
    this.#messages(call, payload);
  }

  #messages(call: Call, payload: Uint8Array): void {
    call.parts.push(payload);
    call.partBytes += payload.length;
    while (call.partBytes >= PREFIX_BYTES) {
      let head = call.parts[0]!;
      if (head.length < PREFIX_BYTES) {
        call.parts = [head = concatBytes(...call.parts)];
      }
      const whole = PREFIX_BYTES + readUint32(head, 1);
      if (call.partBytes < whole) break;
      const bytes = call.parts.length === 1 ? head : concatBytes(...call.parts);
      call.partBytes -= whole;
      call.parts = call.partBytes === 0 ? [] : [bytes.subarray(whole)];
      call.onMessage(bytes.subarray(PREFIX_BYTES, whole));
    }
    // The chunk of the socket is not ours to keep.
    const last = call.parts.length - 1;
    if (last >= 0) call.parts[last] = call.parts[last]!.slice();
  }

  #headers(id: number, block: Uint8Array, endStream: boolean): void {
    let status = 2;
    let message = "";
    this.#decoder.decode(block, 0, block.length, {
      field: (name, value) => {
        if (name === "grpc-status") status = Number(value);
        else if (name === "grpc-message") message = decodeURIComponent(value);
      },
    });
    if (!endStream) return;
    this.#end(id, status === 0 ? undefined : new GrpcFailure(status, message));
  }

  #end(id: number, failure: GrpcFailure | undefined): void {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    this.#calls.delete(id);
    call.onEnd(failure);
  }

  #fail(reason: string): void {
    if (this.#closed !== undefined) return;
    this.#closed = new GrpcFailure(14, reason);
    for (const id of [...this.#calls.keys()]) this.#end(id, this.#closed);
    this.#socket.destroy();
  }
}

/** A path of the etcd API: `KV/Put`. */
export function etcdPath(method: string): string {
  return `/etcdserverpb.${method}`;
}

/** `prefix` and nine digits: as many keys as anybody wants, all of one length. */
export function numberedKey(prefix: string, n: number): Uint8Array {
  return utf8(prefix + String(n).padStart(9, "0"));
}
