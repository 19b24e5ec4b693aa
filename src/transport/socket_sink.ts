import type { Socket } from "node:net";
import type { Clock, Timer } from "../base/clock.ts";
import type { ConnectionSink } from "./http2/connection.ts";

/** How long a client may take to read the last bytes, and to close, once we have closed. */
export const LINGER_MS = 2_000;

/**
 * A socket as a connection writes to it. `Socket.write` keeps the array until the kernel has all of it: on
 * Deno 2.9, `writableLength` is what the kernel has not taken, and bytes changed before that would be sent changed.
 */
export class SocketSink implements ConnectionSink {
  readonly #socket: Socket;
  readonly #clock: Clock;
  #linger: Timer | undefined = undefined;

  constructor(socket: Socket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
    socket.on("close", () => this.#linger?.cancel());
  }

  get queuedBytes(): number {
    return this.#socket.writableLength;
  }

  write(bytes: Uint8Array): void {
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  /** What is written goes out first, for as long as the client may take. */
  close(): void {
    const socket = this.#socket;
    if (socket.destroyed || this.#linger !== undefined) return;
    this.#linger = this.#clock.after(LINGER_MS, () => socket.destroy());
    socket.end();
    // What still comes is dropped, so that the client's own end is seen.
    socket.resume();
  }
}
