/**
 * The SQLite worker, which first tries what it must not be able to do and writes down what came of it:
 * `probe.json` in the directory that it is given.
 */
import { DatabaseSync } from "node:sqlite";
import "../../src/backend/driver/sqlite/worker.ts";
import type { Start } from "../../src/backend/driver/sqlite/protocol.ts";

const scope = self as unknown as {
  onmessage: (event: MessageEvent<Start>) => unknown;
};
const serve = scope.onmessage;
scope.onmessage = (event) => {
  const { dir } = event.data;
  Deno.writeTextFileSync(`${dir}/probe.json`, JSON.stringify(probe(dir)));
  return serve(event);
};

function probe(dir: string): Record<string, string> {
  const parent = `${dir}/..`;
  const attempts: Record<string, () => unknown> = {
    "read beside": () => Deno.readTextFileSync(`${parent}/beside.txt`),
    "list beside": () => [...Deno.readDirSync(parent)],
    "read a system file": () => Deno.readTextFileSync("/etc/hostname"),
    "write beside": () => Deno.writeTextFileSync(`${parent}/new.txt`, ""),
    "open a database beside": () => new DatabaseSync(`${parent}/other.db`),
    "attach a database beside": () =>
      new DatabaseSync(`${dir}/scratch.db`)
        .exec(`ATTACH '${parent}/other.db' AS other`),
    "load an extension": () =>
      new DatabaseSync(`${dir}/scratch.db`, { allowExtension: true }),
    "listen": () => Deno.listen({ hostname: "127.0.0.1", port: 0 }),
    "read the environment": () => Deno.env.get("HOME"),
    "run a program": () => new Deno.Command("true").outputSync(),
    "ask for the host's name": () => Deno.hostname(),
    "call a library": () => Deno.dlopen("/lib/libc.so.6", {}),
    "read inside": () => [...Deno.readDirSync(dir)],
  };
  const results: Record<string, string> = {};
  for (const [name, attempt] of Object.entries(attempts)) {
    try {
      attempt();
      results[name] = "allowed";
    } catch (error) {
      results[name] = error instanceof Error ? error.name : String(error);
    }
  }
  return results;
}
