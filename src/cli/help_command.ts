import { Command } from "commander";
import type { CommandContext } from "./command_context.ts";
import type { CommandInfo, Program } from "./commands.ts";

/** `stele help [command]`. */
export function helpCommand(
  { process }: CommandContext,
  { commands, load }: Program,
): Command {
  return new Command("help")
    .argument("[command]", "whose text to show; default: an overview")
    .action(async (name?: string) => {
      if (name === undefined) process.stdout(overview(commands));
      else (await load(name)).outputHelp();
    });
}

/** The commands, each with a line. */
function overview(commands: readonly CommandInfo[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    "Usage: stele [command] [options]",
    "",
    "An etcd v3 server that keeps its data in SQL, and tools for any etcd.",
    "",
    "Commands:",
    ...commands.map(({ name, summary }) =>
      `  ${name.padEnd(width)}  ${summary}`
    ),
    "",
    "Examples:",
    "  stele                              serve on http://localhost:2379, data in default.etcd",
    "  stele serve --help                 every flag of the server",
    "  stele help history                 how to use a command",
    "  stele status --endpoints a:2379,b:2379",
    "",
  ].join("\n");
}
