import { Command, Option } from "commander";
import { FLAGS } from "../config/flags.ts";
import type { CommandContext } from "./command_context.ts";
import { helpText } from "./help.ts";

/**
 * `serve` as help and completion see it. It is never run from here: its flags follow the rules of Go's
 * `flag` package (`config/flag_scanner.ts`), which commander's parser does not know.
 */
export function serveCommand(_context: CommandContext): Command {
  const command = new ServeCommand("serve");
  for (const { name, type, help } of FLAGS.values()) {
    // Commander has these by itself.
    if (name === "help" || name === "version") continue;
    const value = type === "bool" ? "" : ` <${type}>`;
    command.addOption(new Option(`--${name}${value}`, help));
  }
  return command;
}

class ServeCommand extends Command {
  override helpInformation(): string {
    return helpText();
  }
}
