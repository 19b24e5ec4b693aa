import { ExitStatus, type Process } from "./process.ts";
import { serve, type StartServer } from "./serve.ts";

const COMMANDS = ["serve", "version", "help"] as const;

/**
 * The executable: `stele [command] [flags]`. Returns the exit status.
 * Without a command, or with a flag in its place, it serves, as etcd does.
 */
export async function main(
  args: readonly string[],
  process: Process,
  startServer: StartServer,
): Promise<number> {
  const [command = "serve", ...rest] = args;
  if (command.startsWith("-")) return await serve(args, process, startServer);
  switch (command) {
    case "serve":
      return await serve(rest, process, startServer);
    case "version":
      process.stdout((await import("./version.ts")).versionText());
      return ExitStatus.Ok;
    case "help":
      process.stdout((await import("./help.ts")).helpText());
      return ExitStatus.Ok;
  }
  const { nearest } = await import("../config/nearest.ts");
  const hint = nearest(command, COMMANDS);
  const question = hint === undefined ? "" : `; did you mean ${hint}?`;
  process.stderr(
    `stele: Cannot run "${command}": there is no such command${question}\n`,
  );
  return ExitStatus.Usage;
}
