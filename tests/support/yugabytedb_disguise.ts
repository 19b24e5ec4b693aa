import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { Buffer } from "node:buffer";

/**
 * Makes a PostgreSQL server look like YugabyteDB, so that what the driver would send to that is run by this: the
 * version says so, and what PostgreSQL does not know in its DDL is blanked out on the way.
 */
export class YugabytedbDisguise implements AsyncDisposable {
  readonly #server = createServer();
  readonly #sockets = new Set<Socket>();
  /** All that was sent to the server, as text. */
  sent = "";

  private constructor(target: URL) {
    this.#server.unref();
    const port = Number(target.port || 5432);
    this.#server.on("connection", (client) => {
      const server = connect({ host: target.hostname, port, noDelay: true });
      client.setNoDelay(true);
      this.#relay(client, server, (chunk) => this.#toServer(chunk));
      this.#relay(server, client, disguise);
    });
  }

  static async start(serverUrl: string): Promise<YugabytedbDisguise> {
    const relay = new YugabytedbDisguise(new URL(serverUrl));
    relay.#server.listen(0, "127.0.0.1");
    await once(relay.#server, "listening");
    return relay;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #relay(from: Socket, to: Socket, change: (chunk: Buffer) => Buffer): void {
    this.#sockets.add(from);
    from.on("data", (chunk: Buffer) => to.write(change(chunk)));
    from.on("error", () => {});
    from.on("close", () => {
      this.#sockets.delete(from);
      to.end();
    });
  }

  #toServer(chunk: Buffer): Buffer {
    // Batches are not looked at: there may be anything in them.
    if (chunk.length > MAX_STATEMENT_BYTES) return chunk;
    const text = chunk.toString("latin1");
    this.sent += text;
    return Buffer.from(text.replace(UNKNOWN_WORDS, blank), "latin1");
  }
}

const MAX_STATEMENT_BYTES = 4096;
const UNKNOWN_WORDS = /(?<=PRIMARY KEY \([^)]*) ASC\b| WITH COLOCATION = true/g;

/** As many bytes: messages have their lengths in front of them. */
function blank(words: string): string {
  return " ".repeat(words.length);
}

/** "PostgreSQL 15.2…" becomes "PostgreSQL -YB-…". */
function disguise(chunk: Buffer): Buffer {
  const at = chunk.indexOf("PostgreSQL 1");
  if (at >= 0) chunk.write("-YB-", at + "PostgreSQL ".length);
  return chunk;
}
