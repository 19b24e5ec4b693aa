/**
 * Runs of the replicas' harness in processes of their own, since Deno's HTTP/2 client, which they use, can end its
 * process when a server goes away at the wrong moment (an assertion in its nghttp2, `find_stream_on_goaway_func`).
 *
 *   deno run -A tests/robustness/replicas/apart.ts nemesis '{"seed":1,"durationMs":12000,…}'
 *   deno run -A tests/robustness/replicas/apart.ts failover null
 *
 * prints the result as one line of JSON, the last.
 */
import { fileURLToPath } from "node:url";
import { measureFailover } from "./failover.ts";
import { runReplicas } from "./replica_run.ts";

/** What a process ends with whose own code was not at fault. */
const RUNTIME_SIGNALS: readonly (string | null)[] = ["SIGABRT", "SIGSEGV"];
const MAX_ATTEMPTS = 3;

const RUNS = {
  nemesis: async (options: Parameters<typeof runReplicas>[0]) => {
    const { violations, revisions, faults } = await runReplicas(options);
    return { violations, revisions, faults: Object.fromEntries(faults) };
  },
  failover: (_: null) => measureFailover(),
};

type Runs = typeof RUNS;

/** Does a run in another process; does it again if that was ended by the runtime, and says so. */
export async function runApart<R extends keyof Runs>(
  run: R,
  options: Parameters<Runs[R]>[0],
): Promise<Awaited<ReturnType<Runs[R]>>> {
  for (let attempt = 1;; attempt++) {
    const { success, signal, stdout } = await new Deno.Command(
      Deno.execPath(),
      {
        args: [
          "run",
          "-A",
          "--no-check",
          fileURLToPath(import.meta.url),
          run,
          JSON.stringify(options),
        ],
        stdout: "piped",
        stderr: "inherit",
      },
    ).output();
    const lines = new TextDecoder().decode(stdout).trimEnd().split("\n");
    const result = lines.pop() ?? "";
    if (lines.length > 0) console.log(lines.join("\n"));
    if (success) return JSON.parse(result);
    if (!RUNTIME_SIGNALS.includes(signal) || attempt === MAX_ATTEMPTS) {
      throw new Error(`the run of ${run} failed: ${signal ?? result}`);
    }
    console.log(`the runtime ended the run of ${run} with ${signal}: again`);
  }
}

if (import.meta.main) {
  const [run, options] = Deno.args;
  const result = await RUNS[run as keyof Runs](
    JSON.parse(options!) as never,
  );
  console.log(JSON.stringify(result));
  Deno.exit(0);
}
