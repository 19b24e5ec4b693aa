import { type Route, send } from "./router.ts";

/** The versions that `/version` tells, under etcd's names. */
export interface Versions {
  readonly etcdserver: string;
  readonly etcdcluster: string;
  readonly storage: string;
}

/** `/version`. */
export function versionRoute(versions: Versions): Route {
  const { etcdserver, etcdcluster, storage } = versions;
  const body = JSON.stringify({ etcdserver, etcdcluster, storage });
  return {
    path: "/version",
    methods: ["GET"],
    handle: (_request, response) =>
      send(response, 200, "application/json", body),
  };
}
