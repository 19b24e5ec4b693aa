import type { IncomingMessage } from "node:http";
import { Buffer } from "node:buffer";
import { base64Fault, isBinary } from "../../transport/grpc/metadata.ts";
import { Code, StatusError } from "../../transport/grpc/status.ts";

const PREFIX = "grpc-metadata-";
/** Go's units of `time.Duration`, in milliseconds. */
const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};
const PRINTABLE = /^[\x20-\x7e]*$/;

/**
 * What an HTTP request's headers tell a call, as in grpc-gateway (runtime/context.go): `Authorization`, which holds
 * the token; `Grpc-Metadata-NAME` for the metadata NAME; `Grpc-Timeout` for the deadline.
 */
export class RequestMetadata {
  readonly #values = new Map<string, string>();

  /** `authorization` replaces the header: a WebSocket's token comes in another one. */
  constructor(
    headers: Pick<IncomingMessage, "rawHeaders">,
    /** How long the client waits; Infinity: as long as it takes. */
    readonly timeoutMs: number,
    authorization?: string,
  ) {
    const { rawHeaders } = headers;
    if (authorization !== undefined) {
      this.#values.set("authorization", authorization);
    }
    for (let i = 0; i < rawHeaders.length; i += 2) {
      this.#add(rawHeaders[i]!.toLowerCase(), rawHeaders[i + 1]!);
    }
  }

  /** The first value, or undefined. `-bin` values are latin1. */
  get(name: string): string | undefined {
    return this.#values.get(name);
  }

  #add(header: string, value: string): void {
    if (header === "authorization") return this.#set(header, value);
    if (!header.startsWith(PREFIX)) return;
    const name = header.slice(PREFIX.length);
    if (!isBinary(name)) {
      if (PRINTABLE.test(value)) this.#set(name, value);
      return;
    }
    const fault = base64Fault(value);
    if (fault !== undefined) {
      throw new StatusError(
        Code.InvalidArgument,
        `invalid binary header ${canonical(header)}: ${fault}`,
      );
    }
    this.#set(name, Buffer.from(value, "base64").toString("latin1"));
  }

  #set(name: string, value: string): void {
    if (!this.#values.has(name)) this.#values.set(name, value);
  }
}

/** Reads `Grpc-Timeout`; zero and nothing mean no deadline. Throws `StatusError`. */
export function readTimeoutMs(text: string | undefined): number {
  if (text === undefined || text === "") return Infinity;
  const unitMs = UNIT_MS[text.at(-1)!];
  if (unitMs === undefined || !/^[+-]?[0-9]{1,18}.$/.test(text)) {
    throw new StatusError(
      Code.InvalidArgument,
      `invalid grpc-timeout: ${text}`,
    );
  }
  const timeoutMs = Number(text.slice(0, -1)) * unitMs;
  return timeoutMs === 0 ? Infinity : timeoutMs;
}

/** As Go writes a header's name: `Grpc-Metadata-A-Bin`. */
function canonical(header: string): string {
  return header.replace(/(^|-)[a-z]/g, (letters) => letters.toUpperCase());
}
