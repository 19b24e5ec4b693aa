import assert from "node:assert/strict";
import {
  compileArgs,
  parseRequest,
  TARGETS,
  WORKERS,
} from "../../../scripts/compile.ts";

const SRC = new URL("../../../src/", import.meta.url);

Deno.test("WORKERS names every module that is started, and that no import leads to", () => {
  assert.deepEqual(startedModules(SRC).sort(), [...WORKERS].sort());
});

Deno.test("compileArgs() of modules includes workers, and of a bundle no packages", () => {
  const ofModules = compileArgs(undefined, "dist/stele", false);
  for (const path of WORKERS) {
    const at = ofModules.indexOf(path);
    assert.ok(at > 0 && ofModules[at - 1] === "--include", path);
  }
  assert.equal(ofModules.at(-1), "mod.ts");
  const ofBundle = compileArgs(undefined, "dist/stele", true);
  assert.equal(ofBundle[ofBundle.indexOf("--include") + 1], "dist/bundle");
  assert.ok(ofBundle.includes("--no-config"));
  assert.ok(ofBundle.includes("--no-lock"));
  assert.equal(ofBundle.at(-1), "dist/bundle/mod.js");
});

Deno.test("compileArgs() names a target as Rust does, and none for this machine", () => {
  for (const [name, triple] of Object.entries(TARGETS)) {
    const args = compileArgs(name, `dist/stele-${name}`, true);
    assert.equal(args[args.indexOf("--target") + 1], triple);
  }
  assert.ok(!compileArgs(undefined, "dist/stele", true).includes("--target"));
});

Deno.test("parseRequest() takes targets, each once, or all", () => {
  assert.deepEqual(parseRequest([], undefined), { names: [undefined] });
  assert.deepEqual(
    parseRequest(
      ["--target=linux-arm64", "--target=linux-x64", "--target=linux-arm64"],
      undefined,
    ),
    { names: ["linux-arm64", "linux-x64"] },
  );
  assert.deepEqual(parseRequest(["--all"], undefined), {
    names: Object.keys(TARGETS),
  });
  assert.deepEqual(parseRequest(["--help"], undefined), { help: true });
});

Deno.test("parseRequest() refuses what it does not know", () => {
  const refused = (args: string[], base?: string) => {
    const request = parseRequest(args, base);
    assert.ok("refused" in request, args.join(" "));
    return request.refused;
  };
  assert.match(refused(["--target=toString"]), /it is none of linux-x64, /);
  assert.match(refused(["--target="]), /it is none of/);
  assert.match(refused(["--fast"]), /Cannot understand "--fast": try --help/);
  assert.match(refused(["--all"], "/runtime"), /DENORT_BIN/);
});

/** Modules that are named by their files somewhere below `directory`, as `src/…`. */
function startedModules(directory: URL): string[] {
  return [...Deno.readDirSync(directory)].flatMap((entry) => {
    const url = new URL(entry.name, directory);
    if (entry.isDirectory) return startedModules(new URL(`${url}/`));
    const source = Deno.readTextFileSync(url);
    return [
      ...source.matchAll(/new URL\("(\.[^"]+\.ts)", import\.meta\.url\)/g),
    ]
      .map(([, path]) =>
        "src/" + new URL(path!, url).href.slice(SRC.href.length)
      );
  });
}
