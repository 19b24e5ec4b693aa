import type { Clock } from "../base/clock.ts";
import { type Backend, BackendError } from "./backend.ts";
import {
  type BackendLog,
  SqliteBackend,
} from "./driver/sqlite/sqlite_backend.ts";
import { MemoryBackend } from "./memory.ts";

export interface BackendOptions {
  readonly clock: Clock;
  readonly log?: BackendLog;
  /** See `SqliteOptions`. */
  readonly synchronous?: "full" | "off";
}

/**
 * The backend for a URL; it still wants to be opened.
 *
 *   sqlite://PATH   the data directory, relative (`sqlite://data`) or absolute (`sqlite:///var/lib/stele`)
 *   memory://       nothing is kept
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
      throw cannotOpen(
        url,
        "its scheme is not one of sqlite://PATH, memory://",
      );
  }
}

function cannotOpen(url: string, state: string): BackendError {
  return new BackendError(
    `Cannot open ${JSON.stringify(redact(url))}: ${state}`,
  );
}

/** Without the password that a database URL may hold. */
function redact(url: string): string {
  return url.replace(/:\/\/[^/@]*@/, "://…@");
}
