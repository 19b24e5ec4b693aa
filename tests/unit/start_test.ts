import assert from "node:assert/strict";

/**
 * What a module brings along when it is loaded: Deno compiles the `node:` modules when they are first imported, and
 * `node:stream`, which most of them need, takes 25 ms in each thread.
 */
const MAIN = new URL("../../mod.ts", import.meta.url);
const WORKER = new URL(
  "../../src/backend/driver/sqlite/worker.ts",
  import.meta.url,
);

Deno.test("nothing of node: is loaded before the database's thread is started", () => {
  assert.deepEqual([...importedBuiltins(MAIN)].sort(), []);
});

Deno.test("the database's thread loads of node: only what it cannot do without", () => {
  assert.deepEqual([...importedBuiltins(WORKER)].sort(), [
    "node:sqlite",
    "node:worker_threads",
  ]);
});

/** The `node:` modules that `entry` imports, itself or through others; what is imported later does not count. */
function importedBuiltins(entry: URL): Set<string> {
  const builtins = new Set<string>();
  const seen = new Set<string>();
  const waiting = [entry];
  for (let module = waiting.pop(); module; module = waiting.pop()) {
    if (seen.has(module.href)) continue;
    seen.add(module.href);
    for (const specifier of imports(Deno.readTextFileSync(module))) {
      if (specifier.startsWith("node:")) builtins.add(specifier);
      else if (specifier.startsWith(".")) {
        waiting.push(new URL(specifier, module));
      }
    }
  }
  assert.ok(seen.size > 1, `${entry} imports nothing`);
  return builtins;
}

/** The specifiers of the imports that are not of types alone. */
function imports(source: string): string[] {
  const statements = source.matchAll(
    /^(?:import|export) (?!type )(?:([^;"]*?) from )?"([^"]+)";$/gm,
  );
  return [...statements]
    .filter(([, names]) => names === undefined || !isOfTypes(names))
    .map(([, , specifier]) => specifier!);
}

function isOfTypes(names: string): boolean {
  const list = /^\{([^}]*)\}$/s.exec(names)?.[1];
  if (list === undefined) return false;
  return list.split(",").map((name) => name.trim()).filter((name) => name)
    .every((name) => name.startsWith("type "));
}
