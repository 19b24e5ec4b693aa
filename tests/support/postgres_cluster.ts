/** What a server of our own is started with. */
export interface ClusterOptions {
  /** PEM; the server then takes TLS, and nothing else from the network. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Password of `postgres`, checked by SCRAM-SHA-256. Default: everybody is let in. */
  readonly password?: string;
}

const PROGRAMS = ["initdb", "pg_ctl", "pg_basebackup"];
const DEBIAN_DIR = "/usr/lib/postgresql";
/** The programs of a PostgreSQL server, where they are installed; undefined elsewhere. */
const BIN = findPrograms();

/** Why there can be no cluster of our own here; undefined if there can. */
export const CLUSTER_OBSTACLE: string | undefined = BIN === undefined
  ? "initdb and pg_ctl of PostgreSQL are not installed"
  : undefined;

/**
 * A PostgreSQL server of a test's own, on a port of its own: one that can be stopped, promoted and set back.
 *
 * The server refuses to run as root: then it runs as the user `postgres`.
 */
export class PostgresCluster implements AsyncDisposable {
  readonly port: number;
  readonly #dir: string;
  #isRunning = false;

  private constructor(dir: string, port: number) {
    this.#dir = dir;
    this.port = port;
  }

  static async start(options: ClusterOptions = {}): Promise<PostgresCluster> {
    const cluster = await PostgresCluster.#make();
    const dir = cluster.#dir;
    const password = `${dir}.password`;
    await Deno.writeTextFile(password, options.password ?? "unused");
    const auth = options.password === undefined ? "trust" : "scram-sha-256";
    await run("initdb", [
      ...["-D", dir, "-U", "postgres", "--no-sync", "-E", "UTF8"],
      ...["--locale=C", "-A", auth, `--pwfile=${password}`],
    ]);
    await Deno.remove(password);
    if (options.tls !== undefined) await cluster.#useTls(options.tls);
    await cluster.up();
    return cluster;
  }

  /** A standby that follows this one. */
  async standby(): Promise<PostgresCluster> {
    const other = await PostgresCluster.#make();
    await run("pg_basebackup", [
      ...["-D", other.#dir, "-h", "127.0.0.1", "-p", String(this.port)],
      ...["-U", "postgres", "-R", "-c", "fast", "--no-sync"],
    ]);
    await other.up();
    return other;
  }

  async up(): Promise<void> {
    const options = [
      `-p ${this.port} -h 127.0.0.1 -k ${this.#dir}`,
      "-c fsync=off -c shared_buffers=16MB -c max_connections=40",
    ].join(" ");
    const log = `${this.#dir}/server.log`;
    await this.#control("start", ["-o", options, "-l", log]);
    this.#isRunning = true;
  }

  /** `immediate`: as if the machine had lost power. */
  async down(mode: "fast" | "immediate" = "fast"): Promise<void> {
    this.#isRunning = false;
    await this.#control("stop", ["-m", mode]);
  }

  /** The standby becomes a primary. */
  promote(): Promise<void> {
    return this.#control("promote", []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isRunning) await this.down("immediate");
    await Deno.remove(this.#dir, { recursive: true });
  }

  static async #make(): Promise<PostgresCluster> {
    const dir = await Deno.makeTempDir({ prefix: "stele-pg-" });
    await ownedByServer(dir);
    return new PostgresCluster(dir, freePort());
  }

  async #useTls(tls: { cert: string; key: string }): Promise<void> {
    const files = { "server.crt": tls.cert, "server.key": tls.key };
    for (const [name, pem] of Object.entries(files)) {
      const path = `${this.#dir}/${name}`;
      await Deno.writeTextFile(path, pem, { mode: 0o600 });
      await ownedByServer(path);
    }
    const hba = `${this.#dir}/pg_hba.conf`;
    const rules = await Deno.readTextFile(hba);
    await Deno.writeTextFile(hba, rules.replaceAll(/^host\b/gm, "hostssl"));
    const settings = `${this.#dir}/postgresql.auto.conf`;
    await Deno.writeTextFile(settings, "ssl = on\n", { append: true });
  }

  #control(action: string, args: readonly string[]): Promise<void> {
    return run("pg_ctl", [action, "-w", "-s", "-D", this.#dir, ...args]);
  }
}

function freePort(): number {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  return (listener.addr as Deno.NetAddr).port;
}

function findPrograms(): string | undefined {
  const candidates = (Deno.env.get("PATH") ?? "").split(":");
  try {
    const versions = [...Deno.readDirSync(DEBIAN_DIR)].map(({ name }) => name);
    for (const version of versions.sort().reverse()) {
      candidates.push(`${DEBIAN_DIR}/${version}/bin`);
    }
  } catch {
    // Not Debian: then the programs are on the path, or not here.
  }
  return candidates.find((dir) =>
    PROGRAMS.every((program) => isFile(`${dir}/${program}`))
  );
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

const IS_ROOT = Deno.uid() === 0;

async function ownedByServer(path: string): Promise<void> {
  if (IS_ROOT) await succeed("chown", ["postgres:postgres", path]);
}

function run(program: string, args: readonly string[]): Promise<void> {
  const path = `${BIN}/${program}`;
  return IS_ROOT
    ? succeed("setpriv", [
      ...["--reuid=postgres", "--regid=postgres", "--clear-groups", path],
      ...args,
    ])
    : succeed(path, args);
}

async function succeed(path: string, args: readonly string[]): Promise<void> {
  // A server that was started would hold on to a pipe.
  const isStart = args.includes("start");
  const output = await new Deno.Command(path, {
    args: [...args],
    // The working directory of the tests may be closed to the server's user.
    cwd: "/",
    stdin: "null",
    stdout: "null",
    stderr: isStart ? "inherit" : "piped",
  }).output();
  if (output.code === 0) return;
  const why = isStart ? "" : new TextDecoder().decode(output.stderr);
  throw new Error(`${path} ended with ${output.code}: ${why}`);
}
