import { compareBytes, text, utf8 } from "../base/bytes.ts";

/** State keys of auth: each record is one of the table `StateKind.Auth`. */
export const ENABLED_KEY: Uint8Array = utf8("enabled");
/** Decimal text; absent: 1. */
export const REVISION_KEY: Uint8Array = utf8("revision");

const USER = "user/";
const ROLE = "role/";

/** The key of an `authpb.User`. */
export function userKey(name: string): Uint8Array {
  return utf8(USER + name);
}

/** The key of an `authpb.Role`. */
export function roleKey(name: string): Uint8Array {
  return utf8(ROLE + name);
}

/** What a state key stands for. */
export type AuthRecord =
  | { readonly kind: "enabled" | "revision" }
  | { readonly kind: "user" | "role"; readonly name: string };

/** Undefined for a key that is not ours: one of a later version. */
export function readAuthKey(key: Uint8Array): AuthRecord | undefined {
  const name = text(key);
  if (name === "enabled" || name === "revision") return { kind: name };
  if (name.startsWith(USER)) {
    return { kind: "user", name: name.slice(USER.length) };
  }
  if (name.startsWith(ROLE)) {
    return { kind: "role", name: name.slice(ROLE.length) };
  }
  return undefined;
}

/** Users or roles in the order of their names' bytes, which above U+FFFF is not that of JavaScript's strings. */
export function sortNames(names: Iterable<string>): string[] {
  return [...names].map(utf8).sort(compareBytes).map(text);
}
