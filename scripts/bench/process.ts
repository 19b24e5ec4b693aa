import { Buffer } from "node:buffer";

/** Clock ticks of /proc/PID/stat in a second (Linux: always 100 towards user space). */
const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4096;

/** CPU time that a process has used so far, milliseconds. Linux only. */
export function cpuMs(pid: number): number {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 1000 / TICKS_PER_SECOND;
}

/** Resident memory of a process, MiB. */
export function residentMib(pid: number): number {
  return Number(Deno.readTextFileSync(`/proc/${pid}/statm`).split(" ")[1]) *
    PAGE_BYTES /
    (1 << 20);
}

/** Bytes that a process has written to disk so far. */
export function writtenBytes(pid: number): number {
  const match = /^write_bytes: (\d+)$/m.exec(
    Deno.readTextFileSync(`/proc/${pid}/io`),
  );
  return Number(match?.[1] ?? 0);
}

/** A server under test, in a process and a directory of its own. */
export interface ServerProcess extends AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  readonly port: number;
  /** From the start of the process to the first answer, milliseconds. */
  readonly readyMs: number;
}

export interface ServerCommand {
  readonly name: string;
  readonly command: string;
  readonly args: (port: number, dataDir: string) => string[];
}

/** Starts a server and waits until its `/health` answers. Its directory is removed at the end unless it was given. */
export async function startServerProcess(
  server: ServerCommand,
  dataDir?: string,
): Promise<ServerProcess> {
  const dir = dataDir ??
    await Deno.makeTempDir({ prefix: `bench-${server.name}-` });
  const port = freePort();
  const began = performance.now();
  const child = new Deno.Command(server.command, {
    args: server.args(port, dir),
    stdout: "null",
    stderr: "null",
  }).spawn();
  for (;;) {
    try {
      const response = await fetch(`http://127.0.0.1:${port}/health`);
      await response.body?.cancel();
      if (response.ok) break;
    } catch {
      // It is not listening yet.
    }
    if (performance.now() - began > 60_000) {
      child.kill("SIGKILL");
      throw new Error(`Cannot start ${server.name}: not healthy after 60 s`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return {
    name: server.name,
    pid: child.pid,
    port,
    readyMs: performance.now() - began,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
      if (dataDir === undefined) await Deno.remove(dir, { recursive: true });
    },
  };
}

/** Runs a command to its end; throws with what it said if it fails. */
export async function run(
  command: string,
  args: string[],
  cwd?: string,
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args,
    ...(cwd === undefined ? {} : { cwd }),
  }).output();
  const out = Buffer.from(stdout).toString();
  if (!success) {
    throw new Error(`${command} ${args[0]}: ${Buffer.from(stderr)}${out}`);
  }
  return out;
}

/** Whether a command is there to be run. */
export async function has(command: string): Promise<boolean> {
  const { success } = await new Deno.Command("sh", {
    args: ["-c", `command -v ${command}`],
    stdout: "null",
    stderr: "null",
  }).output();
  return success;
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return port;
}
