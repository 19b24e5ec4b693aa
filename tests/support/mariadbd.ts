// deno-lint-ignore no-import-prefix -- pinned where it is used, as drivers do
import mysql from "npm:mysql2@3.24.6/promise";

/** What a server of our own is started with. */
export interface MariadbdOptions {
  /** Names of PEM files. */
  readonly tls?: {
    readonly authority: string;
    readonly certificate: string;
    readonly key: string;
  };
}

const PROGRAMS = ["mariadbd", "mariadb-install-db"] as const;
const DIRS = (Deno.env.get("PATH") ?? "").split(":").concat("/usr/sbin");
const PATHS = PROGRAMS.map(find);
/** It may take a while on a busy machine. */
const START_MS = 60_000;
const STOP_MS = 20_000;

/** Why there can be no server of our own here; undefined if there can. */
export const MARIADBD_OBSTACLE: string | undefined = PATHS.includes(undefined)
  ? `${PROGRAMS.join(" and ")} are not installed`
  : undefined;

/** A MariaDB server of a test's own, on a port of its own: one that can be killed and set up as the test likes. */
export class Mariadbd implements AsyncDisposable {
  readonly port: number;
  readonly #dir: string;
  readonly #args: readonly string[];
  #child: Deno.ChildProcess | undefined;

  private constructor(dir: string, port: number, options: MariadbdOptions) {
    this.#dir = dir;
    this.port = port;
    const { tls } = options;
    this.#args = [
      "--no-defaults",
      `--datadir=${dir}/data`,
      `--socket=${dir}/socket`,
      `--port=${port}`,
      "--bind-address=127.0.0.1",
      "--innodb-buffer-pool-size=16M",
      ...asRoot(),
      ...(tls === undefined ? [] : [
        `--ssl-ca=${tls.authority}`,
        `--ssl-cert=${tls.certificate}`,
        `--ssl-key=${tls.key}`,
      ]),
    ];
  }

  static async start(options: MariadbdOptions = {}): Promise<Mariadbd> {
    const dir = await Deno.makeTempDir({ prefix: "stele-mariadbd-" });
    const server = new Mariadbd(dir, freePort(), options);
    try {
      await run(PATHS[1]!, [
        "--no-defaults",
        `--datadir=${dir}/data`,
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        ...asRoot(),
      ]);
      await server.up();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Without a database; `root` needs no password. */
  get url(): string {
    return `mysql://root@127.0.0.1:${this.port}`;
  }

  async up(): Promise<void> {
    this.#child = new Deno.Command(PATHS[0]!, {
      args: [...this.#args],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const deadline = Date.now() + START_MS;
    for (;;) {
      try {
        return await this.run("SELECT 1");
      } catch (error) {
        if (Date.now() > deadline) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** As a crash has it. */
  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.status;
    this.#child = undefined;
  }

  /** Runs statements, for their effect. */
  async run(statements: string): Promise<void> {
    const connection = await mysql.createConnection({
      socketPath: `${this.#dir}/socket`,
      user: "root",
      multipleStatements: true,
    });
    try {
      await connection.query(statements);
    } finally {
      connection.destroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    if (child !== undefined) {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
      await child.status;
      clearTimeout(timer);
    }
    await Deno.remove(this.#dir, { recursive: true });
  }
}

/** The server refuses to run as root unless it is told to. */
function asRoot(): string[] {
  return Deno.uid() === 0 ? ["--user=root"] : [];
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return port;
}

function find(program: string): string | undefined {
  return DIRS.map((dir) => `${dir}/${program}`).find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
}

async function run(program: string, args: string[]): Promise<void> {
  const output = await new Deno.Command(program, { args, stdin: "null" })
    .output();
  if (output.success) return;
  const words = new TextDecoder().decode(output.stderr);
  throw new Error(`${program} failed: ${words}`);
}
