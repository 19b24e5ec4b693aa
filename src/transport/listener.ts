import net, { type AddressInfo, type Server, type Socket } from "node:net";
import { concatBytes, EMPTY } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { type Logger, LogThrottle } from "../base/log.ts";
import { addressUrl, hostPort, type ListenAddress } from "./address.ts";
import { FairReading } from "./fair_reading.ts";
import type { Http1Handover } from "./http1_handover.ts";
import type { Connection, ConnectionSink } from "./http2/connection.ts";
import { looksLikeHttp2, mayBeHttp1 } from "./http2_preface.ts";
import { SocketSink } from "./socket_sink.ts";
import { removeDeadSocket } from "./unix_socket_file.ts";

export interface ListenerLimits {
  /** A client that has not said what it speaks by then is cut off; with TLS, counted from the end of the handshake. */
  readonly firstBytesTimeoutMs: number;
  /** More connections than this are closed at once: descriptors are finite. */
  readonly maxConnections: number;
}

export const DEFAULT_LISTENER_LIMITS: ListenerLimits = {
  firstBytesTimeoutMs: 10_000,
  maxConnections: 20_000,
};

/** Makes accepted sockets secure before anything is read from them. */
export interface SecureLayer {
  /** Gives a socket to `onSecure` once its client may be served, and destroys it otherwise. */
  accept(
    socket: Socket,
    onSecure: (socket: Socket, certificateName: string | undefined) => void,
  ): void;
}

/** A host that is gone without a word is noticed: the kernel asks after this time, as etcd has it. */
const TCP_KEEP_ALIVE_MS = 30_000;

/** First byte of a TLS client's first record: it is a handshake. */
const TLS_HANDSHAKE = 0x16;

export interface ListenerParts {
  /** Makes the connection of a client that speaks HTTP/2; undefined: such clients are cut off. */
  readonly http2:
    | ((
      sink: ConnectionSink,
      peer: string,
      certificateName: string | undefined,
    ) => Connection)
    | undefined;
  /** Takes clients that speak HTTP/1.1; undefined: such clients are cut off. */
  readonly http1: Http1Handover | undefined;
  /** Default: clients are not to use TLS. */
  readonly tls?: SecureLayer | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/** How often failures of the same kind are logged. */
const LOG_PERIOD_MS = 10_000;

/**
 * One listening socket. Looks at the first bytes of each connection: HTTP/2's preface makes it a `Connection`,
 * anything else goes to HTTP/1.1.
 *
 * Invariant: every socket that was accepted is in `#sockets` until it is closed, and no error of a socket gets
 * out of here.
 */
export class Listener {
  readonly #server: Server;
  readonly #isSecure: boolean;
  readonly #throttle: LogThrottle;
  readonly #sockets = new Set<Socket>();
  readonly #reading: FairReading;
  readonly #connections = new Map<Socket, Connection>();
  readonly #http1 = new Set<Socket>();
  #isClosing = false;
  #emptied: (() => void) | undefined = undefined;

