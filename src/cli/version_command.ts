import { Command } from "commander";
import type { CommandContext } from "./command_context.ts";
import { addOutputOption, outputFormat } from "./client_options.ts";
import { writeJson } from "./output.ts";
import { ETCD_VERSION, STELE_VERSION } from "../config/version.ts";
import { versionText } from "./version.ts";

/** `stele version`: as `stele --version`, or as JSON. */
export function versionCommand({ process }: CommandContext): Command {
  return addOutputOption(new Command("version")).action((flags) => {
    if (outputFormat(flags, process) !== "json") {
      return process.stdout(versionText());
    }
    writeJson(process, {
      stele: STELE_VERSION,
      etcd: ETCD_VERSION,
      deno: Deno.version.deno,
      v8: Deno.version.v8,
      os: Deno.build.os,
      arch: Deno.build.arch,
    });
  });
}
