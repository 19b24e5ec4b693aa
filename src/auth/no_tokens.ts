import { DomainError } from "../base/errors.ts";
import type { TokenProvider } from "./token_provider.ts";

/** An empty `--auth-token`: nobody logs in with a password, only with certificates. As etcd's `tokenNop`. */
export const NO_TOKENS: TokenProvider = {
  mayWait: false,
  assign() {
    return Promise.reject(new DomainError("authFailed"));
  },
  verify() {
    return undefined;
  },
  forgetUser() {},
  forgetAll() {},
  close() {},
};
