/**
 * What a fault proxy must know of a database's protocol: where a request ends, which statement it runs, and where
 * its answer ends. One for each connection, since it keeps what is not whole yet.
 */
export interface Wire {
  /** What the client is taken to have asked by connecting, if the server speaks first. */
  begin(): Request[];
  /** The requests that these bytes from the client complete. */
  requests(chunk: Uint8Array): Request[];
  /** The parts of answers that these bytes from the server complete. */
  answers(chunk: Uint8Array): AnswerPart[];
  /** An answer that says nothing but this, or, if it replaces an error, the rest of one. */
  failure(error: DatabaseError, replaced?: AnswerPart): Uint8Array;
  /** The same request, made to do everything and to fail, undone, when it should be committed. */
  undone(request: Request): Uint8Array;
}

export interface Request {
  /** `other` is part of no statement, as a password is. */
  readonly kind: "connect" | "statement" | "other";
  readonly bytes: Uint8Array;
  /** SQL; empty for all but a statement. */
  readonly statement: string;
  /** Whether the server says something that ends with `endsAnswer`. */
  readonly isAnswered: boolean;
}

export interface AnswerPart {
  readonly bytes: Uint8Array;
  readonly endsAnswer: boolean;
  readonly isError: boolean;
}

/** What a database server says of a failure. */
export interface DatabaseError {
  /** SQLSTATE, or MySQL's number. */
  readonly code: string;
  readonly message: string;
  /** The server ends the connection after it. Default: false. */
  readonly isFatal?: boolean;
}

/** Bytes that came and are not whole messages yet. */
export class Unread {
  #bytes = new Uint8Array(0);

  add(chunk: Uint8Array): void {
    const joined = new Uint8Array(this.#bytes.length + chunk.length);
    joined.set(this.#bytes);
    joined.set(chunk, this.#bytes.length);
    this.#bytes = joined;
  }

  /** The first `length` bytes, without taking them; undefined until they are there. */
  peek(length: number): DataView | undefined {
    const { buffer, byteOffset } = this.#bytes;
    return this.#bytes.length < length
      ? undefined
      : new DataView(buffer, byteOffset, length);
  }

  /** Undefined until they are there. */
  take(length: number): Uint8Array | undefined {
    if (this.#bytes.length < length) return undefined;
    const taken = this.#bytes.slice(0, length);
    this.#bytes = this.#bytes.subarray(length);
    return taken;
  }
}
