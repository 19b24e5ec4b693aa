import type { Clock, Timer } from "../base/clock.ts";
import type { TokenOwner } from "./token_provider.ts";

/** About 20 MB. Beyond it the tokens go that were unused for longest; their clients log in again by themselves. */
export const MAX_TOKENS = 100_000;

/**
 * How often time moves on for tokens: a token's use is noted once in it, so that verifying is a look into a map
 * (0.03 µs; noting each use costs 0.3 µs). Tokens may live longer by as much.
 */
const TICK_MS = 1000;

interface KnownToken {
  readonly owner: TokenOwner;
  expiresAtMs: number;
  /** The tick in which its use was noted last. */
  tick: number;
}

/**
 * The tokens that a process knows, each for as long as it is used.
 *
 * Invariant: tokens are in the order of their last use, which with one TTL for all is that of their expiry.
 * The timer runs only while there are tokens.
 */
export class TokenTable {
  readonly #ttlMs: number;
  readonly #clock: Clock;
  readonly #tokens = new Map<string, KnownToken>();
  #tick = 0;
  #ticker: Timer | undefined;

  /** `ttlSeconds`: how long a token lives after it was last used. */
  constructor(clock: Clock, { ttlSeconds }: { readonly ttlSeconds: number }) {
    this.#ttlMs = ttlSeconds * 1000;
    this.#clock = clock;
  }

  /** Tokens in memory, of which some may have expired. */
  get size(): number {
    return this.#tokens.size;
  }

  add(token: string, owner: TokenOwner): void {
    if (this.#tokens.size >= MAX_TOKENS) {
      for (const oldest of this.#tokens.keys()) {
        this.#tokens.delete(oldest);
        break;
      }
    }
    this.#tokens.set(token, {
      owner,
      expiresAtMs: this.#expiry(),
      tick: this.#tick,
    });
    this.#ticker ??= this.#clock.every(TICK_MS, () => this.#sweep());
  }

  /** The owner of a token that is known and has not expired. Moves its expiry, too. */
  use(token: string): TokenOwner | undefined {
    const known = this.#tokens.get(token);
    if (known === undefined) return undefined;
    if (known.tick === this.#tick) return known.owner;
    this.#tokens.delete(token);
    if (this.#clock.monotonicMs() > known.expiresAtMs) return undefined;
    known.expiresAtMs = this.#expiry();
    known.tick = this.#tick;
    this.#tokens.set(token, known);
    return known.owner;
  }

  forgetUser(user: string): void {
    for (const [token, { owner }] of this.#tokens) {
      if (owner.user === user) this.#tokens.delete(token);
    }
    this.#restIfEmpty();
  }

  forgetAll(): void {
    this.#tokens.clear();
    this.#restIfEmpty();
  }

  #expiry(): number {
    return this.#clock.monotonicMs() + this.#ttlMs + TICK_MS;
  }

  #sweep(): void {
    this.#tick++;
    const now = this.#clock.monotonicMs();
    for (const [token, { expiresAtMs }] of this.#tokens) {
      if (now <= expiresAtMs) break;
      this.#tokens.delete(token);
    }
    this.#restIfEmpty();
  }

  #restIfEmpty(): void {
    if (this.#tokens.size > 0) return;
    this.#ticker?.cancel();
    this.#ticker = undefined;
  }
}
