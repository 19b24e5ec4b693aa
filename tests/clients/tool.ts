import { delimiter, join } from "node:path";

/** What a program wrote until it ended. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Default: nothing. */
  readonly stdin?: string;
  /** Interrupts the program as soon as this is in its standard output. */
  readonly until?: RegExp;
  /** Interrupts the program. Default: never. */
  readonly signal?: AbortSignal;
  /** Kills the program after this long; the outcome's code is then not 0. Default 30000. */
  readonly timeoutMs?: number;
}

/** The path of an executable: the one that `variable` of the environment names, or the first on PATH. */
export async function findTool(
  name: string,
  variable?: string,
): Promise<string | undefined> {
  const named = variable && Deno.env.get(variable);
  if (named) return named;
  for (const dir of (Deno.env.get("PATH") ?? "").split(delimiter)) {
    const path = join(dir, name);
    try {
      if ((await Deno.stat(path)).isFile) return path;
    } catch {
      // Not in this directory.
    }
  }
  return undefined;
}

/** Says why a test does not run. */
export function skip(reason: string): void {
  console.log(`skipped: ${reason}`);
}

export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  const child = new Deno.Command(program, {
    args: [...args],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...options.env },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(
    () => child.kill("SIGKILL"),
    options.timeoutMs ?? 30_000,
  );
  const stop = () => interrupt(child);
  options.signal?.addEventListener("abort", stop);
  try {
    const [stdout, stderr, status] = await Promise.all([
      readText(child.stdout, (text) => {
        if (options.until?.test(text)) interrupt(child);
      }),
      readText(child.stderr),
      child.status,
      writeText(child.stdin, options.stdin ?? ""),
    ]);
    return { code: status.code, stdout, stderr };
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", stop);
  }
}

/** `watch` is told everything that was read so far. */
async function readText(
  stream: ReadableStream<Uint8Array>,
  watch?: (text: string) => void,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    watch?.(text);
  }
  return text + decoder.decode();
}

async function writeText(
  stream: WritableStream<Uint8Array>,
  text: string,
): Promise<void> {
  try {
    const writer = stream.getWriter();
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
  } catch {
    // The program ended without reading it, which its outcome shows where it matters.
  }
}

function interrupt(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGINT");
  } catch {
    // It has ended by itself.
  }
}
