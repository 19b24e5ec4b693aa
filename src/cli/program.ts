import { Command, CommanderError, type Help } from "commander";
import { errorText } from "../base/log.ts";
import { nearest } from "../config/nearest.ts";
import { type CommandContext, UsageError } from "./command_context.ts";
import { COMMANDS } from "./commands.ts";
import { ExitStatus, type Process } from "./process.ts";

/** Lines of help are no wider. */
const HELP_WIDTH = 100;
/** As a shell reports a process that SIGINT or SIGTERM ended. */
const INTERRUPTED_STATUS = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Runs any command but `serve`, and returns the exit status. An error is one line.
 *
 * The first signal asks the command to end, the second ends the process.
 */
export async function runProgram(
  [name = "help", ...args]: readonly string[],
  process: Process,
): Promise<number> {
  const interrupt = new AbortController();
  let interruptedStatus: number | undefined;
  const ignoreSignals = process.onSignal((signal) => {
    const status = INTERRUPTED_STATUS[signal];
    if (interruptedStatus !== undefined) process.exit(status);
    interruptedStatus = status;
    interrupt.abort();
  });
  const { signal } = interrupt;
  const context: CommandContext = { process, signal, exitStatus: 0 };
  try {
    const command = await loadCommand(name, context);
    await command.parseAsync(args, { from: "user" });
    return interruptedStatus ?? context.exitStatus;
  } catch (error) {
    if (error instanceof CommanderError) {
      return error.exitCode === 0 ? ExitStatus.Ok : ExitStatus.Usage;
    }
    // Whoever read the output has seen enough: `stele history k | head`.
    if (error instanceof Deno.errors.BrokenPipe) return ExitStatus.Ok;
    if (interruptedStatus !== undefined) return interruptedStatus;
    process.stderr(`stele: ${oneLine(errorText(error))}\n`);
    return error instanceof UsageError ? ExitStatus.Usage : ExitStatus.Failed;
  } finally {
    ignoreSignals();
  }
}

/** Loads one command, with our way of showing help and errors; throws `UsageError` if there is none. */
async function loadCommand(
  name: string,
  context: CommandContext,
): Promise<Command> {
  const info = COMMANDS.find((each) => each.name === name);
  if (info === undefined) throw new UsageError(unknownCommand(name));
  const command = (await info.load())(context, {
    commands: COMMANDS,
    load: (other) => loadCommand(other, context),
  });
  configure(command, context.process);
  if (command.description() === "") command.description(info.summary);
  // Its help then begins with `Usage: stele name`.
  new Command("stele").addCommand(command);
  return command;
}

function configure(command: Command, process: Process): void {
  command
    .exitOverride()
    .showHelpAfterError(false)
    .helpOption("-h, --help", "show this text")
    .configureHelp({ helpWidth: HELP_WIDTH, formatHelp })
    .configureOutput({
      writeOut: (text) => process.stdout(text),
      writeErr: (text) => process.stderr(text),
      outputError: (text, write) => write(`stele: ${usageMessage(text)}\n`),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  for (const each of command.commands) configure(each, process);
}

/** Commander's help, without an empty line at its end for each part that is missing. */
function formatHelp(command: Command, help: Help): string {
  const text = Object.getPrototypeOf(help).formatHelp.call(
    help,
    command,
    help,
  );
  return text.trimEnd() + "\n";
}

/** `error: unknown option '--x'\n(Did you mean --y?)` → `Cannot …: unknown option '--x'; did you mean --y?` */
function usageMessage(text: string): string {
  const plain = oneLine(text)
    .replace(/^error: /, "")
    .replace(/\.? \(Did you mean (.*)\?\)$/, "; did you mean $1?")
    .replace(/\.$/, "");
  return `Cannot understand the command line: ${plain}`;
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, " ");
}

function unknownCommand(name: string): string {
  const names = COMMANDS.map((each) => each.name);
  const hint = nearest(name, names) ??
    names.find((each) => each.startsWith(name));
  return `Cannot run "${name}": there is no such command` +
    (hint === undefined
      ? "; stele help lists them"
      : `; did you mean ${hint}?`);
}
