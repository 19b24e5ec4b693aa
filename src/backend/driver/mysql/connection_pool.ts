import { BackendError } from "../../backend.ts";

/** What a pool needs of a connection. */
export interface PooledConnection {
  /** False once it is lost or destroyed. */
  readonly isUsable: boolean;
  destroy(): void;
  end(): Promise<void>;
}

/**
 * Connections that are made when they are needed and kept, up to a number.
 *
 * Whoever finds all of them in use waits its turn. One that is lost is replaced by whoever asks next; nothing is
 * tried again here.
 */
export class ConnectionPool<C extends PooledConnection> {
  readonly #connect: () => Promise<C>;
  readonly #max: number;
  readonly #idle: C[] = [];
  readonly #all = new Set<C>();
  readonly #waiting: (() => void)[] = [];
  #inUse = 0;
  #isClosed = false;

  constructor(connect: () => Promise<C>, max: number) {
    this.#connect = connect;
    this.#max = max;
  }

  /** Lends a connection to `run`, and to nobody else until it settles. */
  async use<T>(run: (connection: C) => Promise<T>): Promise<T> {
    if (this.#inUse < this.#max) this.#inUse++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      if (this.#isClosed) throw closed();
      return await this.#lend(run);
    } finally {
      // Whoever has waited longest takes this place, and nobody who comes just now.
      const next = this.#waiting.shift();
      if (next === undefined) this.#inUse--;
      else next();
    }
  }

  /** Gives up every connection; whoever uses one finds it lost. */
  reset(): void {
    for (const connection of this.#all) connection.destroy();
    this.#all.clear();
    this.#idle.length = 0;
  }

  /** Ends the idle connections with a good-bye, and the others without. */
  async close(): Promise<void> {
    this.#isClosed = true;
    // From now on nobody gets a place, so that they need not be counted.
    for (const wake of this.#waiting.splice(0)) wake();
    const idle = this.#idle.splice(0);
    for (const connection of idle) this.#all.delete(connection);
    this.reset();
    await Promise.all(idle.map((connection) => connection.end()));
  }

  async #lend<T>(run: (connection: C) => Promise<T>): Promise<T> {
    const connection = this.#takeIdle() ?? await this.#make();
    try {
      return await run(connection);
    } finally {
      const isKept = this.#all.has(connection) && connection.isUsable;
      if (isKept) this.#idle.push(connection);
      else this.#all.delete(connection);
    }
  }

  #takeIdle(): C | undefined {
    for (;;) {
      const connection = this.#idle.pop();
      if (connection === undefined || connection.isUsable) return connection;
      this.#all.delete(connection);
    }
  }

  async #make(): Promise<C> {
    const connection = await this.#connect();
    if (this.#isClosed) {
      connection.destroy();
      throw closed();
    }
    this.#all.add(connection);
    return connection;
  }
}

function closed(): BackendError {
  return new BackendError("Cannot use the backend: it is closed", {
    kind: "closed",
  });
}
