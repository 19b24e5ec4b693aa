import { Buffer } from "node:buffer";
import {
  type IncomingMessage,
  type RequestListener,
  Server,
  type ServerOptions,
  type ServerResponse,
} from "node:http";
import net, { type AddressInfo, type Socket } from "node:net";
import { type Clock, SystemClock, type Timer } from "../base/clock.ts";
import { SocketSink } from "./socket_sink.ts";

/** Serves HTTP/1.1 on sockets that somebody else accepted. */
export interface Http1Handover {
  /** Takes a socket over; `head` is what was read from it already. */
  take(socket: Socket, head: Uint8Array): void;
  /** Closes a socket that was taken over, after the request that is under way on it. */
  drain(socket: Socket): void;
  /** Closes all of them at once. */
  close(): Promise<void>;
}

/** Takes connections that leave HTTP/1.1 for another protocol (RFC 9110, 7.8). */
export interface UpgradeListener {
  /** False: the request is answered as if it had not asked. */
  accepts(request: IncomingMessage): boolean;
  /** `head` is what came behind the request already. The socket is the listener's from here on. */
  upgrade(request: IncomingMessage, socket: Socket, head: Uint8Array): void;
}

export interface Http1HandoverOptions {
  readonly clock?: Clock;
  /** Default: nothing is accepted. Where a socket cannot be handed over directly, nothing ever is. */
  readonly upgrades?: UpgradeListener | undefined;
  /** Default: `direct` where it works. */
  readonly mode?: "direct" | "pipe";
}

/** What `node:http` documents as its defaults. */
const DEFAULT_HEADERS_TIMEOUT_MS = 60_000;
const DEFAULT_KEEP_ALIVE_TIMEOUT_MS = 5_000;
/** Requests of a connection that are not answered yet. Hardly any client sends a second one before the first answer. */
const MAX_PIPELINED_REQUESTS = 32;
/** Who asks again and has left more than this unread, does not read. */
const MAX_UNREAD_BYTES = 1 << 20;
/** How often connections are looked at: they are late by this much at most. */
const SWEEP_MS = 1_000;
/** A connection to the inner server that is not ours by then is nobody's. */
const CLAIM_MS = 1_000;

/**
 * Opens a handover to `node:http`.
 *
 * Of the options, `headersTimeout` bounds the time until a connection's first request is there, and `keepAliveTimeout`
 * the time between two; both hold on every version of Deno, since they are watched here.
 */
export async function openHttp1Handover(
  listener: RequestListener,
  options: ServerOptions,
  { clock = new SystemClock(), mode = defaultMode(), upgrades }:
    Http1HandoverOptions = {},
): Promise<Http1Handover> {
  if (mode === "direct") {
    return new DirectHandover(listener, options, clock, upgrades);
  }
  const handover = new PipeHandover(listener, options, clock);
  await handover.open();
  return handover;
}

/** Deno 2.7 takes a socket that is handed over, and never answers. */
function defaultMode(): "direct" | "pipe" {
  const [major = 0, minor = 0] = Deno.version.deno.split(".").map(Number);
  return major > 2 || (major === 2 && minor >= 9) ? "direct" : "pipe";
}

/** A connection that was taken over. */
interface Taken {
  readonly socket: Socket;
  /** Answers under way. */
  readonly responses: Set<ServerResponse>;
  /** When it is closed unless a request comes; Infinity while there is one. */
  deadlineMs: number;
  isDraining: boolean;
  /** No longer HTTP: whoever has it now closes it in time. */
  isUpgraded: boolean;
}

/** Knows the connections, what is under way on them, and closes those on which nothing is for too long. */
abstract class Handover implements Http1Handover {
  protected readonly clock: Clock;
  readonly #listener: RequestListener;
  readonly #headersTimeoutMs: number;
  readonly #keepAliveTimeoutMs: number;
  readonly #taken = new Map<Socket, Taken>();
  #isClosed = false;
  #timer: Timer | undefined = undefined;

  constructor(
    listener: RequestListener,
    {
      headersTimeout = DEFAULT_HEADERS_TIMEOUT_MS,
      keepAliveTimeout = DEFAULT_KEEP_ALIVE_TIMEOUT_MS,
    }: ServerOptions,
    clock: Clock,
  ) {
    this.clock = clock;
    this.#listener = listener;
    this.#headersTimeoutMs = headersTimeout;
    this.#keepAliveTimeoutMs = keepAliveTimeout;
  }

