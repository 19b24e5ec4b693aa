import type { Socket } from "node:net";
import type { Clock } from "../base/clock.ts";

/**
 * How long one connection may keep all others waiting. Long against what a chunk of honest requests takes (64 KiB of
 * puts: 1 ms), short against what a client notices.
 */
const MAX_SPELL_MS = 4;

/**
 * Reads sockets so that all have their turn: Deno 2.9 hands on what a socket has, chunk after chunk, before it looks
 * at the next one, which may be never. A socket whose chunks have taken `MAX_SPELL_MS` together rests until the
 * others were looked at; of those that rest, one a turn goes on, so that a hundred of them cost others no more than
 * one does.
 *
 * Measured with one client whose chunks take 4 ms each, the next client waits for more than 2 s without a rest, for
 * 0.4 s with one of `setImmediate`, and for 0.02 s with a timer.
 */
export class FairReading {
  readonly #clock: Clock;
  readonly #resting = new Set<Socket>();
  readonly #next = () => this.#resumeNext();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Hands on every chunk of the socket from now on. */
  read(socket: Socket, receive: (chunk: Uint8Array) => void): void {
    const clock = this.#clock;
    let spentMs = 0;
    socket.on("data", (chunk: Uint8Array) => {
      const beganMs = clock.monotonicMs();
      receive(chunk);
      spentMs += clock.monotonicMs() - beganMs;
      if (spentMs < MAX_SPELL_MS) return;
      spentMs = 0;
      this.#rest(socket);
    });
    socket.on("close", () => this.#resting.delete(socket));
  }

  #rest(socket: Socket): void {
    socket.pause();
    this.#resting.add(socket);
    if (this.#resting.size === 1) this.#clock.after(0, this.#next);
  }

  #resumeNext(): void {
    const [socket] = this.#resting;
    if (socket === undefined) return;
    this.#resting.delete(socket);
    socket.resume();
    if (this.#resting.size > 0) this.#clock.after(0, this.#next);
  }
}
