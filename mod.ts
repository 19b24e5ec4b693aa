/**
 * Stele: an etcd v3 datastore over a SQL database.
 *
 * As a program this serves (`deno run -A mod.ts serve --help` tells how); as a module it starts servers:
 *
 *   await using server = await startServer(defaultConfig({ endpoint: "memory://" }));
 */
import { beginOpening } from "./src/backend/opening_backend.ts";
import { type Clock, SystemClock } from "./src/base/clock.ts";
import { type Logger, NO_LOG } from "./src/base/log.ts";
import { main } from "./src/cli/main.ts";
import { systemProcess } from "./src/cli/process.ts";
import type { Config } from "./src/config/config.ts";
import type { RunningServer } from "./src/server.ts";

export type { RunningServer };
export { defaultConfig } from "./src/config/config.ts";
export type { Config, TlsConfig } from "./src/config/config.ts";
export { ConfigError } from "./src/config/config_error.ts";
export type { LogFields, Logger, LogLevel } from "./src/base/log.ts";
export type { Clock, Timer } from "./src/base/clock.ts";

/** What a server may be given instead of the machine's own. */
export interface ServerDeps {
  /** Default: nothing is logged. */
  readonly log?: Logger;
  readonly clock?: Clock;
}

/**
 * Starts a server: opens the database, loads the state, and listens. Rejects, with everything closed again, if one of
 * these fails.
 */
export async function startServer(
  config: Config,
  { log = NO_LOG, clock = new SystemClock() }: ServerDeps = {},
): Promise<RunningServer> {
  const opening = beginOpening(config.endpoint, {
    clock,
    log,
    synchronous: config.unsafeNoFsync ? "off" : "full",
    datastore: config.datastore,
  });
  // The database's thread starts in the meantime: a third of the time to be ready.
  const server = await import("./src/server.ts");
  return await server.startServer(config, opening, { log, clock });
}

if (import.meta.main) {
  // Timers and workers that are still there must not hold up the end.
  Deno.exit(await main(Deno.args, systemProcess(), startServer));
}
