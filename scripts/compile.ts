/**
 * Makes one executable of the server, workers included; `HELP` tells how.
 *
 * The runtime inside is the one that compiles, fetched by Deno; `DENORT_BIN` names another where it cannot be had.
 * The executable knows the commit that it was made of: `STELE_COMMIT`, or what Git says of the checkout.
 *
 * What goes into it is a bundle: modules as they are, with npm packages beside them, start 60 ms later.
 */
import { fileURLToPath } from "node:url";
import { COMMIT_FILE } from "../src/cli/version.ts";
import { STELE_VERSION } from "../src/config/version.ts";
import { bundle, bundledName, BundlerError } from "./bundle.ts";
import { notices } from "./notices.ts";

/** Short names and Rust's, as `deno compile` takes them. */
export const TARGETS: Readonly<Record<string, string>> = {
  "linux-x64": "x86_64-unknown-linux-gnu",
  "linux-arm64": "aarch64-unknown-linux-gnu",
  "macos-x64": "x86_64-apple-darwin",
  "macos-arm64": "aarch64-apple-darwin",
  "windows-x64": "x86_64-pc-windows-msvc",
};

/** Modules that no import leads to: those of workers. */
export const WORKERS = [
  "src/backend/driver/sqlite/worker.ts",
  "src/backend/driver/postgres/worker.ts",
  "src/backend/driver/mysql/worker.ts",
  "src/auth/password_worker.ts",
];

const MAIN = "mod.ts";
const COMMIT = "dist/commit";
const BUNDLE = "dist/bundle";
const NOTICES = "dist/NOTICES.txt";

const HELP = `Usage: deno task compile [--target=NAME]... [--all]

Makes an executable of the server: dist/stele for this machine, dist/stele-NAME for a target. The licences of the
packages in it, to be handed on with it, are in ${NOTICES}.

  --target=NAME   for one of: ${Object.keys(TARGETS).join(", ")}
  --all           for each of them
  --help          show this text

Environment:
  DENORT_BIN      the runtime to put into it, a file; default: Deno downloads its own, for each target
  STELE_COMMIT    what "stele version" calls the commit; default: what Git says
`;

/**
 * Young objects get 2 MiB from the beginning, where V8 begins with one: a start then needs no collection. The first
 * one waits 3 ms for its threads.
 */
const V8_FLAGS = "--min-semi-space-size=2";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** What is asked for: names of `TARGETS`, undefined for this machine; or the help. */
export type Request = { readonly names: readonly (string | undefined)[] } | {
  readonly help: true;
} | { readonly refused: string };

/** Reads the command line. `base` is `DENORT_BIN`. */
export function parseRequest(
  args: readonly string[],
  base: string | undefined,
): Request {
  const names = new Set<string>();
  for (const arg of args) {
    const name = /^--target=(.*)$/.exec(arg)?.[1];
    if (arg === "--help" || arg === "-h") return { help: true };
    if (arg === "--all") {
      Object.keys(TARGETS).forEach((each) => names.add(each));
    } else if (name === undefined) {
      return { refused: `Cannot understand "${arg}": try --help` };
    } else if (Object.hasOwn(TARGETS, name)) names.add(name);
    else {
      const known = Object.keys(TARGETS).join(", ");
      return {
        refused: `Cannot compile for "${name}": it is none of ${known}`,
      };
    }
  }
  if (names.size > 1 && base !== undefined) {
    return {
      refused:
        "Cannot compile for several targets: DENORT_BIN names a runtime for one of them; unset it, or compile one by one",
    };
  }
  return { names: names.size === 0 ? [undefined] : [...names] };
}

async function main(args: readonly string[]): Promise<number> {
  const request = parseRequest(args, Deno.env.get("DENORT_BIN"));
  if ("help" in request) {
    console.log(HELP.trimEnd());
    return 0;
  }
  if ("refused" in request) {
    console.error(request.refused);
    return 2;
  }
  await Deno.mkdir(`${ROOT}dist`, { recursive: true });
  await Deno.writeTextFile(COMMIT_FILE, await commit());
  const isBundled = await makeBundle();
  for (const name of request.names) {
    const status = await compile(name, isBundled);
    if (status !== 0) return status;
  }
  await Deno.writeTextFile(
    ROOT + NOTICES,
    await notices(ROOT, [MAIN, ...WORKERS]),
  );
  return 0;
}

/** False if there is no bundler: what is compiled of the modules themselves does the same, and starts slower. */
async function makeBundle(): Promise<boolean> {
  try {
    await bundle({
      root: ROOT,
      entries: [MAIN, ...WORKERS],
      files: [COMMIT],
      output: BUNDLE,
    });
    return true;
  } catch (error) {
    if (!(error instanceof BundlerError)) throw error;
    console.error(
      `Cannot bundle the modules, and compiles them one by one: ${error.message}`,
    );
    return false;
  }
}

/** What is compiled, as Git names it, with `-dirty` if something has been changed since; empty if nobody knows. */
async function commit(): Promise<string> {
  const named = Deno.env.get("STELE_COMMIT");
  if (named !== undefined) return named;
  try {
    const { code, stdout } = await new Deno.Command("git", {
      args: ["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
      cwd: ROOT,
      stderr: "null",
    }).output();
    return code === 0 ? new TextDecoder().decode(stdout).trim() : "";
  } catch {
    return ""; // there is no Git
  }
}

async function compile(
  name: string | undefined,
  isBundled: boolean,
): Promise<number> {
  const output = name === undefined ? "dist/stele" : `dist/stele-${name}`;
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: compileArgs(name, output, isBundled),
    cwd: ROOT,
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  if (code !== 0) {
    console.error(
      `Cannot compile ${output}: if the runtime for it cannot be downloaded, DENORT_BIN may name one`,
    );
    return code;
  }
  const isWindows = name === undefined
    ? Deno.build.os === "windows"
    : name.startsWith("windows");
  const made = isWindows ? `${output}.exe` : output;
  const { size } = await Deno.stat(`${ROOT}${made}`);
  console.log(
    `${made}: Stele ${STELE_VERSION}, ${(size / 2 ** 20).toFixed(0)} MiB`,
  );
  return 0;
}

/**
 * The command line of `deno` that makes `output`; `name` is one of `TARGETS`, undefined for this machine.
 * Of the bundle, or of the modules themselves.
 */
export function compileArgs(
  name: string | undefined,
  output: string,
  isBundled: boolean,
): string[] {
  const included = isBundled ? [BUNDLE] : [...WORKERS, COMMIT];
  return [
    "compile",
    "--quiet",
    "--no-check", // the gate has checked
    "--no-prompt",
    // The server gives up what it does not need once it serves: `src/cli/permissions.ts`.
    "--allow-all",
    "--unstable-worker-options",
    `--v8-flags=${V8_FLAGS}`,
    // The packages are in the bundle: without these two they would be there once more, and read at each start.
    ...(isBundled ? ["--no-config", "--no-lock"] : []),
    ...included.flatMap((path) => ["--include", path]),
    ...(name === undefined ? [] : ["--target", TARGETS[name]!]),
    "--output",
    output,
    isBundled ? `${BUNDLE}/${bundledName(MAIN)}` : MAIN,
  ];
}

if (import.meta.main) Deno.exit(await main(Deno.args));
