import type { Config } from "../config/config.ts";
import { parseEndpoint } from "../config/endpoint.ts";
import { parseUrl } from "../config/urls.ts";

/** The permissions of Deno's that are given up as a whole; one that is given cannot be narrowed. */
export type PermissionName =
  | "run"
  | "ffi"
  | "sys"
  | "import"
  | "net"
  | "write";

/**
 * What the main thread does not need any more once it serves. Database and password workers have their own,
 * narrower, from their beginning.
 *
 *   ffi, sys, import        never again
 *   run                     kept for the command that writes the database's password
 *   net                     listeners stay open without it; before Deno 2.9 HTTP/1.1 goes over a loopback port. Kept
 *                           where servers share a database: who else there is they learn from it, later
 *   write                   kept for scheduled snapshots, and for sockets of Unix, which are removed at the end
 *
 * `read` stays: modules that are loaded when they are first asked for, files of TLS that change; not `/proc`, which Deno
 * shows to those only who have all permissions. `env` stays for packages that look for their switches, but the environment is emptied: there may be passwords in it.
 */
export function dispensable(
  config: Config,
  denoVersion: string,
): PermissionName[] {
  const [major = 0, minor = 0] = denoVersion.split(".").map(Number);
  const isOld = major < 2 || (major === 2 && minor < 9);
  const hasUnixSockets = [
    ...config.listenClientUrls,
    ...config.listenClientHttpUrls,
    ...config.listenMetricsUrls,
  ].some((url) => parseUrl(url).kind === "unix");
  const isShared =
    parseEndpoint(config.endpoint, config.datastore).driver === "server";
  const names: PermissionName[] = ["ffi", "sys", "import"];
  if (!runsPasswordCommand(config)) names.push("run");
  if (!isOld && !isShared) names.push("net");
  if (config.snapshotIntervalMs === 0 && !hasUnixSockets) names.push("write");
  return names;
}

function runsPasswordCommand({ endpoint, datastore }: Config): boolean {
  const parsed = parseEndpoint(endpoint, datastore);
  return parsed.driver === "server" && parsed.url.password.kind === "command";
}
