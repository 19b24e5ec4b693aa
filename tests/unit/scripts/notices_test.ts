import assert from "node:assert/strict";
import {
  licenceIn,
  type ModuleInfo,
  notices,
  packagesOf,
} from "../../../scripts/notices.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;

function npmPackage(name: string, dependencies: string[] = []) {
  return { name, version: "1.0.0", dependencies, registryUrl: "http://r/" };
}

Deno.test("packagesOf() follows dependencies, in a circle too, and leaves types out", () => {
  const info: ModuleInfo = {
    modules: [{}, { npmPackage: "a@1" }],
    npmPackages: {
      "a@1": npmPackage("a", ["b@1", "@types/b@1"]),
      "b@1": npmPackage("b", ["a@1"]),
      "@types/b@1": npmPackage("@types/b"),
      "unused@1": npmPackage("unused"),
    },
  };
  assert.deepEqual(packagesOf(info).map(({ name }) => name), ["a", "b"]);
});

Deno.test("licenceIn() has the texts, or the name where there are none, and refuses to guess", async () => {
  const dir = await Deno.makeTempDir();
  const manifest = (text: string) =>
    Deno.writeTextFile(`${dir}/package.json`, text);
  try {
    await manifest(`{"license":"MIT"}`);
    assert.equal(await licenceIn(dir), "Licence: MIT");
    await Deno.writeTextFile(`${dir}/NOTICE`, "notice");
    await Deno.writeTextFile(`${dir}/License.md`, "text");
    assert.equal(await licenceIn(dir), "text\n\nnotice");
    await Deno.remove(`${dir}/NOTICE`);
    await Deno.remove(`${dir}/License.md`);
    await manifest("{}");
    await assert.rejects(licenceIn(dir), /Cannot tell the licence/);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("notices() has those of a worker's packages", async () => {
  const text = await notices(ROOT, ["src/auth/password_worker.ts"]);
  assert.match(text, /^bcryptjs 3\.0\.3\n\n[^]*Redistribution and use/m);
  assert.doesNotMatch(text, /^mysql2 /m);
});
