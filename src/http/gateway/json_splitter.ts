import { tooLarge } from "../../transport/grpc/message_reader.ts";
import type { ReceiveBudget } from "../../transport/grpc/receive_budget.ts";
import { unexpectedByte } from "./json_syntax.ts";
import { WireBuffer } from "./wire_buffer.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
/** Below this, all that may stand between values is white space. */
const SPACE = 0x20;

/**
 * Finds the JSON objects in a stream of bytes, by their brackets; whether what is between them is JSON is for
 * the one who reads them. What is kept is the object that has begun, and `maxBytes` bounds it.
 */
export class JsonSplitter {
  readonly #budget: ReceiveBudget;
  /** Of the object that has begun, what was pushed before. */
  #kept = new WireBuffer();
  #keptBytes = 0;
  /** What was pushed last, and how far it was read. */
  #chunk: Uint8Array = new Uint8Array(0);
  #at = 0;
  #depth = 0;
  #isInString = false;
  #isEscaped = false;

  constructor(readonly maxBytes: number, budget: ReceiveBudget) {
    this.#budget = budget;
  }

  /** Whether nothing has begun that is not complete. */
  get isEmpty(): boolean {
    return this.#depth === 0;
  }

  /** Lets go of what has begun. */
  close(): void {
    this.#budget.giveBack(this.#keptBytes);
    this.#keptBytes = 0;
    this.#kept = new WireBuffer();
  }

  /** `next` must have returned undefined before. */
  push(chunk: Uint8Array): void {
    this.#chunk = chunk;
    this.#at = 0;
  }

  /**
   * The next object's bytes; undefined: there is none before more is pushed. Throws `JsonError` if something else than an object
   * or a list begins, `StatusError` if it is longer than `maxBytes`.
   */
  next(): Uint8Array | undefined {
    const chunk = this.#chunk;
    const start = this.#depth === 0 ? this.#begin() : this.#at;
    let at = start;
    while (at < chunk.length) {
      const byte = chunk[at++]!;
      if (this.#isInString) {
        if (this.#isEscaped) this.#isEscaped = false;
        else if (byte === BACKSLASH) this.#isEscaped = true;
        else if (byte === QUOTE) this.#isInString = false;
      } else if (byte === QUOTE) {
        this.#isInString = true;
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        this.#depth++;
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        if (--this.#depth > 0) continue;
        this.#at = at;
        return this.#take(chunk.subarray(start, at));
      }
    }
    this.#at = at;
    this.#keep(chunk.subarray(start, at));
    return undefined;
  }

  /** Passes white space; returns where an object begins, or the chunk's end. */
  #begin(): number {
    const chunk = this.#chunk;
    let at = this.#at;
    while (at < chunk.length && chunk[at]! <= SPACE) at++;
    const byte = chunk[at];
    if (
      byte !== undefined && byte !== OPEN_BRACE && byte !== OPEN_BRACKET
    ) {
      throw unexpectedByte(byte, "looking for beginning of value");
    }
    return at;
  }

  #keep(part: Uint8Array): void {
    if (part.length === 0) return;
    const bytes = this.#keptBytes + part.length;
    if (bytes > this.maxBytes) throw tooLarge(bytes, this.maxBytes);
    this.#budget.take(part.length);
    this.#keptBytes = bytes;
    this.#kept.add(part);
  }

  #take(last: Uint8Array): Uint8Array {
    if (this.#keptBytes === 0 && last.length <= this.maxBytes) return last;
    this.#keep(last);
    const json = this.#kept.toBytes();
    this.close();
    return json;
  }
}
