/**
 * Stele: an etcd v3 datastore over a SQL database.
 *
 * As a program this serves (`deno run -A mod.ts serve --help` tells how); as a module it starts servers:
 *
 *   await using server = await startServer(defaultConfig({ endpoint: "memory://" }));
 */
import { main } from "./src/cli/main.ts";
import { systemProcess } from "./src/cli/process.ts";
import { startServer } from "./src/server.ts";

export { startServer };
export type { RunningServer } from "./src/server.ts";
export { defaultConfig } from "./src/config/config.ts";
export type { Config, TlsConfig } from "./src/config/config.ts";
export { ConfigError } from "./src/config/config_error.ts";
export type { LogFields, Logger, LogLevel } from "./src/base/log.ts";
export type { Clock, Timer } from "./src/base/clock.ts";

if (import.meta.main) {
  // Timers and workers that are still there must not hold up the end.
  Deno.exit(await main(Deno.args, systemProcess(), startServer));
}
