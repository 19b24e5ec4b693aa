import { MessageReader, type MessageReaderOptions } from "./message_reader.ts";
import type { ReceiveBudget } from "./receive_budget.ts";
import { Code, StatusError } from "./status.ts";

/**
 * Gathers the request of a call that takes exactly one message.
 *
 * Invariant: what it holds, the budget knows of. A message may be here long before the request ends, and a small one
 * may have been decompressed into a large one.
 */
export class SingleMessage {
  readonly #reader: MessageReader;
  readonly #budget: ReceiveBudget;
  #message: Uint8Array | undefined = undefined;
  /** Taken from the budget for the message. */
  #takenBytes = 0;

  constructor(options: MessageReaderOptions) {
    this.#reader = new MessageReader(options);
    this.#budget = options.budget;
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
      this.#keep(message);
    }
  }

  /** The message, which is the caller's from now on; throws `StatusError` if the request ended too early. */
  finish(): Uint8Array {
    if (!this.#reader.isEmpty) throw unexpectedEof();
    const message = this.#message;
    if (message === undefined) {
      throw violation("received no request message from");
    }
    this.#letGo();
    return message;
  }

  close(): void {
    this.#reader.close();
    this.#letGo();
  }

  #keep(message: Uint8Array): void {
    this.#budget.take(message.length);
    this.#takenBytes = message.length;
    // A view would hold the whole chunk.
    this.#message = message.length === message.buffer.byteLength
      ? message
      : new Uint8Array(message);
  }

  #letGo(): void {
    this.#message = undefined;
    this.#budget.giveBack(this.#takenBytes);
    this.#takenBytes = 0;
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
