/**
 * Checks that imports in `src/` point down the map, never up and never in a circle, and that only a few
 * folders bring in packages. The map is `ARROWS` below; README.md draws it.
 *
 *   deno task layers     prints what is wrong; exits 1 if anything is
 */

/** Folders that know nothing of the network and of each other, apart from these. */
const STORE = ["mvcc", "backend", "pb", "base"];
/** The parts that `server.ts` plugs together: none of them imports another. */
const PARTS = ["auth", "lease", "compactor", "watch"];

/**
 * What the files of a folder may import, besides their own folder.
 * `a` is a folder, `a/b` only that part of it, `type a` only its types.
 */
export const ARROWS: Readonly<Record<string, readonly string[]>> = {
  cli: [
    "server",
    "config",
    "rpc",
    "http",
    "backup",
    ...PARTS,
    ...STORE,
    "transport",
  ],
  server: [
    "config",
    "replica",
    "rpc",
    "http",
    "backup",
    ...PARTS,
    ...STORE,
    "transport",
  ],
  config: ["rpc", "http", ...PARTS, ...STORE, "transport"],
  replica: ["rpc", "type backend", "transport/grpc", "pb", "base"],
  rpc: [...PARTS, "mvcc", "type backend", "transport/grpc", "pb", "base"],
  http: [...PARTS, ...STORE, "transport"],
  backup: [...STORE, "lease/lease_record", "auth/auth_record"],
  auth: [...STORE, "transport"],
  lease: [...STORE, "transport"],
  compactor: [...STORE, "transport"],
  watch: [...STORE, "transport"],
  mvcc: ["backend", "transport", "pb", "base"],
  backend: ["pb", "base"],
  transport: ["pb", "base"],
  pb: ["base"],
  base: [],
};

/** Where `npm:` packages may be imported. `jsr:` and `http(s):` are refused everywhere. */
export const PACKAGE_FOLDERS: readonly string[] = [
  "backend/driver/",
  "transport/",
  "cli/",
  "config/",
  "auth/",
];

/** One import, export-from, `import()` or worker URL. */
interface Import {
  readonly specifier: string;
  /** Erased by the compiler, so it cannot make a circle at run time. */
  readonly isType: boolean;
  /** A worker's entry: another module graph, but the same layers. */
  readonly isWorker: boolean;
}

/** `files`: path below `src/` → source. Returns one line for each violation, in order of files. */
export function checkLayers(files: ReadonlyMap<string, string>): string[] {
  const violations: string[] = [];
  /** File → files that it loads when it is loaded. */
  const loads = new Map<string, string[]>();
  for (const [path, source] of [...files].sort()) {
    const targets: string[] = [];
    loads.set(path, targets);
    for (const found of importsOf(source)) {
      const problem = problemOf(path, found);
      if (problem !== undefined) violations.push(`src/${path}: ${problem}`);
      const target = resolve(path, found.specifier);
      if (!found.isType && !found.isWorker && files.has(target)) {
        targets.push(target);
      }
    }
  }
  for (const circle of circlesOf(loads)) {
    violations.push(
      `circle: ${circle.map((path) => `src/${path}`).join(" → ")}`,
    );
  }
  return violations;
}

function problemOf(
  path: string,
  { specifier, isType }: Import,
): string | undefined {
  if (/^(jsr|https?):/.test(specifier)) {
    return `"${specifier}" is not allowed anywhere`;
  }
  if (specifier.startsWith("node:")) return undefined;
  if (!specifier.startsWith(".")) {
    if (PACKAGE_FOLDERS.some((folder) => path.startsWith(folder))) {
      return undefined;
    }
    return `"${specifier}" is a package, which only ${
      PACKAGE_FOLDERS.join(", ")
    } may import`;
  }
  if (specifier.endsWith(".json")) return undefined;
  const target = resolve(path, specifier);
  if (target.startsWith("..")) return `"${specifier}" is outside src/`;
  const from = layerOf(path);
  const to = layerOf(target);
  const arrows = ARROWS[from];
  if (arrows === undefined) return `folder "${from}" is not on the map`;
  if (from === to || arrows.some((arrow) => permits(arrow, target, isType))) {
    return undefined;
  }
  const typesOnly = arrows.includes(`type ${to}`) ? " other than types" : "";
  return `${from} may not import ${target}${typesOnly}`;
}

