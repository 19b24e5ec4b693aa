import { AuthState } from "../../src/auth/auth_state.ts";
import type { TokenProvider } from "../../src/auth/token_provider.ts";
import { Access, type LeaseKeys } from "../../src/rpc/access.ts";

/** Tokens are user names, as long as they are known; `slow` ones take a turn to verify. */
export class FakeTokens implements TokenProvider {
  readonly mayWait = true;
  readonly known = new Set<string>();
  readonly slow = new Set<string>();
  readonly revisions = new Map<string, number>();

  assign(user: string): Promise<string> {
    this.known.add(user);
    return Promise.resolve(user);
  }

  verify(token: string) {
    const owner = this.known.has(token)
      ? { user: token, revision: this.revisions.get(token) }
      : undefined;
    return this.slow.has(token) ? Promise.resolve(owner) : owner;
  }

  forgetUser(user: string): void {
    this.known.delete(user);
  }

  forgetAll(): void {
    this.known.clear();
  }

  close(): void {}
}

/** Access for a test: to nobody's users, unless it brings some. */
export function newAccess(
  auth: AuthState = new AuthState(),
  tokens: TokenProvider = new FakeTokens(),
  leases: LeaseKeys = { keysOfLease: () => [] },
): Access {
  return new Access(auth, tokens, leases);
}
