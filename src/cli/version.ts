import { ETCD_VERSION, STELE_VERSION } from "../config/version.ts";

/** What `--version` prints; tools made for etcd look for the second line. */
export function versionText(): string {
  const { deno, v8 } = Deno.version;
  const { os, arch } = Deno.build;
  return [
    `Stele Version: ${STELE_VERSION}`,
    `etcd Version: ${ETCD_VERSION}`,
    `Runtime: Deno ${deno}, V8 ${v8}, ${os}/${arch}`,
    "",
  ].join("\n");
}
