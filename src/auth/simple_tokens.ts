import type { Clock } from "../base/clock.ts";
import type { TokenOwner, TokenProvider } from "./token_provider.ts";
import { TokenTable } from "./token_table.ts";

/** What a token starts with; etcd's length and alphabet (server/auth/simple_token.go): 91 random bits. */
const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LETTER_COUNT = 16;

/** A byte from here on would favour the first letters: it is thrown away. */
const FAIR_BYTES = 256 - 256 % LETTERS.length;

export interface SimpleTokenOptions {
  /** How long a token lives after it was last used. */
  readonly ttlSeconds: number;
  readonly clock: Clock;
  /** Fills an array with random bytes that nobody can foresee. */
  readonly random: (into: Uint8Array<ArrayBuffer>) => void;
  /** The number behind the dot: where in the order of writes the token was made. */
  readonly seq: () => number;
}

/** Random tokens that mean something to this process alone: after a restart clients log in again. */
export class SimpleTokens implements TokenProvider {
  readonly mayWait = false;
  readonly #random: (into: Uint8Array<ArrayBuffer>) => void;
  readonly #seq: () => number;
  readonly #known: TokenTable;

  constructor({ ttlSeconds, clock, random, seq }: SimpleTokenOptions) {
    this.#random = random;
    this.#seq = seq;
    this.#known = new TokenTable(clock, { ttlSeconds });
  }

  /** Tokens in memory, of which some may have expired. */
  get size(): number {
    return this.#known.size;
  }

  assign(user: string): Promise<string> {
    const token = `${this.#letters()}.${this.#seq()}`;
    this.#known.add(token, { user, revision: undefined });
    return Promise.resolve(token);
  }

  /** Moves the token's expiry, too. */
  verify(token: string): TokenOwner | undefined {
    return this.#known.use(token);
  }

  forgetUser(user: string): void {
    this.#known.forgetUser(user);
  }

  forgetAll(): void {
    this.#known.forgetAll();
  }

  close(): void {
    this.forgetAll();
  }

  #letters(): string {
    let letters = "";
    const bytes = new Uint8Array(LETTER_COUNT);
    while (letters.length < LETTER_COUNT) {
      this.#random(bytes);
      for (const byte of bytes) {
        if (byte >= FAIR_BYTES || letters.length === LETTER_COUNT) continue;
        letters += LETTERS[byte % LETTERS.length];
      }
    }
    return letters;
  }
}
