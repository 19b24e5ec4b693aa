import { concatBytes, text, utf8 } from "../../src/base/bytes.ts";
import {
  type AnswerPart,
  type DatabaseError,
  type Request,
  Unread,
  type Wire,
} from "./fault_proxy_wire.ts";

/**
 * PostgreSQL's messages, protocol 3.0, without TLS: a request is everything up to a Sync, a Flush or a simple Query,
 * and its answer ends with ReadyForQuery.
 */
export class PostgresWire implements Wire {
  readonly #fromClient = new Unread();
  readonly #fromServer = new Unread();
  /** SQL by name of the prepared statement. */
  readonly #prepared = new Map<string, string>();
  #isStarted = false;
  #messages: Uint8Array[] = [];
  #statement = "";
  /** As ReadyForQuery has it: idle, in a transaction, in one that failed. */
  #status = "I";

  begin(): Request[] {
    return [];
  }

  requests(chunk: Uint8Array): Request[] {
    this.#fromClient.add(chunk);
    const requests: Request[] = [];
    for (;;) {
      const request = this.#isStarted ? this.#nextRequest() : this.#startup();
      if (request === "none") return requests;
      if (request !== undefined) requests.push(request);
    }
  }

  answers(chunk: Uint8Array): AnswerPart[] {
    this.#fromServer.add(chunk);
    const parts: AnswerPart[] = [];
    for (;;) {
      const bytes = nextMessage(this.#fromServer);
      if (bytes === undefined) return parts;
      const type = String.fromCharCode(bytes[0]!);
      if (type === "Z") this.#status = String.fromCharCode(bytes[5]!);
      parts.push({ bytes, endsAnswer: type === "Z", isError: type === "E" });
    }
  }

  failure({ code, message, isFatal }: DatabaseError): Uint8Array {
    const severity = isFatal ? "FATAL" : "ERROR";
    const fields = `S${severity}\0V${severity}\0C${code}\0M${message}\0\0`;
    const error = frame("E", utf8(fields));
    if (isFatal) return error;
    const status = this.#status === "I" ? "I" : "E";
    return concatBytes(error, frame("Z", utf8(status)));
  }

  /** With a message that cannot be parsed, ahead of the Sync that would have committed. */
  undone({ bytes }: Request): Uint8Array {
    const isSimple = String.fromCharCode(bytes[0]!) === "Q";
    if (isSimple) return frame("Q", utf8("undone by the fault proxy\0"));
    return concatBytes(
      bytes.subarray(0, -SYNC_BYTES),
      frame("P", utf8("\0undone by the fault proxy\0\0\0")),
      bytes.subarray(-SYNC_BYTES),
    );
  }

  #startup(): Request | "none" {
    const length = this.#fromClient.peek(4)?.getUint32(0);
    const bytes = length === undefined
      ? undefined
      : this.#fromClient.take(length);
    if (bytes === undefined) return "none";
    this.#isStarted = true;
    return { kind: "connect", bytes, statement: "", isAnswered: true };
  }

  /** Undefined: a message that is part of a request. */
  #nextRequest(): Request | "none" | undefined {
    const message = nextMessage(this.#fromClient);
    if (message === undefined) return "none";
    this.#messages.push(message);
    const type = String.fromCharCode(message[0]!);
    if (type === "P") {
      const [name, statement] = textsOf(message);
      this.#prepared.set(name!, statement!);
    } else if (type === "B") {
      const [, name] = textsOf(message.subarray(0, MAX_NAMES_BYTES));
      this.#statement = this.#prepared.get(name!)!;
    } else if (type === "Q") this.#statement = textsOf(message)[0]!;
    return "PBDEC".includes(type) ? undefined : this.#whole(type);
  }

  #whole(type: string): Request {
    const bytes = concatBytes(...this.#messages);
    const statement = this.#statement;
    this.#messages = [];
    this.#statement = "";
    const kind = statement === "" ? "other" : "statement";
    return { kind, bytes, statement, isAnswered: "SQ".includes(type) };
  }
}

const SYNC_BYTES = 5;
/** A Bind begins with the names of a portal and a statement, and may go on for megabytes. */
const MAX_NAMES_BYTES = 200;

/** A message's first texts. */
function textsOf(message: Uint8Array): string[] {
  return text(message.subarray(5)).split("\0", 2);
}

function nextMessage(unread: Unread): Uint8Array | undefined {
  const length = unread.peek(5)?.getUint32(1);
  return length === undefined ? undefined : unread.take(length + 1);
}

function frame(type: string, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(5 + body.length);
  bytes[0] = type.charCodeAt(0);
  new DataView(bytes.buffer).setUint32(1, 4 + body.length);
  bytes.set(body, 5);
  return bytes;
}
