import {
  type Fault,
  type FaultPlan,
  ProxiedConnection,
} from "./fault_proxy_connection.ts";
import type { Request, Wire } from "./fault_proxy_wire.ts";

/**
 * Stands between a database server and its clients, and does to each request what `plan` says. It understands just
 * enough of the protocol to know when a request has reached the server and when it has been executed.
 */
export class FaultProxy implements AsyncDisposable {
  /** What happens to requests from now on. */
  plan: FaultPlan = () => undefined;
  /** Faults that were made, by kind, with the code of an error behind it. */
  readonly counts = new Map<string, number>();
  readonly #target: URL;
  readonly #makeWire: () => Wire;
  readonly #connections = new Set<ProxiedConnection>();
  readonly #running = new Set<Promise<void>>();
  readonly #port: number;
  #isAccepting = true;
  #listener: Deno.TcpListener | undefined;

  constructor(serverUrl: string, makeWire: () => Wire) {
    this.#target = new URL(serverUrl);
    this.#makeWire = makeWire;
    this.#listener = listenSomewhere();
    this.#port = this.#listener.addr.port;
    this.#track(this.#serve(this.#listener));
  }

  /** The server's URL, by way of the proxy. */
  get url(): string {
    const url = new URL(this.#target);
    url.hostname = "127.0.0.1";
    url.port = String(this.#port);
    return url.href.replace(/\/$/, "");
  }

  /** Takes connections, again after `refuse`. */
  accept(): void {
    if (this.#isAccepting) return;
    this.#isAccepting = true;
    this.#track(this.#listen());
  }

  /** The server is down: every connection is lost and new ones are refused. */
  refuse(): void {
    this.#isAccepting = false;
    this.#listener?.close();
    this.#listener = undefined;
    this.cutAll();
  }

  cutAll(): void {
    for (const connection of [...this.#connections]) connection.cut();
  }

  /** The network lets nothing through on the connections there are; new ones are fine. */
  silenceAll(): void {
    for (const connection of this.#connections) connection.silence();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.refuse();
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** The port is free a moment after its listener was closed. */
  async #listen(): Promise<void> {
    while (this.#isAccepting && this.#listener === undefined) {
      try {
        this.#listener = listen(this.#port);
        return await this.#serve(this.#listener);
      } catch (error) {
        if (!(error instanceof Deno.errors.AddrInUse)) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async #serve(listener: Deno.TcpListener): Promise<void> {
    for await (const client of listener) this.#track(this.#connect(client));
  }

  async #connect(client: Deno.TcpConn): Promise<void> {
    const { hostname, port } = this.#target;
    client.setNoDelay();
    let server: Deno.TcpConn;
    try {
      server = await Deno.connect({ hostname, port: Number(port) });
    } catch {
      return client.close(); // as if nobody had listened
    }
    server.setNoDelay();
    const connection = new ProxiedConnection(
      client,
      server,
      this.#makeWire(),
      (request) => this.#decide(request),
    );
    if (this.#listener === undefined) connection.cut();
    this.#connections.add(connection);
    try {
      await connection.run();
    } finally {
      this.#connections.delete(connection);
    }
  }

  #decide(request: Request): Fault | undefined {
    const fault = this.plan(request);
    if (fault !== undefined) {
      const name = "error" in fault
        ? `${fault.kind} ${fault.error.code}`
        : fault.kind;
      this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    }
    return fault;
  }

  #track(running: Promise<void>): void {
    this.#running.add(running);
    running.finally(() => this.#running.delete(running));
  }
}

/** Nobody is given these ports, so that one can be closed for a while and opened again. */
const FIRST_PORT = 12_000;
const PORTS = 18_000;
const MAX_TRIES = 100;

function listenSomewhere(): Deno.TcpListener {
  for (let tries = 1;; tries++) {
    try {
      return listen(FIRST_PORT + Math.floor(Math.random() * PORTS));
    } catch (error) {
      const isTaken = error instanceof Deno.errors.AddrInUse;
      if (!isTaken || tries === MAX_TRIES) throw error;
    }
  }
}

function listen(port: number): Deno.TcpListener {
  return Deno.listen({ hostname: "127.0.0.1", port });
}
