import type { Clock } from "../base/clock.ts";
import { readJwtOptions, refusal } from "./jwt_options.ts";
import { NO_TOKENS } from "./no_tokens.ts";
import { SharedTokens, type TokenAgreement } from "./shared_tokens.ts";
import { SimpleTokens } from "./simple_tokens.ts";

/** Whose token it is. */
export interface TokenOwner {
  readonly user: string;
  /** The auth revision that the token was made at; undefined: it follows the current one (simple tokens). */
  readonly revision: number | undefined;
}

/** Makes and verifies the tokens that clients send after they logged in. */
export interface TokenProvider {
  /** Whether `verify` may answer with a promise. */
  readonly mayWait: boolean;
  /** Makes a token. Throws DomainError `tokenVerifyOnly` if there is no key to sign with. */
  assign(user: string, authRevision: number): Promise<string>;
  /**
   * The owner; undefined if the token is not valid, or not any more. Answers without a promise whenever it can:
   * for simple tokens always, for a JWT that was verified before until it expires. Never throws or rejects.
   */
  verify(
    token: string,
  ): TokenOwner | undefined | Promise<TokenOwner | undefined>;
  /** A user's tokens end: password changed, user deleted. JWTs cannot be taken back: nothing happens. */
  forgetUser(user: string): void;
  /** All tokens end: auth was disabled. */
  forgetAll(): void;
  close(): void;
}

export interface TokenProviderOptions {
  /** As `--auth-token`: `simple`, `jwt,sign-method=RS256,pub-key=FILE,priv-key=FILE,ttl=5m`, or empty for none. */
  readonly authToken: string;
  /** How long a simple token lives after its last use; `--auth-token-ttl`. */
  readonly ttlSeconds: number;
  readonly clock: Clock;
  /** Fills an array with random bytes. Default: the system's. */
  readonly random?: (into: Uint8Array<ArrayBuffer>) => void;
  /** The number at a simple token's end: the store's revision, say. */
  readonly seq: () => number;
  /** Where several servers share the users: simple tokens are then valid at all of them. Default: this one alone. */
  readonly shared?: TokenAgreement | undefined;
}

/**
 * Makes the provider that `--auth-token` asks for. Reads key files. Throws an Error that begins with
 * `Cannot use auth-token: ` if the option makes no sense.
 */
export async function openTokens(
  { authToken, ttlSeconds, clock, random, seq, shared }: TokenProviderOptions,
): Promise<TokenProvider> {
  const { kind, options } = parseAuthToken(authToken);
  switch (kind) {
    case "":
      return NO_TOKENS;
    case "simple": {
      const [name] = options.keys();
      if (name !== undefined) {
        throw refusal(`simple has no option "${name}"`);
      }
      if (shared !== undefined) {
        return new SharedTokens({ ...shared, ttlSeconds, clock, seq });
      }
      return new SimpleTokens({
        ttlSeconds,
        clock,
        random: random ?? ((into) => crypto.getRandomValues(into)),
        seq,
      });
    }
    case "jwt": {
      const jwt = await readJwtOptions(options);
      // Loaded here, so that whoever uses simple tokens needs no package.
      const { JwtTokens } = await import("./jwt_tokens.ts");
      return new JwtTokens(jwt, clock);
    }
    default:
      throw refusal("its kind must be simple or jwt");
  }
}

/** Splits `kind,name=value,…`. As in etcd, a value holds neither a comma nor an equals sign. */
function parseAuthToken(
  text: string,
): { kind: string; options: Map<string, string> } {
  const [kind = "", ...pairs] = text.split(",");
  const options = new Map<string, string>();
  for (const pair of pairs) {
    const [name = "", value, ...rest] = pair.split("=");
    if (value === undefined || rest.length > 0) {
      throw refusal(`"${name}" is not followed by one = and a value`);
    }
    if (options.has(name)) throw refusal(`"${name}" is given twice`);
    options.set(name, value);
  }
  return { kind, options };
}
