import { concatBytes, text, utf8 } from "../../src/base/bytes.ts";
import {
  type AnswerPart,
  type DatabaseError,
  type Request,
  Unread,
  type Wire,
} from "./fault_proxy_wire.ts";

/**
 * The protocol of MySQL and MariaDB, without TLS, compression and prepared statements: a request is one command, and
 * its answer one outcome or result set for each statement in it.
 *
 *   greeting -> (password) -> command -> answer -> command -> …
 *
 * An answer, packet by packet:
 *
 *   first --OK--> first or end     first --columns--> columns --EOF--> rows --EOF--> first or end     any --ERR--> end
 */
export class MysqlWire implements Wire {
  readonly #fromClient = new Unread();
  readonly #fromServer = new Unread();
  #isAuthenticated = false;
  #command: Uint8Array[] = [];
  #expects: "first" | "columns" | "rows" = "first";

  /** To connect is to ask for the greeting, and everything up to the welcome. */
  begin(): Request[] {
    const bytes = new Uint8Array(0);
    return [{ kind: "connect", bytes, statement: "", isAnswered: true }];
  }

  requests(chunk: Uint8Array): Request[] {
    this.#fromClient.add(chunk);
    const requests: Request[] = [];
    for (;;) {
      const packet = nextPacket(this.#fromClient);
      if (packet === undefined) return requests;
      this.#command.push(packet);
      if (packet.length === HEADER_BYTES + MAX_PAYLOAD_BYTES) continue;
      requests.push(this.#request(this.#command));
      this.#command = [];
    }
  }

  answers(chunk: Uint8Array): AnswerPart[] {
    this.#fromServer.add(chunk);
    const parts: AnswerPart[] = [];
    for (;;) {
      const packet = nextPacket(this.#fromServer);
      if (packet === undefined) return parts;
      parts.push(
        this.#isAuthenticated ? this.#part(packet) : this.#hello(packet),
      );
    }
  }

  failure({ code, message }: DatabaseError, replaced?: AnswerPart): Uint8Array {
    const sequence = replaced?.bytes[SEQUENCE_AT] ??
      (this.#isAuthenticated ? 1 : 0);
    const number = Number(code);
    const state = utf8(`#${SQL_STATE[number] ?? "HY000"}`);
    const header = [ERROR, number & 0xff, number >> 8];
    // Before the greeting nothing is agreed upon, and there is no state.
    const payload = this.#isAuthenticated
      ? concatBytes(new Uint8Array(header), state, utf8(message))
      : concatBytes(new Uint8Array(header), utf8(message));
    return packetOf(payload, sequence);
  }

  /** MariaDB runs a block where a statement could be; one without COMMIT commits by itself and is left out. */
  undone({ bytes, statement }: Request): Uint8Array {
    const kept = /^(.*;\s*)COMMIT\s*$/s.exec(statement)?.[1] ?? "";
    const sql =
      `${kept}BEGIN NOT ATOMIC ROLLBACK; SIGNAL SQLSTATE '45000'; END`;
    const command = bytes.subarray(HEADER_BYTES, HEADER_BYTES + 1);
    return packetOf(concatBytes(command, utf8(sql)), 0);
  }

  #request(packets: readonly Uint8Array[]): Request {
    const bytes = concatBytes(...packets);
    const command = this.#isAuthenticated ? bytes[HEADER_BYTES]! : -1;
    const isQuery = command === Command.Query;
    if (command === Command.Prepare) {
      throw new Error("the fault proxy knows no prepared statements");
    }
    const statement = isQuery
      ? packets.map((packet) => text(packet.subarray(HEADER_BYTES))).join("")
        .slice(1)
      : "";
    const isAnswered = command !== -1 && command !== Command.Quit;
    const kind = isQuery ? "statement" : "other";
    return { kind, bytes, statement, isAnswered };
  }

  #hello(bytes: Uint8Array): AnswerPart {
    const isError = bytes[HEADER_BYTES] === ERROR;
    const isWelcome = bytes[HEADER_BYTES] === OK && bytes[SEQUENCE_AT]! > 0;
    this.#isAuthenticated = isWelcome;
    return { bytes, endsAnswer: isError || isWelcome, isError };
  }

  #part(bytes: Uint8Array): AnswerPart {
    const type = bytes[HEADER_BYTES];
    const isError = type === ERROR;
    const isEof = type === EOF && bytes.length <= HEADER_BYTES + 5;
    let endsAnswer = isError;
    if (isError) this.#expects = "first";
    else if (this.#expects === "columns") {
      if (isEof) this.#expects = "rows";
    } else if (this.#expects === "rows") {
      if (isEof) {
        this.#expects = "first";
        endsAnswer = !hasMore(bytes, HEADER_BYTES + 3);
      }
    } else if (type === OK) endsAnswer = !hasMore(bytes, statusAt(bytes));
    else if (isEof) endsAnswer = true;
    else this.#expects = "columns";
    return { bytes, endsAnswer, isError };
  }
}

const HEADER_BYTES = 4;
const SEQUENCE_AT = 3;
/** One that is so long goes on in the next packet. */
const MAX_PAYLOAD_BYTES = 0xffffff;

const OK = 0x00;
const EOF = 0xfe;
const ERROR = 0xff;

const Command = { Quit: 0x01, Query: 0x03, Prepare: 0x16 };

const SQL_STATE: Readonly<Record<number, string>> = {
  1040: "08004",
  1213: "40001",
};

const MORE_RESULTS = 0x08;

function hasMore(packet: Uint8Array, statusAt: number): boolean {
  return (packet[statusAt]! & MORE_RESULTS) !== 0;
}

/** In an OK, behind two numbers of various lengths: rows that were changed, and the last id. */
function statusAt(packet: Uint8Array): number {
  let at = HEADER_BYTES + 1;
  for (let i = 0; i < 2; i++) at += NUMBER_BYTES[packet[at]!] ?? 1;
  return at;
}

const NUMBER_BYTES: Readonly<Record<number, number>> = {
  0xfc: 3,
  0xfd: 4,
  0xfe: 9,
};

function nextPacket(unread: Unread): Uint8Array | undefined {
  const header = unread.peek(HEADER_BYTES);
  if (header === undefined) return undefined;
  const length = header.getUint16(0, true) | header.getUint8(2) << 16;
  return unread.take(HEADER_BYTES + length);
}

function packetOf(payload: Uint8Array, sequence: number): Uint8Array {
  const { length } = payload;
  if (length >= MAX_PAYLOAD_BYTES) throw new Error("packet is too long");
  const header = [length & 0xff, length >> 8 & 0xff, length >> 16, sequence];
  return concatBytes(new Uint8Array(header), payload);
}
