import type { Registry } from "../base/metrics.ts";
import { debugVarsRoute } from "./debug_vars.ts";
import { type HealthOptions, healthRoutes } from "./health.ts";
import { metricsRoute } from "./metrics.ts";
import type { Route } from "./router.ts";
import type { ServerState } from "./server_state.ts";
import { statusPageRoute } from "./status_page.ts";
import { versionRoute, type Versions } from "./version.ts";

export interface RoutesOptions extends HealthOptions {
  readonly registry: Registry;
  readonly versions: Versions;
  /** Shown on the status page. */
  readonly steleVersion: string;
}

/** What the client port serves over HTTP/1.1. */
export function clientRoutes(
  state: ServerState,
  options: RoutesOptions,
): Route[] {
  return [
    ...metricsRoutes(state, options),
    versionRoute(options.versions),
    debugVarsRoute(state),
    statusPageRoute(state, options.steleVersion),
  ];
}

/** What listen-metrics-urls serve. */
export function metricsRoutes(
  state: ServerState,
  options: RoutesOptions,
): Route[] {
  return [metricsRoute(options.registry), ...healthRoutes(state, options)];
}
