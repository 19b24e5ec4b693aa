import { Buffer } from "node:buffer";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "../base/clock.ts";
import type { ReceiveBudget } from "./grpc/receive_budget.ts";

/** One WebSocket connection (RFC 6455), from the server's side. */
export interface WebSocketConnection {
  /** Sends a text message. Does nothing once it is closed. */
  send(text: string): void;
  /** Says goodbye; the socket is closed when the client has answered, or after a while. */
  close(code: number): void;
  /** Reads no more before `resume`. */
  pause(): void;
  resume(): void;
  /** Bytes that the socket does not take yet. */
  readonly bufferedBytes: number;
}

/** What happens on a connection. */
export interface WebSocketHandler {
  onMessage(text: Uint8Array): void;
  /** `bufferedBytes` is small again. */
  onDrain(): void;
  /** Called once, also when the client went away without a word. */
  onClose(): void;
}

export interface WebSocketOptions {
  /** A longer message closes the connection with 1009. */
  readonly maxMessageBytes: number;
  /** Memory for messages that are not whole yet, of all connections. One that does not get it is cut off. */
  readonly budget: ReceiveBudget;
  /** The subprotocol to agree on, if the client offers it. */
  readonly subprotocol: string;
  readonly clock: Clock;
}

/** How long one connection's messages may keep all others waiting; see `FairReading`. */
const MAX_SPELL_MS = 4;

/** What is used of the package `ws`. */
interface WsModule {
  readonly WebSocketServer: new (options: {
    noServer: true;
    maxPayload: number;
    handleProtocols(offered: ReadonlySet<string>): string | false;
  }) => {
    handleUpgrade(
      request: IncomingMessage,
      socket: Socket,
      head: Uint8Array,
      done: (connection: WsConnection) => void,
    ): void;
  };
}

interface WsConnection {
  readonly bufferedAmount: number;
  send(text: string): void;
  close(code: number): void;
  terminate(): void;
  pause(): void;
  resume(): void;
  on(event: "message", listener: (data: Uint8Array) => void): void;
  on(event: "close", listener: () => void): void;
  on(event: "error", listener: (error: Error) => void): void;
}

/**
 * Answers the handshake and opens the connection; `open` is given it and returns who handles it. A handshake that is wrong
 * is answered with 400, and `open` is not called.
 *
 * The package is loaded when the first client asks for a WebSocket: most servers never see one.
 */
export async function acceptWebSocket(
  request: IncomingMessage,
  socket: Socket,
  head: Uint8Array,
  { maxMessageBytes, budget, subprotocol, clock }: WebSocketOptions,
  open: (connection: WebSocketConnection) => WebSocketHandler,
): Promise<void> {
  // deno-lint-ignore no-import-prefix
  const module: unknown = await import("npm:ws@8.23.0");
  const { WebSocketServer } = module as WsModule;
  const server = new WebSocketServer({
    noServer: true,
    maxPayload: maxMessageBytes,
    handleProtocols: (offered) =>
      offered.has(subprotocol) ? subprotocol : false,
  });
  server.handleUpgrade(request, socket, Buffer.from(head), (ws) => {
    const reading = new Reading(ws, clock);
    const handler = open({
      send: (message) => ws.send(message),
      close: (code) => ws.close(code),
      pause: () => reading.hold(),
      resume: () => reading.goOn(),
      get bufferedBytes() {
        return ws.bufferedAmount;
      },
    });
    const partial = new PartialMessage(budget, maxMessageBytes);
    // Before the package looks at it: what is counted belongs to no message that was handed on.
    socket.prependListener("data", (chunk: Uint8Array) => {
      if (!partial.add(chunk.length)) ws.terminate();
    });
    ws.on("message", (data) => {
      partial.clear();
      const beganMs = clock.monotonicMs();
      handler.onMessage(data);
      reading.spent(clock.monotonicMs() - beganMs);
    });
    ws.on("error", () => {}); // `close` follows
    ws.on("close", () => {
      partial.close();
      handler.onClose();
    });
    socket.on("drain", () => handler.onDrain());
  });
}

/** Counts what came since the last message, which is what the package holds, but for a chunk. */
class PartialMessage {
  #bytes = 0;
  #isClosed = false;

  constructor(
    readonly budget: ReceiveBudget,
    readonly maxBytes: number,
  ) {}

  /** False if there is no memory for it. */
  add(bytes: number): boolean {
    if (this.#isClosed) return true;
    const more = Math.min(bytes, this.maxBytes - this.#bytes);
    try {
      this.budget.take(more);
    } catch {
      return false; // the budget's error is for calls of gRPC
    }
    this.#bytes += more;
    return true;
  }

  clear(): void {
    this.budget.giveBack(this.#bytes);
    this.#bytes = 0;
  }

  close(): void {
    this.clear();
    this.#isClosed = true;
  }
}

/**
 * Reads a connection unless its handler holds it, or it has had its turn: Deno hands on what a socket has, chunk
 * after chunk, before it looks at the next one.
 */
class Reading {
  #spentMs = 0;
  #isHeld = false;
  #isResting = false;

  constructor(readonly ws: WsConnection, readonly clock: Clock) {}

  hold(): void {
    this.#isHeld = true;
    this.ws.pause();
  }

  goOn(): void {
    this.#isHeld = false;
    if (!this.#isResting) this.ws.resume();
  }

  /** Messages took that long. After a while others have their turn. */
  spent(ms: number): void {
    this.#spentMs += ms;
    if (this.#spentMs < MAX_SPELL_MS || this.#isResting) return;
    this.#isResting = true;
    this.ws.pause();
    this.clock.after(0, () => {
      this.#isResting = false;
      this.#spentMs = 0;
      if (!this.#isHeld) this.ws.resume();
    });
  }
}
