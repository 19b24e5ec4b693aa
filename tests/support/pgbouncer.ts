import { isReachable } from "./database_server.ts";

/** Why there can be no pooler here; undefined if there can. */
export const PGBOUNCER_OBSTACLE: string | undefined = findProgram() ===
    undefined
  ? "pgbouncer is not installed"
  : undefined;

/**
 * PgBouncer in transaction mode in front of a server without passwords: any statement may come to any of a few sessions.
 * As root, which it refuses to be, it runs as the user `postgres`.
 */
export class PgBouncer implements AsyncDisposable {
  readonly port: number;
  readonly #process: Deno.ChildProcess;
  readonly #dir: string;

  private constructor(port: number, process: Deno.ChildProcess, dir: string) {
    this.port = port;
    this.#process = process;
    this.#dir = dir;
  }

  static async start(serverUrl: string): Promise<PgBouncer> {
    const { hostname, port: serverPort, username } = new URL(serverUrl);
    const port = freePort();
    const dir = await Deno.makeTempDir({ prefix: "stele-pgbouncer-" });
    const file = `${dir}/pgbouncer.ini`;
    await Deno.writeTextFile(
      file,
      `[databases]
* = host=${hostname} port=${serverPort || 5432} user=${username || "postgres"}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
auth_type = any
pool_mode = transaction
default_pool_size = 4
unix_socket_dir =
`,
    );
    await Deno.chmod(dir, 0o755);
    const asPostgres = [
      ...["--reuid=postgres", "--regid=postgres", "--clear-groups"],
    ];
    const [program, args] = Deno.uid() === 0
      ? ["setpriv", [...asPostgres, findProgram()!, "-q", file]] as const
      : [findProgram()!, ["-q", file]] as const;
    const process = new Deno.Command(program, {
      args: [...args],
      cwd: "/",
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const bouncer = new PgBouncer(port, process, dir);
    while (!await isReachable(`postgres://127.0.0.1:${port}`)) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return bouncer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // At once, sessions and all.
    this.#process.kill("SIGTERM");
    await this.#process.status;
    await Deno.remove(this.#dir, { recursive: true });
  }
}

function freePort(): number {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  return (listener.addr as Deno.NetAddr).port;
}

function findProgram(): string | undefined {
  const path = Deno.env.get("PATH") ?? "";
  const dirs = [...path.split(":"), "/usr/sbin", "/usr/bin"];
  return dirs.map((dir) => `${dir}/pgbouncer`).find((file) => {
    try {
      return Deno.statSync(file).isFile;
    } catch {
      return false;
    }
  });
}