  constructor(
    readonly address: ListenAddress,
    readonly parts: ListenerParts,
    readonly limits: ListenerLimits = DEFAULT_LISTENER_LIMITS,
  ) {
    this.#throttle = new LogThrottle(parts.log, parts.clock, {
      periodMs: LOG_PERIOD_MS,
    });
    this.#reading = new FairReading(parts.clock);
    this.#isSecure = parts.tls !== undefined;
    this.#server = net.createServer({
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
    }, (socket) => this.#accept(socket));
  }

  /** Open connections, HTTP/1.1 included. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** The address with the port that was chosen, as a URL. */
  get url(): string {
    const isSecure = this.#isSecure;
    if (this.address.kind === "unix") return addressUrl(this.address, isSecure);
    const { port } = this.#server.address() as AddressInfo;
    return addressUrl({ ...this.address, port }, isSecure);
  }

  /** Binds; rejects with why not. */
  async listen(): Promise<void> {
    const { address } = this;
    if (address.kind === "unix") await removeDeadSocket(address.path);
    const server = this.#server;
    const url = addressUrl(address, this.#isSecure);
    await new Promise<void>((resolve, reject) => {
      const onError = (error: Error) =>
        reject(
          new Error(`Cannot listen on ${url}: ${error.message}`, {
            cause: error,
          }),
        );
      const onListening = () => {
        server.off("error", onError);
        resolve();
      };
      server.once("error", onError);
      if (address.kind === "unix") server.listen(address.path, onListening);
      else server.listen(address.port, address.host, onListening);
    });
    server.on("error", (error) => {
      this.#throttle.warn("cannot accept connections", { url, error });
    });
  }

  /**
   * Accepts no more, tells clients to go, waits for what is under way, for `graceMs` at most, and closes everything.
   * The file of a Unix socket is removed.
   */
  async shutdown(graceMs: number): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    const closed = new Promise<void>((resolve) =>
      this.#server.close(() => resolve())
    );
    const emptied = new Promise<void>((resolve) => this.#emptied = resolve);
    for (const socket of [...this.#sockets]) {
      const connection = this.#connections.get(socket);
      if (connection !== undefined) connection.shutdown(graceMs);
      else if (this.#http1.has(socket)) this.parts.http1?.drain(socket);
      else socket.destroy();
    }
    if (this.#sockets.size === 0) this.#emptied?.();
    // The connections end themselves after `graceMs`, and their sockets linger.
    const end = this.parts.clock.after(graceMs, () => this.#destroyHttp1());
    await emptied;
    end.cancel();
    await closed;
  }

  #destroyHttp1(): void {
    for (const socket of this.#http1) socket.destroy();
  }

  #accept(socket: Socket): void {
    const { maxConnections } = this.limits;
    socket.on("error", () => {}); // `close` follows
    if (this.#isClosing || this.#sockets.size >= maxConnections) {
      if (!this.#isClosing) {
        this.#throttle.warn("too many connections", { maxConnections });
      }
      socket.destroy();
      return;
    }
    const { tls } = this.parts;
    this.#track(socket);
    if (tls === undefined) {
      this.#awaitFirstBytes(socket, undefined);
      return;
    }
    tls.accept(socket, (secured, certificateName) => {
      // From here on it stands for the one below, which closes with it.
      this.#track(secured);
      this.#sockets.delete(socket);
      if (this.#isClosing) secured.destroy();
      else this.#awaitFirstBytes(secured, certificateName);
    });
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => {
      this.#sockets.delete(socket);
      this.#http1.delete(socket);
      if (this.#isClosing && this.#sockets.size === 0) this.#emptied?.();
    });
  }

  #awaitFirstBytes(socket: Socket, certificateName: string | undefined): void {
    const timer = this.parts.clock.after(
      this.limits.firstBytesTimeoutMs,
      () => socket.destroy(),
    );
    let head: Uint8Array = EMPTY;
    const onData = (chunk: Uint8Array) => {
      // Deno gives each chunk an array of its own: it is not overwritten.
      head = head.length === 0 ? chunk : concatBytes(head, chunk);
      const isHttp2 = looksLikeHttp2(head);
      if (isHttp2 === undefined) return;
      timer.cancel();
      socket.off("data", onData);
      if (isHttp2) this.#serveHttp2(socket, head, certificateName);
      else if (head[0] === TLS_HANDSHAKE) this.#refuseTls(socket);
      else this.#serveHttp1(socket, head, certificateName);
    };
    socket.on("data", onData);
    socket.on("close", () => timer.cancel());
  }

  #refuseTls(socket: Socket): void {
    this.#throttle.warn("client with TLS on a port without", {
      peer: this.#peerOf(socket),
    });
    socket.destroy();
  }

  #serveHttp2(
    socket: Socket,
    head: Uint8Array,
    certificateName: string | undefined,
  ): void {
    const { http2, clock } = this.parts;
    if (http2 === undefined) {
      socket.destroy();
      return;
    }
    const sink = new SocketSink(
      socket,
      clock,
      () => connection.socketDrained(),
    );
    const connection = http2(sink, this.#peerOf(socket), certificateName);
    this.#connections.set(socket, connection);
    this.#reading.read(socket, (chunk) => connection.receive(chunk));
    socket.on("drain", () => connection.socketDrained());
    // A client that has closed its half does not wait for answers.
    socket.on("end", () => {
      connection.close();
      sink.close();
    });
    socket.on("close", () => {
      this.#connections.delete(socket);
      connection.close();
    });
    connection.start();
    connection.receive(head);
  }

  #serveHttp1(
    socket: Socket,
    head: Uint8Array,
    certificateName: string | undefined,
  ): void {
    const { http1 } = this.parts;
    if (http1 === undefined || !mayBeHttp1(head)) {
      socket.destroy();
      return;
    }
    this.#http1.add(socket);
    // Requests know their socket, and nothing else of their connection.
    Object.assign(socket, { certificateName });
    http1.take(socket, head);
  }

  #peerOf(socket: Socket): string {
    if (this.address.kind === "unix") return "unix";
    return hostPort(socket.remoteAddress ?? "?", socket.remotePort ?? 0);
  }
}
