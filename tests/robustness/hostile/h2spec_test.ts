import assert from "node:assert/strict";
import { LoadServer } from "../load/load_server.ts";

const MODULE = "github.com/summerwind/h2spec/cmd/h2spec@v2.6.0";
/** A download and a build on a machine that is busy. */
const INSTALL_MS = 120_000;

/** The path of h2spec, which is built with Go; undefined, and why is printed, if it cannot be. */
async function h2spec(dir: string): Promise<string | undefined> {
  try {
    const { success, stderr } = await new Deno.Command("go", {
      args: ["install", MODULE],
      env: { GOBIN: dir },
      signal: AbortSignal.timeout(INSTALL_MS),
    }).output();
    if (success) return `${dir}/h2spec`;
    const why = new TextDecoder().decode(stderr);
    console.log(`skipped: h2spec cannot be built: ${why}`);
  } catch (error) {
    console.log(`skipped: h2spec cannot be built: ${(error as Error).message}`);
  }
  return undefined;
}

Deno.test("h2spec finds nothing wrong with the server's HTTP/2", async () => {
  const dir = await Deno.makeTempDir({ prefix: "stele-h2spec-" });
  try {
    const program = await h2spec(dir);
    if (program === undefined) return;
    const server = await LoadServer.start(`${dir}/data`);
    const { stdout } = await new Deno.Command(program, {
      args: ["-h", "127.0.0.1", "-p", String(server.port), "-o", "5"],
    }).output();
    await server.stop();
    const report = new TextDecoder().decode(stdout);
    const counts = /(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed/
      .exec(report);
    assert.ok(counts !== null, report);
    console.log(counts[0]);
    assert.equal(counts[4], "0", report);
    assert.ok(Number(counts[2]) > 100, report);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
