import { createHmac, randomBytes } from "node:crypto";
import type { Clock } from "../base/clock.ts";

/** About 2 MB. Beyond it the pairs go that were asked for least recently: they cost a bcrypt again. */
export const MAX_VERIFIED_PASSWORDS = 10_000;

/**
 * A pair is believed for so long. The time bounds what reading this process's memory is good for; a changed
 * password ends at once anyway, since its hash is another.
 */
export const VERIFIED_PASSWORD_MS = 5 * 60_000;

/**
 * Remembers which passwords were found to be right, so that a client that logs in for every call costs an HMAC
 * (some 10 µs) and not a bcrypt (some 70 ms). Wrong passwords are not remembered.
 *
 * Holds neither passwords nor hashes: a pair is known by its HMAC-SHA256 under a key of this process.
 * Invariant: pairs are in the order of their last use.
 */
export class VerifiedPasswords {
  readonly #clock: Clock;
  readonly #key = randomBytes(32);
  /** Pair → when it is to be verified again. */
  readonly #pairs = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Pairs in memory, of which some may have expired. */
  get size(): number {
    return this.#pairs.size;
  }

  /** What a pair is known by. `hash` has bcrypt's fixed length, so that no two pairs run into one. */
  pairOf(password: string, hash: string): string {
    return createHmac("sha256", this.#key).update(hash).update(password)
      .digest("base64");
  }

  has(pair: string): boolean {
    const untilMs = this.#pairs.get(pair);
    if (untilMs === undefined) return false;
    this.#pairs.delete(pair);
    if (this.#clock.monotonicMs() >= untilMs) return false;
    this.#pairs.set(pair, untilMs);
    return true;
  }

  add(pair: string): void {
    this.#pairs.delete(pair);
    if (this.#pairs.size >= MAX_VERIFIED_PASSWORDS) {
      for (const oldest of this.#pairs.keys()) {
        this.#pairs.delete(oldest);
        break;
      }
    }
    this.#pairs.set(pair, this.#clock.monotonicMs() + VERIFIED_PASSWORD_MS);
  }

  clear(): void {
    this.#pairs.clear();
  }
}
