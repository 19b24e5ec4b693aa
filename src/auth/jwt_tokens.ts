// deno-lint-ignore no-import-prefix -- pinned where it is used, as drivers do
import { jwtVerify, SignJWT } from "npm:jose@6.2.17";
import type { Clock } from "../base/clock.ts";
import { DomainError } from "../base/errors.ts";
import type { JwtOptions } from "./jwt_options.ts";
import type { TokenOwner, TokenProvider } from "./token_provider.ts";

/** About 8 MB. Beyond it the tokens are verified again that were unused for longest: up to 0.4 ms each. */
export const MAX_VERIFIED_TOKENS = 4096;

interface VerifiedToken {
  readonly owner: TokenOwner;
  /** Wall clock, which is what the token speaks of; infinite if the token names no end. */
  readonly expiresAtMs: number;
}

/**
 * Signed tokens that say themselves whose they are, and at which auth revision. They hold until they expire or
 * users and roles change; nothing can take one back. Claims are etcd's (server/auth/jwt.go).
 *
 * A signature is checked once for each token: `#verified` is in the order of last use.
 */
export class JwtTokens implements TokenProvider {
  readonly mayWait = true;
  readonly #options: JwtOptions;
  readonly #clock: Clock;
  readonly #verified = new Map<string, VerifiedToken>();
  /** Tokens under verification: calls that bring the same one share it. */
  readonly #pending = new Map<string, Promise<TokenOwner | undefined>>();

  constructor(options: JwtOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  /** Tokens whose signature need not be checked again. */
  get size(): number {
    return this.#verified.size;
  }

  async assign(user: string, authRevision: number): Promise<string> {
    const { signKey, signMethod, ttlMs } = this.#options;
    if (signKey === undefined) throw new DomainError("tokenVerifyOnly");
    const expiresAtSeconds = Math.floor((this.#clock.wallMs() + ttlMs) / 1000);
    return await new SignJWT({ username: user, revision: authRevision })
      .setProtectedHeader({ alg: signMethod, typ: "JWT" })
      .setExpirationTime(expiresAtSeconds)
      .sign(signKey);
  }

  verify(
    token: string,
  ): TokenOwner | undefined | Promise<TokenOwner | undefined> {
    const known = this.#verified.get(token);
    if (known !== undefined) {
      this.#verified.delete(token);
      if (this.#clock.wallMs() >= known.expiresAtMs) return undefined;
      this.#verified.set(token, known);
      return known.owner;
    }
    const shared = this.#pending.get(token);
    if (shared !== undefined) return shared;
    const verifying = this.#verify(token)
      .finally(() => this.#pending.delete(token));
    this.#pending.set(token, verifying);
    return verifying;
  }

  forgetUser(): void {}

  forgetAll(): void {}

  close(): void {
    this.#verified.clear();
  }

  async #verify(token: string): Promise<TokenOwner | undefined> {
    const read = await this.#read(token);
    if (read === undefined) return undefined;
    if (this.#verified.size >= MAX_VERIFIED_TOKENS) {
      for (const oldest of this.#verified.keys()) {
        this.#verified.delete(oldest);
        break;
      }
    }
    this.#verified.set(token, read);
    return read.owner;
  }

  /** What a token says, if it is signed as it must be and holds now. */
  async #read(token: string): Promise<VerifiedToken | undefined> {
    const { verifyKey, signMethod } = this.#options;
    try {
      const { payload } = await jwtVerify(token, verifyKey, {
        // The one method alone: neither "none" nor a public key taken for a secret gets through.
        algorithms: [signMethod],
        currentDate: new Date(this.#clock.wallMs()),
      });
      const { username, revision, exp } = payload;
      if (typeof username !== "string") return undefined;
      if (typeof revision !== "number" || !Number.isSafeInteger(revision)) {
        return undefined;
      }
      return {
        owner: { user: username, revision },
        expiresAtMs: exp === undefined ? Infinity : exp * 1000,
      };
    } catch {
      // Whatever is wrong with bytes that anybody may send, they are no valid token.
      return undefined;
    }
  }
}
