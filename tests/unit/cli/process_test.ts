import assert from "node:assert/strict";

Deno.test("a rejection that a listener takes does not end the process, another does", async () => {
  const module = new URL("../../../src/cli/process.ts", import.meta.url);
  const program = `
    import { systemProcess } from "${module}";
    systemProcess().onStrayRejection((error) => error.message === "mild");
    Promise.reject(new Error(Deno.args[0]));
    setTimeout(() => console.log("alive"), 50);`;
  const path = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(path, program);
    const outcome = async (message: string) => {
      const { code, stdout } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", "--no-config", path, message],
        stderr: "null",
      }).output();
      return [code, new TextDecoder().decode(stdout).trim()];
    };
    assert.deepEqual(await outcome("mild"), [0, "alive"]);
    assert.deepEqual(await outcome("grave"), [1, ""]);
  } finally {
    await Deno.remove(path);
  }
});
