import { ETCD_VERSION, STELE_VERSION } from "../config/version.ts";

/** Where `scripts/compile.ts` writes which commit it compiles, for the executable to bring along. */
export const COMMIT_FILE = new URL("../../dist/commit", import.meta.url);

/** What `--version` prints; tools made for etcd look for the line of etcd's version. */
export function versionText(): string {
  const { deno, v8 } = Deno.version;
  const { os, arch, standalone } = Deno.build;
  // In a checkout, the file tells of an executable, and not of what runs.
  const commit = standalone ? Deno.readTextFileSync(COMMIT_FILE) : "";
  return [
    `Stele Version: ${STELE_VERSION}`,
    `etcd Version: ${ETCD_VERSION}`,
    ...(commit === "" ? [] : [`Git SHA: ${commit}`]),
    `Runtime: Deno ${deno}, V8 ${v8}, ${os}/${arch}`,
    "",
  ].join("\n");
}
