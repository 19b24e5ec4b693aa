import assert from "node:assert/strict";
import { defaultConfig } from "../../../mod.ts";
import { dispensable } from "../../../src/cli/permissions.ts";

Deno.test("dispensable() keeps what the configuration needs, and nothing else", () => {
  const always = ["ffi", "sys", "import", "run"];
  const config = defaultConfig();
  assert.deepEqual(dispensable(config, "2.9.6"), [...always, "net", "write"]);
  assert.deepEqual(dispensable(config, "2.7.11"), [...always, "write"]);
  const unix = defaultConfig({ listenClientUrls: ["unix:///run/s.sock"] });
  assert.deepEqual(dispensable(unix, "2.9.6"), [...always, "net"]);
  const backups = defaultConfig({ snapshotIntervalMs: 1000 });
  assert.deepEqual(dispensable(backups, "2.9.6"), [...always, "net"]);
});

Deno.test("what was given up is denied from inside, and the environment is empty", async () => {
  const process = new URL("../../../src/cli/process.ts", import.meta.url);
  const program = `
    import { systemProcess } from "${process}";
    const denied = async (what, act) => {
      try {
        await act();
        console.log(what, "allowed");
      } catch (error) {
        console.log(what, /Requires (\\w+) access/.exec(error.message)?.[1]);
      }
    };
    systemProcess().drop(["run", "ffi", "sys", "import", "net", "write"]);
    await denied("run", () => new Deno.Command("/bin/true").output());
    await denied("ffi", () => Deno.dlopen("libc.so.6", {}));
    await denied("sys", () => Deno.hostname());
    await denied("import", () => import("https://" + "example.com/x.js"));
    await denied("net", () => Deno.connect({ port: 9 }));
    await denied("write", () => Deno.writeTextFile("/tmp/x", ""));
    console.log(JSON.stringify(Deno.env.toObject()));
  `;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", program],
    env: { STELE_SECRET: "secret" },
  }).output();
  const lines = new TextDecoder().decode(stdout).trim().split("\n");
  assert.equal(lines.pop(), "{}");
  // Each is refused for want of the permission of its name, and not for another reason.
  const names = ["run", "ffi", "sys", "import", "net", "write"];
  assert.deepEqual(lines, names.map((name) => `${name} ${name}`));
});
