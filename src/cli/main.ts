import { ExitStatus, type Process } from "./process.ts";
import { serve, type StartServer } from "./serve.ts";

/**
 * The executable: `stele [command] [flags]`. Returns the exit status.
 * Without a command, or with a flag in its place, it serves, as etcd does.
 *
 * Nothing that the server does not need is loaded for it.
 */
export async function main(
  args: readonly string[],
  process: Process,
  startServer: StartServer,
): Promise<number> {
  const [command = "serve", ...rest] = args;
  const isAlone = rest.length === 0;
  if (isAlone && /^--?(h|help)$/.test(command)) {
    return await runProgram(["help"], process);
  }
  if (command.startsWith("-")) return await serve(args, process, startServer);
  if (command === "serve") return await serve(rest, process, startServer);
  if (command === "version" && isAlone) {
    process.stdout((await import("./version.ts")).versionText());
    return ExitStatus.Ok;
  }
  return await runProgram(args, process);
}

async function runProgram(
  args: readonly string[],
  process: Process,
): Promise<number> {
  return await (await import("./program.ts")).runProgram(args, process);
}
