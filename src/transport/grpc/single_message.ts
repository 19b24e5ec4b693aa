import { MessageReader, type MessageReaderOptions } from "./message_reader.ts";
import { Code, StatusError } from "./status.ts";

/** Gathers the request of a call that takes exactly one message. */
export class SingleMessage {
  readonly #reader: MessageReader;
  #message: Uint8Array | undefined = undefined;

  constructor(options: MessageReaderOptions) {
    this.#reader = new MessageReader(options);
  }

  /** Throws `StatusError`. */
  add(chunk: Uint8Array): void {
    this.#reader.push(chunk);
    for (;;) {
      const message = this.#reader.next();
      if (message === undefined) return;
      if (this.#message !== undefined) {
        throw violation("received multiple request messages for");
      }
      this.#message = message;
    }
  }

  /** The message; throws `StatusError` if the request ended too early. */
  finish(): Uint8Array {
    if (!this.#reader.isEmpty) throw unexpectedEof();
    if (this.#message === undefined) {
      throw violation("received no request message from");
    }
    return this.#message;
  }

  close(): void {
    this.#reader.close();
  }
}

/** The request ended inside a message. */
export function unexpectedEof(): StatusError {
  return new StatusError(Code.Internal, "unexpected EOF");
}

function violation(what: string): StatusError {
  return new StatusError(
    Code.Internal,
    `cardinality violation: ${what} non-client-streaming RPC`,
  );
}
