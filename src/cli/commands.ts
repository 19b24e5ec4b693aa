import type { Command } from "commander";
import type { CommandContext } from "./command_context.ts";

/** Makes a command; commander then parses for it and calls it. */
export type CommandFactory = (
  context: CommandContext,
  program: Program,
) => Command;

/** The other commands, for those that tell of them. */
export interface Program {
  readonly commands: readonly CommandInfo[];
  /** Throws `UsageError` for a command that there is not. */
  load(name: string): Promise<Command>;
}

/** A command that is loaded when it is run. */
export interface CommandInfo {
  readonly name: string;
  /** One line, for the overview. */
  readonly summary: string;
  readonly load: () => Promise<CommandFactory>;
}

/** All commands, in the order of the overview. */
export const COMMANDS: readonly CommandInfo[] = [
  {
    name: "serve",
    summary: "start the server; what stele does without a command",
    load: async () => (await import("./serve_command.ts")).serveCommand,
  },
  {
    name: "status",
    summary: "show how servers are: sizes, revisions, alarms, hashes",
    load: async () => (await import("./status.ts")).statusCommand,
  },
  {
    name: "history",
    summary: "show every change of a key, or a key as it was",
    load: async () => (await import("./history.ts")).historyCommand,
  },
  {
    name: "diff",
    summary: "show what differs between two revisions",
    load: async () => (await import("./diff.ts")).diffCommand,
  },
  {
    name: "compact",
    summary: "give up old revisions, to save space",
    load: async () => (await import("./compact.ts")).compactCommand,
  },
  {
    name: "snapshot",
    summary: "save all data to a file, look into one, restore one",
    load: async () => (await import("./snapshot.ts")).snapshotCommand,
  },
  {
    name: "check",
    summary: "look for damage: in a data directory, or among servers",
    load: async () => (await import("./check.ts")).checkCommand,
  },
  {
    name: "schema",
    summary: "print the SQL that makes the tables in a database server",
    load: async () => (await import("./schema.ts")).schemaCommand,
  },
  {
    name: "bench",
    summary: "measure a server under load",
    load: async () => (await import("./bench.ts")).benchCommand,
  },
  {
    name: "completion",
    summary: "print a script that completes commands in a shell",
    load: async () => (await import("./completion.ts")).completionCommand,
  },
  {
    name: "version",
    summary: "show the versions",
    load: async () => (await import("./version_command.ts")).versionCommand,
  },
  {
    name: "help",
    summary: "show this text, or that of a command",
    load: async () => (await import("./help_command.ts")).helpCommand,
  },
];
