import { utf8 } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { DomainError } from "../base/errors.ts";
import { PasswordThread } from "./password_thread.ts";
import { VerifiedPasswords } from "./verified_passwords.ts";

/** Hashes passwords and compares them with hashes. */
export interface Passwords {
  /**
   * The password's bcrypt hash. Rejects with DomainError: `passwordTooLong` above 72 bytes of UTF-8,
   * `tooManyRequests` if too many wait.
   */
  hash(password: string): Promise<string>;
  /**
   * Whether the password is that of the hash. Without a hash (there is no such user) false, after as long as a
   * wrong password takes. Rejects with DomainError `tooManyRequests` if too many wait.
   */
  verify(password: string, hash: string | undefined): Promise<boolean>;
  close(): Promise<void>;
}

/** bcrypt looks at no more of a password than this. Go's refuses to hash a longer one, and so etcd does. */
const MAX_PASSWORD_BYTES = 72;

/** Whether no hash can be made of the password. */
export function isTooLong(password: string): boolean {
  return utf8(password).length > MAX_PASSWORD_BYTES;
}

/** As many UTF-16 units as hold `MAX_PASSWORD_BYTES`, and one that keeps a surrogate pair whole. */
const MAX_COMPARED_UNITS = MAX_PASSWORD_BYTES + 1;

/** 2a is etcd's, 2b ours, 2y others'. */
const BCRYPT_HASH = /^\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}$/;

/** Salt and digest of a hash that no password has: what unknown users are compared with. */
const NOBODYS = ".".repeat(53);

/**
 * bcrypt in a worker, with what was verified lately remembered. A hash that is none (a user without a password)
 * is treated as an unknown user is.
 */
export class BcryptPasswords implements Passwords {
  readonly #cost: number;
  readonly #thread: PasswordThread;
  readonly #verified: VerifiedPasswords;
  /** Pairs under verification: who asks for the same one shares the answer. */
  readonly #pending = new Map<string, Promise<boolean>>();

  /** `cost`: of hashes to come, 4 to 31; etcd's default is 10. */
  constructor(clock: Clock, { cost }: { readonly cost: number }) {
    this.#cost = cost;
    this.#thread = new PasswordThread(clock);
    this.#verified = new VerifiedPasswords(clock);
  }

  async hash(password: string): Promise<string> {
    // A literal import is fetched when the server starts, and so is there when the worker needs it.
    // deno-lint-ignore no-import-prefix -- pinned where it is used, as drivers do
    const { truncates } = await import("npm:bcryptjs@3.0.3");
    if (truncates(password)) throw new DomainError("passwordTooLong");
    const hash = await this.#thread.run({
      op: "hash",
      password,
      cost: this.#cost,
    });
    return String(hash);
  }

  verify(password: string, hash: string | undefined): Promise<boolean> {
    const compared = password.slice(0, MAX_COMPARED_UNITS);
    if (hash === undefined || !BCRYPT_HASH.test(hash)) {
      return this.#pretend(compared);
    }
    const pair = this.#verified.pairOf(compared, hash);
    if (this.#verified.has(pair)) return Promise.resolve(true);
    const shared = this.#pending.get(pair);
    if (shared !== undefined) return shared;
    const verifying = this.#compare(compared, hash).then((isRight) => {
      if (isRight) this.#verified.add(pair);
      return isRight;
    }).finally(() => this.#pending.delete(pair));
    this.#pending.set(pair, verifying);
    return verifying;
  }

  close(): Promise<void> {
    this.#thread.close();
    this.#verified.clear();
    return Promise.resolve();
  }

  async #compare(password: string, hash: string): Promise<boolean> {
    return await this.#thread.run({ op: "compare", password, hash }) === true;
  }

  /** Takes as long as a wrong password does. */
  async #pretend(password: string): Promise<false> {
    const cost = String(this.#cost).padStart(2, "0");
    await this.#compare(password, `$2b$${cost}$${NOBODYS}`);
    return false;
  }
}
