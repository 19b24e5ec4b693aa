import type { Socket } from "node:net";
import { setImmediate } from "node:timers";
import type { Clock, Timer } from "../base/clock.ts";
import type { ConnectionSink } from "./http2/connection.ts";

/** How long a client may take to read the last bytes, and to close, once we have closed. */
export const LINGER_MS = 2_000;
/** What is read and dropped meanwhile: more than an honest client has under way when it is told to go. */
export const MAX_LINGER_BYTES = 4 << 20;

/** Others have their turn at least each time so much was written; small answers of many turns share one pause. */
const PAUSE_EVERY_BYTES = 256 << 10;

/**
 * A socket as a connection writes to it. `Socket.write` keeps the array until the kernel has all of it: on
 * Deno 2.9, `writableLength` is what the kernel has not taken, and bytes changed before that would be sent changed.
 *
 * A kernel that takes everything at once must not keep a connection writing: what was written since the event loop
 * last looked at the other sockets counts as queued, too. Measured with lists of 110 MB to a client that reads them
 * as they come: without that others waited for up to 220 ms.
 */
export class SocketSink implements ConnectionSink {
  readonly #socket: Socket;
  readonly #clock: Clock;
  #linger: Timer | undefined = undefined;
  /** Bytes since the last pause. */
  #recentBytes = 0;
  #isPauseDue = false;
  readonly #onPause: () => void;

  /** `onPause`: others have had their turn, there may be room again. */
  constructor(socket: Socket, clock: Clock, onPause: () => void) {
    this.#socket = socket;
    this.#clock = clock;
    this.#onPause = onPause;
    socket.on("close", () => this.#linger?.cancel());
  }

  get queuedBytes(): number {
    return this.#socket.writableLength + this.#recentBytes;
  }

  write(bytes: Uint8Array): void {
    if (!this.#socket.writable) return;
    this.#socket.write(bytes);
    this.#recentBytes += bytes.length;
    if (this.#recentBytes < PAUSE_EVERY_BYTES || this.#isPauseDue) return;
    this.#isPauseDue = true;
    setImmediate(() => {
      this.#isPauseDue = false;
      this.#recentBytes = 0;
      this.#onPause();
    });
  }

  /** What is written goes out first, for as long as the client may take. */
  close(): void {
    const socket = this.#socket;
    if (socket.destroyed || this.#linger !== undefined) return;
    this.#linger = this.#clock.after(LINGER_MS, () => socket.destroy());
    socket.end();
    // What still comes is dropped, so that the client's own end is seen.
    let dropped = 0;
    socket.on("data", (chunk: Uint8Array) => {
      dropped += chunk.length;
      if (dropped > MAX_LINGER_BYTES) socket.destroy();
    });
    socket.resume();
  }
}
