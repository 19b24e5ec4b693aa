import type { Config } from "../../mod.ts";
import { configFlags } from "./config_flags.ts";

/** Enough for a stack trace. */
const KEPT_CHARS = 4096;
/** How long a stop may take before it is an error. */
const STOP_MS = 10_000;

/** A server in a process of its own: the executable that `STELE_BIN` names. */
export class ServerProcess {
  private constructor(
    readonly child: Deno.ChildProcess,
    readonly clientUrls: readonly string[],
    /** The end of what it writes. */
    readonly lastWords: Promise<string>,
  ) {}

  /** Resolves when it serves; rejects with what it wrote if it ends before. */
  static async start(
    executable: string,
    overrides: Partial<Config>,
  ): Promise<ServerProcess> {
    const child = new Deno.Command(executable, {
      args: ["serve", ...configFlags({ ...overrides, logLevel: "info" })],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const lines = child.stderr
      .pipeThrough(new TextDecoderStream())
      .getReader();
    let text = "";
    for (;;) {
      const { value, done } = await lines.read();
      if (done) {
        await child.status;
        throw new Error(`the server ended: ${text}`);
      }
      text += value;
      const ready =
        /"msg":"ready to serve client requests","addresses":(\[[^\]]*\])/
          .exec(text);
      if (ready === null) continue;
      return new ServerProcess(child, JSON.parse(ready[1]!), rest(lines));
    }
  }

  /** As systemd does it; throws if the server does not end in time, or not well. */
  async stop(): Promise<void> {
    this.child.kill("SIGTERM");
    const timer = setTimeout(() => this.child.kill("SIGKILL"), STOP_MS);
    const { code, signal } = await this.child.status;
    clearTimeout(timer);
    const words = await this.lastWords;
    if (code !== 0) {
      throw new Error(`the server ended with ${signal ?? code}: ${words}`);
    }
  }
}

/** Reads to the end, and keeps the last of it. */
async function rest(
  lines: ReadableStreamDefaultReader<string>,
): Promise<string> {
  let last = "";
  for (;;) {
    const { value, done } = await lines.read();
    if (done) return last;
    last = (last + value).slice(-KEPT_CHARS);
  }
}

/** Whether the executable that `STELE_BIN` names has a runtime before Deno 2.9; prints that `what` is skipped then. */
export function missingBefore29(what: string): boolean {
  const executable = Deno.env.get("STELE_BIN");
  if (executable === undefined) return false;
  const { stdout } = new Deno.Command(executable, { args: ["version"] })
    .outputSync();
  const version = /Deno (\d+)\.(\d+)/.exec(new TextDecoder().decode(stdout));
  const isOld = version === null || Number(version[1]) < 2 ||
    (version[1] === "2" && Number(version[2]) < 9);
  if (isOld) {
    console.log(
      `skipped: ${what} needs Deno 2.9; the executable has ${version?.[0]}`,
    );
  }
  return isOld;
}
