/**
 * Puts the modules of a program, and of the packages that it uses, into few files: one for each entry, and one for
 * each part that it loads later. A program of three hundred modules starts faster that way.
 *
 * The bundler is the one that Deno brings, esbuild. It does not know what `new URL("./worker.ts", import.meta.url)`
 * means, so that these names are rewritten here; see `renameFiles`. The comments that this needs go in a second pass,
 * which minifies: what is read and parsed at a start is half as long. Traces then name methods, but no classes.
 */
import { dirname, join, relative } from "node:path/posix";

export interface BundleOptions {
  /** The directory that all other paths are relative to, with its slash. */
  readonly root: string;
  /** Modules that are started: the program and its workers. */
  readonly entries: readonly string[];
  /** Other files that modules name; they are copied. */
  readonly files: readonly string[];
  /** Where to put it; what was there is removed. */
  readonly output: string;
}

/** The bundler cannot be had, or does not take the modules. */
export class BundlerError extends Error {
  override name = "BundlerError";
}

/** Makes the bundle: `src/a.ts` becomes `src/a.js` in the output. Rejects with `BundlerError`. */
export async function bundle(options: BundleOptions): Promise<void> {
  const { root, entries, files, output } = options;
  const parts = `${output}.parts`;
  for (const path of [parts, output]) await removeIfThere(root + path);
  await runBundler(root, entries.map((entry) => bundleArgs(entry, parts)));
  for (const name of await modulesBelow(`${root}${parts}`, "")) {
    const path = `${root}${parts}/${name}`;
    const text = await Deno.readTextFile(path);
    const renamed = deferRequire(renameFiles(text, name, { entries, files }));
    if (renamed !== text) await Deno.writeTextFile(path, renamed);
  }
  await runBundler(
    root,
    entries.map((entry) => minifyArgs(bundledName(entry), parts, output)),
  );
  await removeIfThere(root + parts);
  for (const file of files) {
    const copy = `${root}${output}/${file}`;
    await Deno.mkdir(dirname(copy), { recursive: true });
    await Deno.copyFile(root + file, copy);
  }
}

/** The command line of `deno` that bundles an entry; what it loads later is put beside it. */
export function bundleArgs(entry: string, output: string): string[] {
  return bundlerArgs(entry, join(output, dirname(entry)));
}

/** The command line of `deno` that minifies the bundle of an entry, from one directory into another. */
export function minifyArgs(
  name: string,
  from: string,
  output: string,
): string[] {
  return bundlerArgs(join(from, name), join(output, dirname(name)), "--minify");
}

function bundlerArgs(
  module: string,
  directory: string,
  ...more: string[]
): string[] {
  return [
    "bundle",
    "--quiet",
    "--platform=deno",
    "--code-splitting",
    ...more,
    `--outdir=${directory}`,
    module,
  ];
}

/** Runs Deno with one command line after the other: the first one may have to fetch the bundler. */
async function runBundler(
  cwd: string,
  commands: readonly string[][],
): Promise<void> {
  for (const args of commands) {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args,
      cwd,
      // The bundler comes from npm; behind a proxy only the system knows its certificate.
      env: { DENO_TLS_CA_STORE: "mozilla,system", NO_COLOR: "1" },
      stdout: "null",
      stderr: "piped",
    }).output();
    if (code !== 0) {
      throw new BundlerError(reason(new TextDecoder().decode(stderr)));
    }
  }
}

/** Where an entry is in the output. */
export function bundledName(entry: string): string {
  return entry.replace(/\.ts$/, ".js");
}

/**
 * Makes `text`, the bundle's file `name`, find entries and files where they are in the output. Which module a line
 * comes from is said by the comments that esbuild puts above each: in `// src/auth/thread.ts`, `./worker.ts` is
 * `src/auth/worker.ts`. Throws for what is neither an entry nor a file: it would be missing.
 */
export function renameFiles(
  text: string,
  name: string,
  { entries, files }: Pick<BundleOptions, "entries" | "files">,
): string {
  let module = name;
  return text.split("\n").map((line) => {
    module = /^\/\/ ([\w./-]+\.ts)$/.exec(line)?.[1] ?? module;
    return line.replaceAll(
      /new URL\("(\.[^"]*)", import\.meta\.url\)/g,
      (_match, path: string) => {
        const file = join(dirname(module), path);
        if (!entries.includes(file) && !files.includes(file)) {
          throw new Error(`${module} names ${file}, which is not bundled`);
        }
        const to = relative(dirname(name), bundledName(file));
        return `new URL("./${to}", import.meta.url)`;
      },
    );
  }).join("\n");
}

/**
 * Has the bundler's `require`, for packages of CommonJS, load `node:module` when it is called first. The server has
 * none of these packages, and each of its threads would wait 35 ms for it on Deno 2.9.
 */
export function deferRequire(text: string): string {
  return text.replace(
    /^import \{ createRequire as (\w+) \} from "node:module";\nvar __require = \1\(import\.meta\.url\);$/m,
    'var __require = (name) => process.getBuiltinModule("node:module").createRequire(import.meta.url)(name);',
  );
}

/** The bundle's modules in `directory` and below, as paths that begin with `prefix`. */
async function modulesBelow(
  directory: string,
  prefix: string,
): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(directory)) {
    const path = prefix + name;
    if (isDirectory) {
      names.push(...await modulesBelow(`${directory}/${name}`, `${path}/`));
    } else if (name.endsWith(".js")) names.push(path);
  }
  return names;
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** The line of Deno's output that says what went wrong. */
function reason(output: string): string {
  const lines = output.split("\n");
  return (lines.find((line) => /\berror\b/i.test(line)) ?? output).trim();
}
