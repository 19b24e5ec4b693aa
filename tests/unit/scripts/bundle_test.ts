import assert from "node:assert/strict";
import {
  bundleArgs,
  bundledName,
  deferRequire,
  minifyArgs,
  renameFiles,
} from "../../../scripts/bundle.ts";

const ENTRIES = ["mod.ts", "src/auth/worker.ts", "src/db/worker.ts"];
const KNOWN = { entries: ENTRIES, files: ["dist/commit"] };

Deno.test("renameFiles() finds each module's worker, also if two have the same name", () => {
  const text = [
    "// src/auth/thread.ts",
    'var a = new Worker(new URL("./worker.ts", import.meta.url));',
    "// src/db/deep/thread.ts",
    'var b = new URL("../worker.ts", import.meta.url), c = new URL("../worker.ts", import.meta.url);',
    "// src/version.ts",
    'var d = new URL("../dist/commit", import.meta.url);',
  ].join("\n");
  const renamed = renameFiles(text, "chunk-1.js", KNOWN);
  assert.deepEqual([...renamed.matchAll(/URL\("([^"]*)"/g)].map((m) => m[1]), [
    "./src/auth/worker.js",
    "./src/db/worker.js",
    "./src/db/worker.js",
    "./dist/commit",
  ]);
  assert.equal(
    renameFiles(renamed.split("\n")[0]!, "chunk-1.js", KNOWN),
    "// src/auth/thread.ts",
  );
});

Deno.test("renameFiles() starts from where the bundle's file is", () => {
  const text = '// src/auth/thread.ts\nnew URL("./worker.ts", import.meta.url)';
  assert.match(
    renameFiles(text, "src/db/worker.js", KNOWN),
    /new URL\(".\/..\/auth\/worker.js", import.meta.url\)/,
  );
});

Deno.test("renameFiles() refuses a file that would be missing", () => {
  const text = '// src/auth/thread.ts\nnew URL("./other.ts", import.meta.url)';
  assert.throws(
    () => renameFiles(text, "chunk-1.js", KNOWN),
    /src\/auth\/thread\.ts names src\/auth\/other\.ts/,
  );
});

Deno.test("renameFiles() leaves all other addresses alone", () => {
  const text = 'new URL("http://a/b"); new URL(import.meta.url); import.meta';
  assert.equal(renameFiles(text, "mod.js", KNOWN), text);
});

Deno.test("minifyArgs() leaves an entry, and what it loads, where bundleArgs() put them", () => {
  const target = (args: readonly string[]) =>
    args.find((arg) => arg.startsWith("--outdir="));
  for (
    const [entry, directory] of [["mod.ts", "b"], ["src/a/w.ts", "b/src/a"]]
  ) {
    const bundled = bundleArgs(entry!, "b");
    assert.equal(target(bundled), `--outdir=${directory}`);
    assert.equal(bundled.at(-1), entry);
    const minified = minifyArgs(bundledName(entry!), "p", "b");
    assert.equal(target(minified), `--outdir=${directory}`);
    assert.equal(minified.at(-1), `p/${bundledName(entry!)}`);
    assert.ok(minified.includes("--minify"));
  }
});

Deno.test("bundledName() is that of JavaScript", () => {
  assert.equal(bundledName("src/a.ts"), "src/a.js");
});

Deno.test("deferRequire() loads node:module for the first require(), and not before", async () => {
  const text = deferRequire([
    'import { createRequire as __make } from "node:module";',
    "var __require = __make(import.meta.url);",
    'export const path = () => __require("node:path");',
  ].join("\n"));
  assert.doesNotMatch(text, /^import/);
  const path = await Deno.makeTempFile({ suffix: ".js" });
  try {
    await Deno.writeTextFile(path, text);
    const module = await import(`file://${path}`);
    assert.equal(module.path().posix.join("a", "b"), "a/b");
  } finally {
    await Deno.remove(path);
  }
});
