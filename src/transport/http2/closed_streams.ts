/** Streams remembered: more than a client has under way when it learns of a reset. */
const REMEMBERED = 128;

/** How a stream came to its end. */
export const Closed = {
  /** Nothing is known: it ended long ago, or was skipped. */
  Unknown: 0,
  /** Both sides ended it, or the client reset it: it must not send any more. */
  ByClient: 1,
  /** We reset it: frames of the client may still be on their way and mean nothing (RFC 9113 §5.1). */
  ByServer: 2,
} as const;
export type Closed = typeof Closed[keyof typeof Closed];

/** Remembers how the last streams ended. Writing is one store; reading is for the rare frame on a closed stream. */
export class ClosedStreams {
  readonly #ids = new Int32Array(REMEMBERED);
  readonly #how = new Uint8Array(REMEMBERED);
  #next = 0;

  add(streamId: number, how: Closed): void {
    this.#ids[this.#next] = streamId;
    this.#how[this.#next] = how;
    this.#next = (this.#next + 1) % REMEMBERED;
  }

  get(streamId: number): Closed {
    const at = this.#ids.indexOf(streamId);
    return at < 0 ? Closed.Unknown : this.#how[at] as Closed;
  }
}
