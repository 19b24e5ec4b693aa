import type { Clock } from "../base/clock.ts";
import { type Backend, BackendError } from "./backend.ts";
import {
  type BackendLog,
  SqliteBackend,
} from "./driver/sqlite/sqlite_backend.ts";
import { MYSQL_ENGINE } from "./driver/mysql/mysql_engine.ts";
import { POSTGRES_ENGINE } from "./driver/postgres/postgres_engine.ts";
import { UrlCredentials } from "./driver/remote/credential_source.ts";
import {
  DatabaseUrlError,
  engineOf,
  parseDatabaseUrl,
} from "./driver/remote/database_url.ts";
import type { DatastoreSettings } from "./driver/remote/datastore_settings.ts";
import { RemoteBackend } from "./driver/remote/remote_backend.ts";
import { MemoryBackend } from "./memory.ts";

export interface BackendOptions {
  readonly clock: Clock;
  readonly log?: BackendLog;
  /** See `SqliteOptions`. */
  readonly synchronous?: "full" | "off";
  /** For database servers. Default: `DEFAULT_DATASTORE_SETTINGS`. */
  readonly datastore?: DatastoreSettings;
}

/**
 * The backend for a URL; it still wants to be opened.
 *
 *   sqlite://PATH   the data directory, relative (`sqlite://data`) or absolute (`sqlite:///var/lib/stele`)
 *   memory://       nothing is kept
 *   postgres://USER:PASSWORD@HOST:PORT/DATABASE   or postgresql:, yugabytedb:, mysql:, mariadb:; see `parseDatabaseUrl`
 */
export function openBackend(url: string, options: BackendOptions): Backend {
  const match = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/s.exec(url);
  const scheme = match?.[1];
  const rest = match?.[2] ?? "";
  switch (scheme) {
    case "sqlite":
      if (rest === "") {
        throw cannotOpen(url, "it names no directory, as in sqlite://PATH");
      }
      return new SqliteBackend(
        { dir: rest, synchronous: options.synchronous ?? "full" },
        options.clock,
        options.log,
      );
    case "memory":
      if (rest !== "") throw cannotOpen(url, "memory:// takes no path");
      return new MemoryBackend();
    default:
      return openRemote(url, scheme ?? "", options);
  }
}

function openRemote(
  url: string,
  scheme: string,
  options: BackendOptions,
): Backend {
  const engine = engineOf(scheme);
  if (engine === undefined) {
    throw cannotOpen(
      url,
      "its scheme is not one of sqlite://PATH, memory://, postgres://, yugabytedb://, mysql://, mariadb://",
    );
  }
  try {
    const parsed = parseDatabaseUrl(url, options.datastore);
    return new RemoteBackend(
      engine === "mysql" ? MYSQL_ENGINE : POSTGRES_ENGINE,
      parsed.address,
      new UrlCredentials(parsed),
      options.clock,
      options.log,
    );
  } catch (error) {
    if (!(error instanceof DatabaseUrlError)) throw error;
    throw cannotOpen(url, error.message);
  }
}

function cannotOpen(url: string, state: string): BackendError {
  return new BackendError(
    `Cannot open ${JSON.stringify(redact(url))}: ${state}`,
  );
}

/** Without the password that a database URL may hold. */
function redact(url: string): string {
  return url.replace(/:\/\/.*@/s, "://…@");
}
