import { encodeResponseHeader, newResponseHeader } from "../pb/etcdserverpb.ts";

/** Room for field 3's tag and a varint of 2^53. */
const REVISION_FIELD_BYTES = 9;

/**
 * Response headers as wire bytes. The ids and the term never change while a server runs, so that they
 * are encoded once; the header of the newest revision is kept, since most answers share it.
 */
export class HeaderSource {
  readonly #prefix: Uint8Array;
  readonly #suffix: Uint8Array;
  #lastRevision = -1;
  #last: Uint8Array;

  constructor(
    readonly clusterId: bigint,
    readonly memberId: bigint,
    readonly raftTerm: number,
  ) {
    this.#prefix = encodeResponseHeader(
      newResponseHeader({ clusterId, memberId }),
    );
    this.#suffix = encodeResponseHeader(newResponseHeader({ raftTerm }));
    this.#last = this.#encode(0);
  }

  /** The header at a revision; 0 leaves the revision out, as Cluster answers do. */
  at(revision: number): Uint8Array {
    if (revision === this.#lastRevision) return this.#last;
    this.#last = this.#encode(revision);
    this.#lastRevision = revision;
    return this.#last;
  }

  #encode(revision: number): Uint8Array {
    const prefix = this.#prefix;
    const suffix = this.#suffix;
    const out = new Uint8Array(
      prefix.length + REVISION_FIELD_BYTES + suffix.length,
    );
    out.set(prefix);
    let at = prefix.length;
    if (revision > 0) {
      out[at++] = 0x18; // field 3, varint
      let rest = revision;
      while (rest >= 0x80) {
        out[at++] = (rest % 0x80) | 0x80;
        rest = Math.floor(rest / 0x80);
      }
      out[at++] = rest;
    }
    out.set(suffix, at);
    return out.subarray(0, at + suffix.length);
  }
}
