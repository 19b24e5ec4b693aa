import { createHmac, timingSafeEqual } from "node:crypto";
import { text, utf8 } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import type { TokenOwner, TokenProvider } from "./token_provider.ts";
import { TokenTable } from "./token_table.ts";

/** Of SHA-256's: 128 bits that nobody can guess. */
const SIGNATURE_BYTES = 16;
/** Longer ones are not looked at; a user's name may be long. */
const MAX_TOKEN_CHARS = 8192;

/** What all servers of a database agree on. */
export interface TokenAgreement {
  /** Known to them and nobody else. 32 bytes. */
  readonly secret: Uint8Array;
  /** What a user's tokens end with, when it changes: the password's hash. Undefined: there is no such user. */
  readonly credentialOf: (user: string) => Uint8Array | undefined;
  readonly authRevision: () => number;
}

export interface SharedTokenOptions extends TokenAgreement {
  /** How long a token lives after it was last used with a server; and after it was made, with one that never saw it. */
  readonly ttlSeconds: number;
  /** The servers' wall clocks may differ by the TTL. */
  readonly clock: Clock;
  /** The number at a token's end: where in the order of writes it was made. */
  readonly seq: () => number;
}

/**
 * Simple tokens that every server of a database takes, since clients go from one to another: each says whose it is and
 * when it was made, and is signed.
 *
 *   SIGNATURE PAYLOAD "." SEQ     both in base64url; the payload is `ISSUED_MS REVISION USER`
 *
 * The signature covers the user's credential as well, so that a changed password ends the user's tokens everywhere,
 * at servers that were not there when it changed too. Tokens from before auth was disabled end at the servers that
 * saw it being disabled, and at all others with their TTL.
 */
export class SharedTokens implements TokenProvider {
  readonly mayWait = false;
  readonly #agreement: TokenAgreement;
  readonly #ttlMs: number;
  readonly #clock: Clock;
  readonly #seq: () => number;
  readonly #known: TokenTable;
  /** Tokens from an older auth revision have ended; "next": it is the one that comes after what is being applied. */
  #oldestRevision: number | "next" = 0;

  constructor({ ttlSeconds, clock, seq, ...agreement }: SharedTokenOptions) {
    this.#agreement = agreement;
    this.#ttlMs = ttlSeconds * 1000;
    this.#clock = clock;
    this.#seq = seq;
    this.#known = new TokenTable(clock, { ttlSeconds });
  }

  assign(user: string, authRevision: number): Promise<string> {
    this.#settle();
    const issuedMs = this.#clock.wallMs();
    const payload = base64(utf8(`${issuedMs} ${authRevision} ${user}`));
    const rest = `${payload}.${this.#seq()}`;
    const token = `${base64(this.#signature(rest, user))}${rest}`;
    this.#known.add(token, { user, revision: undefined });
    return Promise.resolve(token);
  }

  /** Moves the token's expiry here, too. */
  verify(token: string): TokenOwner | undefined {
    this.#settle();
    const known = this.#known.use(token);
    if (known !== undefined) return known;
    const user = this.#firstSeen(token);
    if (user === undefined) return undefined;
    const owner = { user, revision: undefined };
    this.#known.add(token, owner);
    return owner;
  }

  forgetUser(user: string): void {
    this.#known.forgetUser(user);
  }

  forgetAll(): void {
    this.#known.forgetAll();
    this.#oldestRevision = "next";
  }

  close(): void {
    this.#known.forgetAll();
  }

  /** The user of a token that another server made, if it is valid. */
  #firstSeen(token: string): string | undefined {
    if (token.length > MAX_TOKEN_CHARS) return undefined;
    const parts = TOKEN.exec(token);
    if (parts === null) return undefined;
    const [, signature, payload] = parts;
    const fields = PAYLOAD.exec(text(fromBase64(payload!)));
    if (fields === null) return undefined;
    const [, issuedMs, revision, user] = fields;
    const rest = token.slice(signature!.length);
    const expected = this.#signature(rest, user!);
    const shown = fromBase64(signature!);
    const isSigned = shown.length === expected.length &&
      timingSafeEqual(shown, expected);
    if (!isSigned) return undefined;
    const ageMs = Math.abs(this.#clock.wallMs() - Number(issuedMs));
    const isValid = ageMs <= this.#ttlMs &&
      Number(revision) >= Number(this.#oldestRevision) &&
      this.#agreement.credentialOf(user!) !== undefined;
    return isValid ? user : undefined;
  }

  #signature(rest: string, user: string): Uint8Array {
    const { secret, credentialOf } = this.#agreement;
    const credential = credentialOf(user) ?? utf8("");
    return createHmac("sha256", secret)
      .update(`stele token\0${rest}\0`)
      .update(credential)
      .digest()
      .subarray(0, SIGNATURE_BYTES);
  }

  /** Nobody asks while changes are being applied: the revision is what it was after the last of them. */
  #settle(): void {
    if (this.#oldestRevision !== "next") return;
    this.#oldestRevision = this.#agreement.authRevision();
  }
}

/** 22 characters are 16 bytes. */
const TOKEN = /^([\w-]{22})([\w-]+)\.\d+$/;
const PAYLOAD = /^(\d{1,15}) (\d{1,15}) (.*)$/s;
const BASE64URL = { alphabet: "base64url", omitPadding: true } as const;

function base64(bytes: Uint8Array): string {
  return bytes.toBase64(BASE64URL);
}

/** Empty if it is not valid. */
function fromBase64(chars: string): Uint8Array {
  try {
    return Uint8Array.fromBase64(chars, BASE64URL);
  } catch {
    // It is no token of ours.
    return new Uint8Array(0);
  }
}