  take(socket: Socket, head: Uint8Array): void {
    if (this.#isClosed) {
      socket.destroy();
      return;
    }
    const taken = {
      socket,
      responses: new Set<ServerResponse>(),
      deadlineMs: this.clock.monotonicMs() + this.#headersTimeoutMs,
      isDraining: false,
      isUpgraded: false,
    };
    this.#taken.set(socket, taken);
    this.#timer ??= this.clock.every(SWEEP_MS, () => this.#sweep());
    socket.on("close", () => this.#forget(taken));
    this.deliver(socket, head);
  }

  drain(socket: Socket): void {
    const taken = this.#taken.get(socket);
    if (taken === undefined || taken.isUpgraded) return;
    taken.isDraining = true;
    if (taken.responses.size === 0) socket.destroy();
    for (const response of taken.responses) closeAfter(response);
  }

  close(): Promise<void> {
    this.#isClosed = true;
    for (const { socket } of [...this.#taken.values()]) socket.destroy();
    return Promise.resolve();
  }

  /** Gives the socket to the server. */
  protected abstract deliver(socket: Socket, head: Uint8Array): void;

  /** The socket, among those taken over, that a request came on; undefined: on none. */
  protected abstract origin(request: IncomingMessage): Socket | undefined;

  protected serve(request: IncomingMessage, response: ServerResponse): void {
    const socket = this.origin(request);
    const taken = socket && this.#taken.get(socket);
    if (taken === undefined) {
      response.writeHead(403, { Connection: "close" });
      response.end();
      return;
    }
    if (asksTooMuch(taken)) {
      taken.socket.destroy();
      return;
    }
    taken.responses.add(response);
    taken.deadlineMs = Infinity;
    if (taken.isDraining) closeAfter(response);
    response.on("close", () => {
      taken.responses.delete(response);
      if (taken.responses.size > 0) return;
      taken.deadlineMs = this.clock.monotonicMs() + this.#keepAliveTimeoutMs;
    });
    this.#listener(request, response as Parameters<RequestListener>[1]);
  }

  /** The socket is not looked after any more, apart from `close()`. */
  protected upgraded(socket: Socket): void {
    const taken = this.#taken.get(socket);
    if (taken === undefined) return;
    taken.isUpgraded = true;
    taken.deadlineMs = Infinity;
  }

  #forget(taken: Taken): void {
    this.#taken.delete(taken.socket);
    if (this.#taken.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #sweep(): void {
    const now = this.clock.monotonicMs();
    for (const { socket, deadlineMs } of this.#taken.values()) {
      if (deadlineMs <= now) socket.destroy();
    }
  }
}

/** Whether the client sends requests without reading the answers, or more of them at once than anybody does. */
function asksTooMuch({ socket, responses }: Taken): boolean {
  return socket.destroyed || responses.size >= MAX_PIPELINED_REQUESTS ||
    socket.writableLength > MAX_UNREAD_BYTES;
}

function closeAfter(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader("Connection", "close");
}

/** Hands the socket over, and the bytes that were read from it. */
class DirectHandover extends Handover {
  readonly #server: Server;

  constructor(
    listener: RequestListener,
    options: ServerOptions,
    clock: Clock,
    upgrades: UpgradeListener | undefined,
  ) {
    super(listener, options, clock);
    // Without it, `curl --http2` would not be answered: it asks for h2c, and any listener would get it.
    const choice = {
      shouldUpgradeCallback: (request: IncomingMessage) =>
        upgrades?.accepts(request) ?? false,
    };
    const all: ServerOptions = { ...options, ...choice };
    this.#server = new Server(all, (request, response) => {
      this.serve(request, response);
    });
    this.#server.on("upgrade", (request, socket, head) => {
      this.upgraded(socket as Socket);
      upgrades?.upgrade(request, socket as Socket, head);
    });
    // It never does; but `node:http` closes a connection after one answer once its server does not.
    Object.defineProperty(this.#server, "listening", { value: true });
  }

  protected override deliver(socket: Socket, head: Uint8Array): void {
    this.#server.emit("connection", socket);
    // Not `unshift` before it: Deno's parser reads from the kernel itself, and may have the next chunk sooner than
    // what was put back. Measured with bodies of 1 MB, one request in twenty was answered with 400.
    const { buffer, byteOffset, length } = head;
    socket.emit("data", Buffer.from(buffer, byteOffset, length));
  }

  protected override origin(request: IncomingMessage): Socket {
    return request.socket;
  }
}

/** Pipes the bytes to a server on a loopback port, which answers nobody but us. */
class PipeHandover extends Handover {
  readonly #server: Server;
  /** What we have connected to the server, by the port that it sees; the values are the sockets taken over. */
  readonly #ours = new Map<number, Socket>();
  readonly #inner = new Set<Socket>();

  constructor(listener: RequestListener, options: ServerOptions, clock: Clock) {
    super(listener, options, clock);
    this.#server = new Server(options, (request, response) => {
      this.serve(request, response);
    });
    this.#server.on("connection", (socket: Socket) => this.#check(socket));
  }

  async open(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(0, "127.0.0.1", resolve);
    });
  }

  override async close(): Promise<void> {
    await super.close();
    for (const inner of this.#inner) inner.destroy();
    const closed = new Promise<void>((resolve) =>
      this.#server.close(() => resolve())
    );
    this.#server.closeAllConnections();
    await closed;
  }

  protected override deliver(socket: Socket, head: Uint8Array): void {
    // Nothing may flow before there is somewhere to flow to.
    socket.pause();
    const { port } = this.#server.address() as AddressInfo;
    const inner = net.connect(port, "127.0.0.1");
    this.#inner.add(inner);
    let localPort = -1;
    let isGone = false;
    inner.on("connect", () => {
      if (isGone) return inner.destroy();
      localPort = inner.localPort ?? -1;
      this.#ours.set(localPort, socket);
      inner.write(head);
      socket.pipe(inner).pipe(socket);
    });
    inner.on("error", () => {}); // `close` follows
    inner.on("close", () => {
      this.#ours.delete(localPort);
      this.#inner.delete(inner);
      new SocketSink(socket, this.clock, () => {}).close();
    });
    socket.on("close", () => {
      isGone = true;
      // Deno 2.7 forgets a socket that is destroyed while it connects, and then keeps the connection for ever.
      if (!inner.connecting) inner.destroy();
    });
  }

  protected override origin(request: IncomingMessage): Socket | undefined {
    return this.#ours.get(request.socket.remotePort ?? -1);
  }

  /** A stranger's request is not served; one that sends none is not kept either. */
  #check(socket: Socket): void {
    this.clock.after(CLAIM_MS, () => {
      if (!this.#ours.has(socket.remotePort ?? -1)) socket.destroy();
    });
  }
}
