import type { Clock } from "../base/clock.ts";
import { type Logger, LogThrottle } from "../base/log.ts";
import { type HttpRequest, type Route, send, sendError } from "./router.ts";
import type { ServerState } from "./server_state.ts";

/** Counts what the checks find. */
export interface HealthRecorder {
  /** An answer of `/health`. */
  health(isHealthy: boolean): void;
  /** A check of `/livez` or `/readyz`. */
  check(type: "livez" | "readyz", name: string, isOk: boolean): void;
}

export interface HealthOptions {
  readonly recorder: HealthRecorder;
  readonly log: Logger;
  readonly clock: Clock;
  /** A read that takes longer has failed. */
  readonly timeoutMs: number;
}

/** Resolves with what is wrong, or undefined. */
type Check = () => Promise<string | undefined>;

/** Probes come every few seconds; a failure is logged this often. */
const LOG_PERIOD_MS = 10_000;

const TEXT = "text/plain; charset=utf-8";

/**
 * `/health`, `/livez` and `/readyz`, to the letter as etcd's: monitoring compares the texts.
 *
 * `/health` fails on any alarm, `/readyz` on CORRUPT only, `/livez` if this process cannot read its own memory.
 */
export function healthRoutes(
  state: ServerState,
  options: HealthOptions,
): Route[] {
  const { timeoutMs, clock } = options;
  const throttle = new LogThrottle(options.log, clock, {
    periodMs: LOG_PERIOD_MS,
  });
  const serializableRead = () =>
    inTime(state.serializableRead(), clock, timeoutMs);
  const linearizableRead = () =>
    inTime(state.linearizableRead(), clock, timeoutMs);
  const livez: ReadonlyMap<string, Check> = new Map([
    ["serializable_read", serializableRead],
  ]);
  const readyz: ReadonlyMap<string, Check> = new Map<string, Check>([
    ["data_corruption", () => Promise.resolve(corruption(state))],
    ["serializable_read", serializableRead],
    ["linearizable_read", linearizableRead],
    // There are no learners here.
    ["non_learner", () => Promise.resolve(undefined)],
  ]);
  const health: Route = {
    path: "/health",
    methods: ["GET"],
    async handle({ query }, response) {
      const isLocal = query.get("serializable") === "true";
      const excluded = query.getAll("exclude");
      const reason = alarm(state, excluded) ??
        (!isLocal && !state.hasLeader ? "RAFT NO LEADER" : undefined) ??
        rangeError(await (isLocal ? serializableRead() : linearizableRead()));
      options.recorder.health(reason === undefined);
      const body = JSON.stringify({
        health: String(reason === undefined),
        reason: reason ?? "",
      });
      if (reason === undefined) {
        send(response, 200, TEXT, body);
      } else {
        throttle.warn("health check failed", { path: "/health", reason });
        sendError(response, 503, body);
      }
    },
  };
  return [
    health,
    ...checkRoutes("livez", livez, options.recorder, throttle),
    ...checkRoutes("readyz", readyz, options.recorder, throttle),
  ];
}

/** `/livez` or `/readyz`, and one route for each check below it. */
function checkRoutes(
  type: "livez" | "readyz",
  checks: ReadonlyMap<string, Check>,
  recorder: HealthRecorder,
  throttle: LogThrottle,
): Route[] {
  const route = (path: string, names: (request: HttpRequest) => string[]) => ({
    path,
    methods: ["GET"],
    handle: async (request, response) => {
      let isOk = true;
      let report = "";
      for (const name of names(request)) {
        const failure = await checks.get(name)!();
        recorder.check(type, name, failure === undefined);
        if (failure !== undefined) isOk = false;
        report += failure === undefined
          ? `[+]${name} ok\n`
          : `[-]${name} failed: ${failure}\n`;
      }
      if (isOk) {
        response.setHeader("X-Content-Type-Options", "nosniff");
        const isVerbose = request.query.has("verbose");
        send(response, 200, TEXT, (isVerbose ? report : "") + "ok\n");
      } else {
        throttle.error("health check failed", { path, report });
        sendError(response, 503, report);
      }
    },
  } satisfies Route);
  const all = [...checks.keys()];
  return [
    route(`/${type}`, ({ query }) => {
      const excluded = query.getAll("exclude");
      return all.filter((name) => !excluded.includes(name));
    }),
    ...all.map((name) => route(`/${type}/${name}`, () => [name])),
  ];
}

function alarm(
  state: ServerState,
  excluded: readonly string[],
): string | undefined {
  const name = state.alarms().find((name) => !excluded.includes(name));
  return name === undefined ? undefined : `ALARM ${name}`;
}

function corruption(state: ServerState): string | undefined {
  return state.alarms().includes("CORRUPT")
    ? "alarm activated: CORRUPT"
    : undefined;
}

function rangeError(failure: string | undefined): string | undefined {
  return failure === undefined ? undefined : `RANGE ERROR:${failure}`;
}

/** What the read says, or that it took too long. A read that throws is a failed one. */
function inTime(
  read: Promise<string | undefined>,
  clock: Clock,
  timeoutMs: number,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const timer = clock.after(
      timeoutMs,
      () => resolve("context deadline exceeded"),
    );
    const finish = (failure: string | undefined) => {
      timer.cancel();
      resolve(failure);
    };
    read.then(
      finish,
      (error) => finish(error instanceof Error ? error.message : String(error)),
    );
  });
}
