import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** Where a connection may be forwarded to, the best first; asked for each connection afresh. */
export type Targets = () => readonly string[];

/** Forwards TCP connections on a port of its own, as a load balancer does, and can cut them all. */
export class TcpForwarder implements AsyncDisposable {
  readonly #server = createServer({ allowHalfOpen: true });
  readonly #sockets = new Set<Socket>();
  #isCut = false;

  private constructor(readonly targets: Targets) {
    this.#server.on("connection", (socket) => this.#forward(socket));
  }

  /** Listens at 127.0.0.1, on any free port by default. */
  static async start(targets: Targets, port = 0): Promise<TcpForwarder> {
    const forwarder = new TcpForwarder(targets);
    forwarder.#server.listen(port, "127.0.0.1");
    await once(forwarder.#server, "listening");
    return forwarder;
  }

  /** host:port */
  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Ends all connections; new ones are ended too, until `mend`. */
  cut(): void {
    this.#isCut = true;
    this.endConnections();
  }

  mend(): void {
    this.#isCut = false;
  }

  /** Ends all connections there are; clients may connect again. */
  endConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.cut();
    await closed;
  }

  async #forward(socket: Socket): Promise<void> {
    if (this.#isCut) {
      socket.destroy();
      return;
    }
    this.#keep(socket);
    for (const target of this.targets()) {
      const upstream = await connectTo(target);
      if (upstream === undefined) continue;
      this.#keep(upstream);
      if (this.#isCut || socket.destroyed) upstream.destroy();
      join(socket, upstream);
      return;
    }
    socket.destroy();
  }

  #keep(socket: Socket): void {
    socket.setNoDelay(true);
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => this.#sockets.delete(socket));
    this.#sockets.add(socket);
  }
}

/** Undefined if nobody accepts there. */
async function connectTo(target: string): Promise<Socket | undefined> {
  const { hostname, port } = new URL(`tcp://${target}`);
  const socket = connect({
    host: hostname,
    port: Number(port),
    allowHalfOpen: true,
  });
  try {
    await once(socket, "connect");
    return socket;
  } catch {
    return undefined;
  }
}

function join(one: Socket, other: Socket): void {
  one.on("close", () => other.destroy());
  other.on("close", () => one.destroy());
  if (one.destroyed || other.destroyed) {
    one.destroy();
    other.destroy();
    return;
  }
  one.pipe(other);
  other.pipe(one);
}
