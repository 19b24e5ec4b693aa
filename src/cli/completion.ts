import { Argument, Command, type Option } from "commander";
import type { CommandContext } from "./command_context.ts";
import type { Program } from "./commands.ts";
import {
  bashScript,
  type CompletedCommand,
  type CompletedOption,
  fishScript,
  zshScript,
} from "./completion_scripts.ts";

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript };
type Shell = keyof typeof SCRIPTS;

/** `stele completion`: a script with every command and option in it; it does not call stele. */
export function completionCommand(
  { process }: CommandContext,
  program: Program,
): Command {
  return new Command("completion")
    .description("Prints a script that completes commands and options.")
    .addArgument(
      new Argument("<shell>", "whose script").choices(Object.keys(SCRIPTS)),
    )
    .addHelpText("after", EXAMPLES)
    .action(async (shell: Shell) => {
      const commands = await Promise.all(
        program.commands.map(async ({ name, summary }) => {
          const words = completed(await program.load(name), summary);
          return name === "help"
            ? { ...words, choices: program.commands.map((each) => each.name) }
            : words;
        }),
      );
      process.stdout(SCRIPTS[shell](commands));
    });
}

const EXAMPLES = `
Examples:
  source <(stele completion bash)                                   in ~/.bashrc
  stele completion zsh > "\${fpath[1]}/_stele"                       then start a new shell
  stele completion fish > ~/.config/fish/completions/stele.fish`;

function completed(command: Command, summary: string): CompletedCommand {
  return {
    name: command.name(),
    summary,
    options: [...command.options.map(completedOption), HELP],
    choices: command.registeredArguments.flatMap((argument) =>
      argument.argChoices ?? []
    ),
    subcommands: command.commands.map((each) =>
      completed(each, each.summary() || each.description())
    ),
  };
}

/** Commander adds it when it parses. */
const HELP: CompletedOption = {
  short: "h",
  long: "help",
  help: "show this text",
  value: undefined,
  choices: [],
};

function completedOption(option: Option): CompletedOption {
  const { short, long, description, argChoices = [] } = option;
  const value = /[<[](.*)[>\]]/.exec(option.flags)?.[1];
  return {
    short: short?.replace(/^-+/, ""),
    long: long!.replace(/^-+/, ""),
    help: description,
    value,
    choices: argChoices,
  };
}
