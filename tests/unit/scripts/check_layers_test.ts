import assert from "node:assert/strict";
import { ARROWS, checkLayers } from "../../../scripts/check_layers.ts";

/** Violations of files that are given as path → source. */
function check(files: Record<string, string>): string[] {
  return checkLayers(new Map(Object.entries(files)));
}

/** One file that imports one other. */
function arrow(
  from: string,
  specifier: string,
  keyword = "import { x } from",
): string[] {
  return check({ [from]: `${keyword} "${specifier}";\n` });
}

Deno.test("checkLayers() allows imports that point down the map", () => {
  assert.deepEqual(arrow("mvcc/store.ts", "../backend/backend.ts"), []);
  assert.deepEqual(arrow("server.ts", "./mvcc/store.ts"), []);
  assert.deepEqual(arrow("cli/main.ts", "../server.ts"), []);
  assert.deepEqual(arrow("cli/main.ts", "../config/config.ts"), []);
  assert.deepEqual(
    arrow("backend/driver/sqlite/sqlite_backend.ts", "../../../base/bytes.ts"),
    [],
  );
  assert.deepEqual(arrow("mvcc/store.ts", "./key_index.ts"), []);
  assert.deepEqual(arrow("base/log.ts", "node:fs"), []);
});

Deno.test("checkLayers() refuses imports that point up or sideways", () => {
  const refused: [string, string][] = [
    ["mvcc/store.ts", "../rpc/kv.ts"],
    ["mvcc/store.ts", "../watch/hub.ts"],
    ["backend/driver/sqlite/sql.ts", "../../../transport/listener.ts"],
    ["transport/listener.ts", "../backend/backend.ts"],
    ["lease/lessor.ts", "../watch/hub.ts"],
    ["rpc/kv.ts", "../config/config.ts"],
    ["rpc/kv.ts", "../transport/listener.ts"],
    ["rpc/kv.ts", "../transport/http2/connection.ts"],
    ["http/health.ts", "../server.ts"],
    ["config/config.ts", "../server.ts"],
    ["pb/wire.ts", "../transport/grpc/codec.ts"],
    ["base/log.ts", "../pb/wire.ts"],
    ["base/log.ts", "../../scripts/bench.ts"],
    ["strange/file.ts", "../base/log.ts"],
  ];
  for (const [from, specifier] of refused) {
    assert.equal(arrow(from, specifier).length, 1, `${from} → ${specifier}`);
  }
  assert.deepEqual(arrow("mvcc/store.ts", "../rpc/kv.ts"), [
    "src/mvcc/store.ts: mvcc may not import rpc/kv.ts",
  ]);
});

Deno.test("checkLayers() lets rpc have the backend's types and nothing else of it", () => {
  const backend = "../backend/backend.ts";
  assert.deepEqual(
    arrow("rpc/maintenance.ts", backend, "import type { Backend } from"),
    [],
  );
  assert.deepEqual(
    arrow(
      "rpc/maintenance.ts",
      backend,
      "import { type Backend, type SizeInfo } from",
    ),
    [],
  );
  assert.deepEqual(
    arrow(
      "rpc/maintenance.ts",
      backend,
      "import { type Backend, BackendError } from",
    ),
    [
      "src/rpc/maintenance.ts: rpc may not import backend/backend.ts other than types",
    ],
  );
});

Deno.test("checkLayers() sees every form of import", () => {
  const forms = [
    'import "../rpc/kv.ts";',
    'import x from "../rpc/kv.ts";',
    'import x, { y } from "../rpc/kv.ts";',
    'import * as x from "../rpc/kv.ts";',
    'import {\n  a,\n  type B,\n} from "../rpc/kv.ts";',
    'import type { X } from "../rpc/kv.ts";',
    'export * from "../rpc/kv.ts";',
    'export { x } from "../rpc/kv.ts";',
    'export type { X } from "../rpc/kv.ts";',
    'async function f() {\n  await import("../rpc/kv.ts");\n}',
    'const worker = new Worker(new URL("../rpc/kv.ts", import.meta.url));',
    'const url =\n  new URL(\n    "../rpc/kv.ts", import.meta.url);',
  ];
  for (const form of forms) {
    assert.equal(check({ "mvcc/store.ts": form }).length, 1, form);
  }
});

Deno.test("checkLayers() does not read comments and strings", () => {
  assert.deepEqual(
    check({
      "mvcc/store.ts":
        '// import "../rpc/kv.ts";\n/**\n * import("../rpc/kv.ts")\n */\n',
    }),
    [],
  );
  assert.deepEqual(
    check({ "mvcc/store.ts": 'export const from = "../rpc/kv.ts";\n' }),
    [],
  );
});

Deno.test("checkLayers() allows packages in drivers, transport, cli and config only", () => {
  for (
    const from of [
      "backend/driver/postgres/sql.ts",
      "transport/tls.ts",
      "cli/get.ts",
      "config/file.ts",
    ]
  ) {
    assert.deepEqual(arrow(from, "npm:postgres@3.4.7"), [], from);
    assert.deepEqual(arrow(from, "@grpc/grpc-js"), [], from);
  }
  for (
    const from of [
      "backend/backend.ts",
      "mvcc/store.ts",
      "rpc/kv.ts",
      "server.ts",
    ]
  ) {
    assert.equal(arrow(from, "npm:postgres@3.4.7").length, 1, from);
    assert.equal(arrow(from, "@grpc/grpc-js").length, 1, from);
  }
});

Deno.test("checkLayers() refuses jsr: and http: everywhere", () => {
  for (
    const specifier of [
      "jsr:@std/assert",
      "https://deno.land/std/mod.ts",
      "http://example.org/x.ts",
    ]
  ) {
    assert.equal(arrow("cli/main.ts", specifier).length, 1, specifier);
  }
});

Deno.test("checkLayers() finds circles among files, but not those of types or workers", () => {
  const circle = (last: string) =>
    check({
      "mvcc/a.ts": 'import { b } from "./b.ts";',
      "mvcc/b.ts": 'import { c } from "./c.ts";',
      "mvcc/c.ts": last,
    });
  assert.deepEqual(circle('import { a } from "./a.ts";'), [
    "circle: src/mvcc/a.ts → src/mvcc/b.ts → src/mvcc/c.ts → src/mvcc/a.ts",
  ]);
  assert.equal(circle('export { a } from "./a.ts";').length, 1);
  assert.equal(circle('import { c } from "./c.ts";').length, 1, "itself");
  assert.deepEqual(circle('import type { A } from "./a.ts";'), []);
  assert.deepEqual(
    circle('new Worker(new URL("./a.ts", import.meta.url));'),
    [],
  );
});

Deno.test("ARROWS never point both ways, not even by detours", () => {
  const folders = (from: string) =>
    ARROWS[from]!.map((arrow) =>
      arrow.replace(/^type /, "").replace(/\/.*/, "")
    );
  const reaches = (from: string, to: string): boolean =>
    folders(from).some((next) => next === to || reaches(next, to));
  for (const folder of Object.keys(ARROWS)) {
    assert.ok(!reaches(folder, folder), folder);
  }
});