function permits(arrow: string, target: string, isType: boolean): boolean {
  if (arrow.startsWith("type ")) {
    return isType && permits(arrow.slice(5), target, true);
  }
  return target.startsWith(`${arrow}/`) || target === `${arrow}.ts`;
}

/** `mvcc/store.ts` → `mvcc`, `server.ts` → `server`. */
function layerOf(path: string): string {
  return path.replace(/(\/.*|\.ts)$/, "");
}

/** Relative to `src/`; starts with `..` if it leads out. */
function resolve(from: string, specifier: string): string {
  const parts = from.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === "..") {
      if (parts.length === 0 || parts.at(-1) === "..") parts.push("..");
      else parts.pop();
    } else if (part !== ".") {
      parts.push(part);
    }
  }
  return parts.join("/");
}

const COMMENT_LINE = /^\s*(\/\/|\/\*|\*).*$/gm;
const NAMES = String
  .raw`\*(?:\s+as\s+\w+)?|\{[^}]*\}|\w+(?:\s*,\s*(?:\{[^}]*\}|\*\s+as\s+\w+))?`;
/** As `deno fmt` writes them: at the start of a line, in double quotes. */
const STATIC = new RegExp(
  String.raw`^(?:import|export)\s+(type\s+)?(?:(${NAMES})\s+from\s+)?"([^"]+)"`,
  "gm",
);
const DYNAMIC = /\bimport\(\s*"([^"]+)"/g;
const WORKER = /\bnew URL\(\s*"(\.[^"]+\.ts)"/g;

function importsOf(source: string): Import[] {
  const code = source.replace(COMMENT_LINE, "");
  const found: Import[] = [];
  for (const [, type, names, specifier] of code.matchAll(STATIC)) {
    const isType = type !== undefined || hasOnlyTypes(names ?? "");
    found.push({ specifier: specifier!, isType, isWorker: false });
  }
  for (const [, specifier] of code.matchAll(DYNAMIC)) {
    found.push({ specifier: specifier!, isType: false, isWorker: false });
  }
  for (const [, specifier] of code.matchAll(WORKER)) {
    found.push({ specifier: specifier!, isType: false, isWorker: true });
  }
  return found;
}

/** `{ type A, type B }` */
function hasOnlyTypes(names: string): boolean {
  if (!names.startsWith("{")) return false;
  const each = names.slice(1, -1).split(",").map((name) => name.trim()).filter((
    name,
  ) => name !== "");
  return each.length > 0 && each.every((name) => name.startsWith("type "));
}

/** Circles, each once, from its first file back to it. */
function circlesOf(loads: ReadonlyMap<string, readonly string[]>): string[][] {
  const circles: string[][] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string) => {
    const start = path.indexOf(file);
    if (start >= 0) {
      circles.push([...path.slice(start), file]);
      return;
    }
    if (done.has(file)) return;
    path.push(file);
    for (const target of loads.get(file) ?? []) visit(target);
    path.pop();
    done.add(file);
  };
  for (const file of loads.keys()) visit(file);
  return circles;
}

function readSources(directory: URL, below = ""): [string, string][] {
  return [...Deno.readDirSync(new URL(below, directory))].flatMap(
    (entry): [string, string][] => {
      const path = below + entry.name;
      if (entry.isDirectory) return readSources(directory, `${path}/`);
      return path.endsWith(".ts")
        ? [[path, Deno.readTextFileSync(new URL(path, directory))]]
        : [];
    },
  );
}

if (import.meta.main) {
  const files = new Map(readSources(new URL("../src/", import.meta.url)));
  const violations = checkLayers(files);
  for (const violation of violations) console.log(violation);
  console.log(`${files.size} files, ${violations.length} violations`);
  if (violations.length > 0) Deno.exit(1);
}
