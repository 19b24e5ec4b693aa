import { type Route, send } from "./router.ts";
import type { ServerState } from "./server_state.ts";

/**
 * `/debug/vars`: memory and state as JSON, under the names that Go's expvar made common. The command line,
 * which is there too in Go, is left out: passwords are given in it.
 */
export function debugVarsRoute(state: ServerState): Route {
  return {
    path: "/debug/vars",
    methods: ["GET"],
    handle(_request, response) {
      const { rss, heapTotal, heapUsed, external } = Deno.memoryUsage();
      const body = {
        memstats: {
          Alloc: heapUsed + external,
          Sys: rss,
          HeapAlloc: heapUsed,
          HeapSys: heapTotal,
          External: external,
        },
        stele: state.summary(),
      };
      send(
        response,
        200,
        "application/json; charset=utf-8",
        JSON.stringify(body, null, 1) + "\n",
      );
    },
  };
}
