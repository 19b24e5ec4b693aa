import { ConfigError } from "./config_error.ts";

/** The database that holds the data. */
export type Endpoint =
  | { readonly driver: "sqlite"; readonly directory: string }
  | { readonly driver: "memory" };

/** Reads `sqlite://DIR` or `memory://`; throws `ConfigError` for all else. */
export function parseEndpoint(endpoint: string): Endpoint {
  const [, scheme, rest] = /^([a-z]+):\/\/(.*)$/.exec(endpoint) ?? [];
  if (scheme === "sqlite" && rest !== "" && rest !== undefined) {
    return { driver: "sqlite", directory: rest };
  }
  if (scheme === "memory" && rest === "") return { driver: "memory" };
  throw new ConfigError(
    `Cannot use endpoint "${withoutPassword(endpoint)}": ` +
      `it must be sqlite://DIRECTORY or memory://`,
  );
}

/** A URL as it may be shown: `user:password@` becomes `user:***@`. */
export function withoutPassword(url: string): string {
  return url.replace(/(:\/\/[^:@\/]*):[^@\/]*@/, "$1:***@");
}
