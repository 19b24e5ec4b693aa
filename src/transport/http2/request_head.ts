import { ConnectionError } from "./errors.ts";
import { ErrorCode } from "./frame.ts";
import type { FieldSink } from "./hpack/decoder.ts";
import { ENTRY_OVERHEAD_BYTES } from "./hpack/dynamic_table.ts";
import { FieldKind } from "./field_kind.ts";
import type { RequestHeaders } from "./stream_handler.ts";

/**
 * A section that is decoded to more than so many times its limit ends the connection: fields that are an index each
 * cost us a thousand times what they cost the client, and no client that means well comes near.
 */
const MAX_EXCESS = 16;

/** A decoded header or trailer section, checked against RFC 9113 §8.2 and §8.3. Does not change once it is complete. */
export class RequestHead implements RequestHeaders, FieldSink {
  method = "";
  path = "";
  scheme = "";
  authority = "";
  readonly fields: string[] = [];
  /** -1: not given. */
  contentLength = -1;
  /** Why the section is malformed. */
  problem: string | undefined = undefined;
  /** More than `maxBytes` came; the rest was left out. */
  isTooLarge = false;
  readonly #maxBytes: number;
  #bytes = 0;
  /** Bit n: the pseudo-header of kind n was seen. */
  #pseudo = 0;
  #host = "";

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  field(name: string, value: string, kind: number): void {
    this.#bytes += name.length + value.length + ENTRY_OVERHEAD_BYTES;
    if (this.#bytes > this.#maxBytes) {
      this.isTooLarge = true;
      if (this.#bytes > MAX_EXCESS * this.#maxBytes) {
        throw new ConnectionError(
          ErrorCode.EnhanceYourCalm,
          "header section much too large",
        );
      }
      return;
    }
    switch (kind) {
      case FieldKind.Regular:
        break;
      case FieldKind.Method:
        this.method = value;
        return this.#pseudoHeader(name, kind);
      case FieldKind.Scheme:
        this.scheme = value;
        return this.#pseudoHeader(name, kind);
      case FieldKind.Path:
        this.path = value;
        return this.#pseudoHeader(name, kind);
      case FieldKind.Authority:
        this.authority = value;
        return this.#pseudoHeader(name, kind);
      case FieldKind.ContentLength:
        if (this.contentLength >= 0 && this.contentLength !== Number(value)) {
          this.problem ??= "content-length given twice";
        }
        this.contentLength = Number(value);
        break;
      case FieldKind.Host:
        this.#host = value;
        break;
      case FieldKind.Malformed:
        this.problem ??= `malformed field "${name}"`;
        return;
    }
    this.fields.push(name, value);
  }

  /** Checks what can only be seen at the end of a request's header section. */
  finishRequest(): void {
    const has = this.#pseudo;
    if (this.method === "CONNECT") {
      if (has !== (1 << FieldKind.Method | 1 << FieldKind.Authority)) {
        this.problem ??= "CONNECT takes :authority and nothing else";
      }
      return;
    }
    if (this.method === "") this.problem ??= ":method is missing";
    if (this.scheme === "") this.problem ??= ":scheme is missing";
    if (this.path === "") this.problem ??= ":path is missing";
    if ((has & 1 << FieldKind.Authority) === 0) this.authority = this.#host;
  }

  finishTrailers(): void {
    if (this.#pseudo !== 0) this.problem ??= "pseudo-header in trailers";
  }

  #pseudoHeader(name: string, kind: number): void {
    if (this.fields.length > 0) {
      this.problem ??= `${name} behind a regular field`;
    }
    if ((this.#pseudo & (1 << kind)) !== 0) this.problem ??= `${name} twice`;
    this.#pseudo |= 1 << kind;
  }
}
