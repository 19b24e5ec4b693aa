import { BackendError } from "../backend/backend.ts";
import { type Clock, SystemClock } from "../base/clock.ts";
import {
  errorText,
  type Logger,
  LogThrottle,
  StderrLogger,
} from "../base/log.ts";
import { isRuntimeFault } from "../base/runtime_fault.ts";
import type { Config } from "../config/config.ts";
import { ConfigError } from "../config/config_error.ts";
import { parseConfig, type ParsedConfig } from "../config/parse.ts";
import { LogSinks } from "./log_sinks.ts";
import { dispensable } from "./permissions.ts";
import { ExitStatus, type Process, type StopSignal } from "./process.ts";

/** The runtime's faults come as clients like; one is logged in so long, with the number of the others. */
const FAULT_LOG_MS = 10_000;

/** A server as this command sees it. */
export interface ServedServer {
  readonly clientUrls: readonly string[];
  /** Finishes what is under way and closes. */
  stop(): Promise<void>;
  /** Resolves if the server cannot go on. */
  readonly failed: Promise<Error>;
}

/** Starts a server; `src/server.ts` has the real one. */
export type StartServer = (
  config: Config,
  deps: { readonly log: Logger; readonly clock: Clock },
) => Promise<ServedServer>;

/** As a shell reports a process that a signal ended. */
const SIGNAL_STATUS: Readonly<Record<StopSignal, number>> = {
  SIGINT: 130,
  SIGTERM: 143,
};

/** `stele serve`: runs a server until a signal or a failure ends it; returns the exit status. */
export async function serve(
  argv: readonly string[],
  process: Process,
  startServer: StartServer,
): Promise<number> {
  let parsed: ParsedConfig;
  let log: Logger;
  const clock = new SystemClock();
  using sinks = new LogSinks();
  try {
    parsed = await parseConfig(argv, process.env, process.readFile);
    if (parsed.kind !== "config") return await answer(parsed.kind, process);
    log = makeLogger(parsed.config, sinks, clock);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr(`stele: ${error.message}\n`);
    return ExitStatus.Usage;
  }
  for (const { message, fields } of parsed.warnings) log.warn(message, fields);
  return await run(parsed.config, process, startServer, { log, clock });
}

async function answer(
  kind: "help" | "version",
  process: Process,
): Promise<number> {
  // Whoever starts a server does not wait for these.
  const text = kind === "help"
    ? (await import("./help.ts")).helpText()
    : (await import("./version.ts")).versionText();
  process.stdout(text);
  return ExitStatus.Ok;
}

function makeLogger(config: Config, sinks: LogSinks, clock: Clock): Logger {
  const { logLevel: level, logFormat: format, logOutputs } = config;
  try {
    const outputs = sinks.open(logOutputs);
    return new StderrLogger({ level, format, clock, outputs });
  } catch (error) {
    throw new ConfigError(`Cannot log to ${logOutputs}: ${errorText(error)}`);
  }
}

/** Why a server is to end. */
type Ending =
  | { readonly kind: "signal"; readonly signal: StopSignal }
  | { readonly kind: "failure"; readonly error: Error };

async function run(
  config: Config,
  process: Process,
  startServer: StartServer,
  deps: { readonly log: Logger; readonly clock: Clock },
): Promise<number> {
  const { log } = deps;
  const stop = Promise.withResolvers<Ending>();
  let signals = 0;
  const ignoreSignals = process.onSignal((signal) => {
    signals++;
    if (signals > 1) process.exit(SIGNAL_STATUS[signal]);
    stop.resolve({ kind: "signal", signal });
  });
  const throttle = new LogThrottle(log, deps.clock, { periodMs: FAULT_LOG_MS });
  const ignoreRejections = process.onStrayRejection((error) => {
    if (!isRuntimeFault(error)) return false;
    throttle.warn("the runtime failed at a socket that was being closed", {
      error,
    });
    return true;
  });
  try {
    const server = await startServer(config, deps);
    process.drop(dispensable(config, Deno.version.deno));
    log.info("ready to serve client requests", {
      addresses: server.clientUrls,
    });
    server.failed.then((error) => stop.resolve({ kind: "failure", error }));
    const ending = await stop.promise;
    if (ending.kind === "failure") {
      log.error("server failed", { error: ending.error });
    } else {
      log.info("stopping", { signal: ending.signal });
    }
    await server.stop();
    log.info("stopped");
    return ending.kind === "failure" ? ExitStatus.Failed : ExitStatus.Ok;
  } catch (error) {
    log.debug("start or stop failed", { error });
    const cure = error instanceof BackendError ? error.cure : "";
    const advice = cure === "" ? "" : `; ${cure}`;
    process.stderr(`stele: ${errorText(error)}${advice}\n`);
    return ExitStatus.Failed;
  } finally {
    ignoreSignals();
    ignoreRejections();
  }
}
