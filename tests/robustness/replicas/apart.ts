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
    const result = await runReplicas(options);
    return { ...result, faults: Object.fromEntries(result.faults) };
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
    const { success, signal, stdout } = await runOnce(run, options);
    const lines = stdout.trimEnd().split("\n");
    const result = lines.pop() ?? "";
    if (lines.length > 0) console.log(lines.join("\n"));
    if (success) return JSON.parse(result);
    if (!RUNTIME_SIGNALS.includes(signal) || attempt === MAX_ATTEMPTS) {
      throw new Error(`the run of ${run} failed: ${signal ?? result}`);
    }
    console.log(`the runtime ended the run of ${run} with ${signal}: again`);
  }
}

async function runOnce(
  run: string,
  options: unknown,
): Promise<{ success: boolean; signal: string | null; stdout: string }> {
  const tempDir = await Deno.makeTempDir({ prefix: "stele-apart-" });
  try {
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
        env: { TMPDIR: tempDir },
        stdout: "piped",
        stderr: "inherit",
      },
    ).output();
    return { success, signal, stdout: new TextDecoder().decode(stdout) };
  } finally {
    killServersIn(tempDir);
    await Deno.remove(tempDir, { recursive: true });
  }
}

/** Servers outlive a process that the runtime ended; their data directories tell whose they are. */
function killServersIn(dir: string): void {
  if (Deno.build.os !== "linux") return;
  for (const { name: pid } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      if (Deno.readTextFileSync(`/proc/${pid}/cmdline`).includes(`=${dir}/`)) {
        Deno.kill(Number(pid), "SIGKILL");
      }
    } catch {
      // It has ended meanwhile.
    }
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
