import net, { type AddressInfo, type Server, type Socket } from "node:net";
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import { addressUrl, type ListenAddress } from "./address.ts";
import type { Connection, ConnectionSink } from "./http2/connection.ts";
import { looksLikeHttp2 } from "./http2_preface.ts";
import type { Http1Handover } from "./http1_handover.ts";

export interface ListenerLimits {
  /** A client that has not said what it speaks by then is cut off. */
  readonly firstBytesTimeoutMs: number;
  /** More connections than this are closed at once: descriptors are finite. */
  readonly maxConnections: number;
}

export const DEFAULT_LISTENER_LIMITS: ListenerLimits = {
  firstBytesTimeoutMs: 10_000,
  maxConnections: 20_000,
};

export interface ListenerParts {
  /** Makes the connection of a client that speaks HTTP/2. */
  readonly http2:
    | ((sink: ConnectionSink, peer: string) => Connection)
    | undefined;
  /** Takes clients that speak HTTP/1.1; undefined: they are cut off. */
  readonly http1: Http1Handover | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * One listening socket. Looks at the first bytes of each connection: HTTP/2's preface makes it a `Connection`,
 * anything else goes to HTTP/1.1.
 */
export class Listener {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #connections = new Set<Connection>();
  #isClosing = false;
  #drained: (() => void) | undefined = undefined;

  constructor(
    readonly address: ListenAddress,
    readonly parts: ListenerParts,
    readonly limits: ListenerLimits = DEFAULT_LISTENER_LIMITS,
  ) {
    this.#server = net.createServer(
      { noDelay: true },
      (socket) => this.#accept(socket),
    );
  }

  /** Open connections, HTTP/1.1 included. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** The address with the port that was chosen, as a URL. */
  get url(): string {
    if (this.address.kind === "unix") return addressUrl(this.address);
    const { port } = this.#server.address() as AddressInfo;
    return addressUrl({ ...this.address, port });
  }

  /** Binds; rejects with why not. */
  async listen(): Promise<void> {
    const { address } = this;
    if (address.kind === "unix") await removeDeadSocket(address.path);
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", (error) => {
        reject(
          new Error(
            `Cannot listen on ${addressUrl(address)}: ${error.message}`,
          ),
        );
      });
      if (address.kind === "unix") this.#server.listen(address.path, resolve);
      else this.#server.listen(address.port, address.host, resolve);
    });
    this.#server.on("error", (error) => {
      this.parts.log.warn("listener failed", {
        address: addressUrl(address),
        error,
      });
    });
  }

  /** Accepts no more, lets calls finish for `graceMs` at most, closes everything. */
  async shutdown(graceMs: number): Promise<void> {
    this.#isClosing = true;
    const closed = new Promise<void>((resolve) =>
      this.#server.close(() => resolve())
    );
    const drained = new Promise<void>((resolve) => this.#drained = resolve);
    for (const connection of [...this.#connections]) {
      connection.shutdown(graceMs);
    }
    this.#checkDrained();
    await drained;
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #accept(socket: Socket): void {
    if (this.#isClosing || this.#sockets.size >= this.limits.maxConnections) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.on("error", () => {}); // `close` follows
    socket.on("close", () => this.#sockets.delete(socket));
    socket.setNoDelay(true);
    const timer = this.parts.clock.after(
      this.limits.firstBytesTimeoutMs,
      () => socket.destroy(),
    );
    let head: Uint8Array = new Uint8Array(0);
    const onData = (chunk: Uint8Array) => {
      head = head.length === 0 ? chunk : join(head, chunk);
      const isHttp2 = looksLikeHttp2(head);
      if (isHttp2 === undefined) return;
      timer.cancel();
      socket.off("data", onData);
      if (isHttp2) this.#serveHttp2(socket, head);
      else this.#serveHttp1(socket, head);
    };
    socket.on("data", onData);
    socket.on("close", () => timer.cancel());
  }

  #serveHttp2(socket: Socket, head: Uint8Array): void {
    const { http2 } = this.parts;
    if (http2 === undefined) {
      socket.destroy();
      return;
    }
    const peer = this.address.kind === "unix"
      ? "unix"
      : `${socket.remoteAddress}:${socket.remotePort}`;
    const connection = http2(new SocketSink(socket), peer);
    this.#connections.add(connection);
    connection.onClosed = () => {
      this.#connections.delete(connection);
      this.#checkDrained();
    };
    socket.on("data", (chunk: Uint8Array) => connection.receive(chunk));
    socket.on("drain", () => connection.socketDrained());
    socket.on("close", () => connection.close());
    connection.start();
    connection.receive(head);
  }

  #serveHttp1(socket: Socket, head: Uint8Array): void {
    const { http1 } = this.parts;
    if (http1 === undefined) socket.destroy();
    else http1.take(socket, head);
  }

  #checkDrained(): void {
    if (this.#isClosing && this.#connections.size === 0) this.#drained?.();
  }
}

class SocketSink implements ConnectionSink {
  constructor(readonly socket: Socket) {}

  get queuedBytes(): number {
    return this.socket.writableLength;
  }

  write(bytes: Uint8Array): void {
    if (!this.socket.destroyed) this.socket.write(bytes);
  }

  close(error?: Error): void {
    // What is written goes out first, unless the client does not take it.
    if (error === undefined) this.socket.end();
    else this.socket.end(() => this.socket.destroy());
  }
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}

/** A socket file that nobody listens on is left from a server that died. */
async function removeDeadSocket(path: string): Promise<void> {
  let isSocket;
  try {
    isSocket = Deno.lstatSync(path).isSocket;
  } catch {
    return; // There is nothing in the way.
  }
  if (!isSocket) {
    throw new Error(`Cannot listen on unix://${path}: it is not a socket`);
  }
  const isAlive = await new Promise<boolean>((resolve) => {
    const probe = net.connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", () => resolve(false));
  });
  if (isAlive) {
    throw new Error(`Cannot listen on unix://${path}: another process does`);
  }
  Deno.removeSync(path);
}
