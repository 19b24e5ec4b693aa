import {
  type DatabaseUrl,
  DatabaseUrlError,
  engineOf,
  parseDatabaseUrl,
} from "../backend/driver/remote/database_url.ts";
import type { DatastoreSettings } from "../backend/driver/remote/datastore_settings.ts";
import { ConfigError } from "./config_error.ts";

/** The database that holds the data. */
export type Endpoint =
  | { readonly driver: "sqlite"; readonly directory: string }
  | { readonly driver: "memory" }
  | { readonly driver: "server"; readonly url: DatabaseUrl };

/**
 * Reads `sqlite://DIR`, `memory://` or a database server's URL, with what the settings add to it; throws `ConfigError`
 * for all else.
 */
export function parseEndpoint(
  endpoint: string,
  settings?: DatastoreSettings,
): Endpoint {
  const [, scheme, rest] = /^([a-z]+):\/\/(.*)$/.exec(endpoint) ?? [];
  if (scheme === "sqlite" && rest !== "" && rest !== undefined) {
    return { driver: "sqlite", directory: rest };
  }
  if (scheme === "memory" && rest === "") return { driver: "memory" };
  if (engineOf(scheme ?? "") !== undefined) {
    return serverEndpoint(endpoint, settings);
  }
  throw cannotUse(
    endpoint,
    "it must be sqlite://DIRECTORY, memory://, postgres://…, yugabytedb://…, mysql://… or mariadb://…",
  );
}

function serverEndpoint(
  endpoint: string,
  settings: DatastoreSettings | undefined,
): Endpoint {
  try {
    return { driver: "server", url: parseDatabaseUrl(endpoint, settings) };
  } catch (error) {
    if (!(error instanceof DatabaseUrlError)) throw error;
    throw cannotUse(endpoint, error.message);
  }
}

function cannotUse(endpoint: string, state: string): ConfigError {
  return new ConfigError(
    `Cannot use endpoint "${withoutPassword(endpoint)}": ${state}`,
  );
}

/** A URL as it may be shown: `user:password@` becomes `user:***@`, also where the password was to be escaped. */
export function withoutPassword(url: string): string {
  return url.replace(/(:\/\/[^:@\/]*):.*@/s, "$1:***@");
}
