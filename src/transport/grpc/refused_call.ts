import type { ServerStream } from "../http2/server_stream.ts";
import type { StreamReceiver } from "../http2/stream_handler.ts";
import type { Refusal } from "./call_head.ts";

/** Who sends more than this to somebody who will not serve it is answered without waiting for the rest. */
const MAX_IGNORED_BYTES = 64 << 10;

/**
 * A request that is not gRPC. Its answer waits for its end, so that a body that breaks a rule of HTTP/2 is told that
 * and not the lesser evil; with gRPC's own requests nobody can wait, since some of them end after their answer.
 */
export class RefusedCall implements StreamReceiver {
  readonly #refusal: Refusal;
  #ignoredBytes = 0;

  constructor(refusal: Refusal) {
    this.#refusal = refusal;
  }

  onData(stream: ServerStream, chunk: Uint8Array, endStream: boolean): void {
    stream.consumed(chunk.length);
    this.#ignoredBytes += chunk.length;
    if (endStream || this.#ignoredBytes > MAX_IGNORED_BYTES) {
      this.#refusal.send(stream);
    }
  }

  onTrailers(stream: ServerStream): void {
    this.#refusal.send(stream);
  }

  onReset(): void {}

  onDrain(): void {}
}
