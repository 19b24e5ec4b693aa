/** How a server process ended. */
export interface Ending {
  readonly code: number;
  readonly signal: Deno.Signal | null;
}

const READY = /ready to serve client requests.*?"http:\/\/([^"]+)"/;

/** Bytes of the log that are kept, for the message when something is wrong. */
const KEPT_LOG_CHARS = 20_000;

/** A server in a process of its own, that can be stopped in every way there is. */
export class ServerProcess {
  /** host:port once it serves; undefined if it ended before. */
  readonly ready: Promise<string | undefined>;
  readonly ended: Promise<Ending>;
  /** The end of what it logged. */
  log = "";
  readonly #child: Deno.ChildProcess;
  #isKilled = false;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    const ready = Promise.withResolvers<string | undefined>();
    this.ready = ready.promise;
    const read = this.#read(ready.resolve);
    this.ended = child.status.then(async ({ code, signal }) => {
      await read;
      ready.resolve(undefined);
      return { code, signal };
    });
  }

  /** Starts `STELE_BIN`, or this tree under Deno, on a directory; `wrapper` is a command that runs it. */
  static spawn(
    dataDir: string,
    flags: readonly string[] = [],
    wrapper: readonly string[] = [],
  ): ServerProcess {
    const binary = Deno.env.get("STELE_BIN");
    const serve = [
      "serve",
      `--data-dir=${dataDir}`,
      "--listen-client-urls=http://127.0.0.1:0",
      "--advertise-client-urls=http://127.0.0.1:0",
      ...flags,
    ];
    const main = new URL("../../../mod.ts", import.meta.url).pathname;
    const command = binary !== undefined ? [binary, ...serve] : [
      Deno.execPath(),
      "run",
      "-A",
      "--no-prompt",
      "--no-check",
      main,
      ...serve,
    ];
    const [first, ...args] = [...wrapper, ...command];
    const child = new Deno.Command(first!, {
      args,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    return new ServerProcess(child);
  }

  get pid(): number {
    return this.#child.pid;
  }

  get isKilled(): boolean {
    return this.#isKilled;
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(): Promise<Ending> {
    this.#isKilled = true;
    this.#signal("SIGKILL");
    return await this.ended;
  }

  /** SIGTERM; resolves when the process is gone. */
  async stop(): Promise<Ending> {
    this.#signal("SIGTERM");
    return await this.ended;
  }

  /** SIGTERM for the server that a wrapper runs; resolves when both are gone. Linux only. */
  async stopChild(): Promise<Ending> {
    const { pid } = this;
    const children = await Deno.readTextFile(
      `/proc/${pid}/task/${pid}/children`,
    );
    for (const child of children.trim().split(" ")) {
      Deno.kill(Number(child), "SIGTERM");
    }
    return await this.ended;
  }

  /** Stops all of its threads until `resume`. */
  pause(): void {
    this.#signal("SIGSTOP");
  }

  resume(): void {
    this.#signal("SIGCONT");
  }

  #signal(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch {
      // It ended by itself; `ended` says how.
    }
  }

  async #read(ready: (address: string) => void): Promise<void> {
    const lines = this.#child.stderr.pipeThrough(new TextDecoderStream());
    let isReady = false;
    for await (const text of lines) {
      this.log = (this.log + text).slice(-KEPT_LOG_CHARS);
      if (isReady) continue;
      const match = READY.exec(this.log);
      if (match === null) continue;
      isReady = true;
      ready(match[1]!);
    }
  }
}
