import { EXPOSITION_CONTENT_TYPE, type Registry } from "../base/metrics.ts";
import { type Route, send } from "./router.ts";

/** `/metrics`, for Prometheus. As in etcd any method will do. */
export function metricsRoute(registry: Registry): Route {
  return {
    path: "/metrics",
    handle: (_request, response) =>
      send(response, 200, EXPOSITION_CONTENT_TYPE, registry.exposition()),
  };
}
