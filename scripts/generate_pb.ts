import {
  HAND_WRITTEN,
  ID_FIELDS,
  RAW_FIELDS,
  RAW_TYPES,
} from "./pb/choices.ts";
import { generateDescriptors } from "./pb/descriptor.ts";
import { parseProto } from "./pb/parser.ts";
import { allMessages, type ProtoFile, Symbols } from "./pb/schema.ts";
import { generateTypeScript, moduleName } from "./pb/typescript.ts";

/**
 * Generates `src/pb/` from `proto/`: one module per package and `descriptors.ts`. Deterministic.
 *
 *   deno task pb            writes what has changed and removes what is no longer generated
 *   deno task pb --check    only compares; exits 1 if something is stale
 */
const PROTO_DIR = new URL("../proto/", import.meta.url);
const OUTPUT_DIR = new URL("../src/pb/", import.meta.url);

/** File name in `src/pb/` → content. */
export function generate(files: readonly ProtoFile[]): Map<string, string> {
  const symbols = new Symbols(files);
  checkChoices(files, symbols);
  const modules = new Map<string, string>();
  for (const file of files) {
    const name = moduleName(file.package);
    if (modules.has(name)) {
      throw new Error(`Cannot generate ${name}: two files with one package`);
    }
    modules.set(name, generateTypeScript(file, symbols));
  }
  return modules.set("descriptors.ts", generateDescriptors(files, symbols));
}

/** Parses every .proto file below `directory`, sorted by path. */
export function readProtos(directory: URL = PROTO_DIR): ProtoFile[] {
  const paths: string[] = [];
  const walk = (below: string) => {
    for (const entry of Deno.readDirSync(new URL(below, directory))) {
      if (entry.isDirectory) walk(`${below}${entry.name}/`);
      else if (entry.name.endsWith(".proto")) paths.push(below + entry.name);
    }
  };
  walk("");
  return paths.sort().map((path) =>
    parseProto(path, Deno.readTextFileSync(new URL(path, directory)))
  );
}

function checkChoices(files: readonly ProtoFile[], symbols: Symbols): void {
  for (const name of [...ID_FIELDS, ...RAW_FIELDS]) {
    const dot = name.lastIndexOf(".");
    const message = files.flatMap(allMessages).find((found) =>
      found.fullName === name.slice(0, dot)
    );
    const field = message?.fields.find((found) =>
      found.name === name.slice(dot + 1)
    );
    if (message === undefined || field === undefined) {
      throw new Error(`Cannot apply choice for "${name}": no such field`);
    }
    const type = symbols.resolve(field.type, message.fullName);
    const fits = RAW_FIELDS.includes(name)
      ? type.kind === "message" && field.oneof === undefined
      : type.kind === "scalar" &&
        (type.scalar === "int64" || type.scalar === "uint64");
    if (!fits) throw new Error(`Cannot apply choice for "${name}": wrong type`);
  }
  for (const name of RAW_TYPES) {
    if (symbols.resolve(name, "").kind !== "message") {
      throw new Error(`Cannot apply choice for "${name}": not a message`);
    }
  }
}

/** Names of the files that differ from what would be generated. */
function staleFiles(modules: ReadonlyMap<string, string>): string[] {
  const present = [...Deno.readDirSync(OUTPUT_DIR)].map((entry) => entry.name);
  const orphans = present.filter((name) =>
    !modules.has(name) && !HAND_WRITTEN.includes(name)
  );
  const changed = [...modules].filter(([name, content]) =>
    !present.includes(name) ||
    Deno.readTextFileSync(new URL(name, OUTPUT_DIR)) !== content
  );
  return [...changed.map(([name]) => name), ...orphans].sort();
}

function main(): void {
  const modules = generate(readProtos());
  const stale = staleFiles(modules);
  const isCheck = Deno.args.includes("--check");
  for (const name of stale) {
    console.log(`${isCheck ? "stale" : "wrote"} src/pb/${name}`);
    if (isCheck) continue;
    const content = modules.get(name);
    if (content === undefined) Deno.removeSync(new URL(name, OUTPUT_DIR));
    else Deno.writeTextFileSync(new URL(name, OUTPUT_DIR), content);
  }
  if (isCheck && stale.length > 0) Deno.exit(1);
}

if (import.meta.main) main();
