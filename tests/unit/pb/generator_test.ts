import assert from "node:assert/strict";
import { generate, readProtos } from "../../../scripts/generate_pb.ts";
import { parseProto } from "../../../scripts/pb/parser.ts";
import { Symbols } from "../../../scripts/pb/schema.ts";
import { camelCase, moduleName } from "../../../scripts/pb/typescript.ts";

Deno.test("generate() gives what lies in src/pb", () => {
  const modules = generate(readProtos());
  assert.ok(modules.size > 8);
  for (const [name, content] of modules) {
    const present = Deno.readTextFileSync(
      new URL(`../../../src/pb/${name}`, import.meta.url),
    );
    assert.ok(content === present, `src/pb/${name} is stale: run deno task pb`);
  }
});

Deno.test("generate() stops at a choice about a field that does not exist", () => {
  const files = readProtos();
  assert.throws(
    () => generate(files.filter((file) => file.package !== "v3lockpb")),
    /v3lockpb\.LockRequest\.lease/,
  );
});

const proto = (body: string) => `syntax = "proto3";\npackage p;\n${body}\n`;

Deno.test("parseProto() keeps the comment above a declaration and none further up", () => {
  const file = parseProto(
    "p.proto",
    proto(
      "// far\n\n// near\n// by\nmessage M {\n  // of x\n  bytes x = 1;\n  bytes y = 2;\n}",
    ),
  );
  assert.deepEqual(file.messages[0]!.doc, ["near", "by"]);
  assert.deepEqual(file.messages[0]!.fields.map((field) => field.doc), [[
    "of x",
  ], []]);
});

Deno.test("parseProto() refuses what it would not generate code for", () => {
  for (
    const body of [
      "option go_package = 'x';",
      'import public "a.proto";',
      "message M { reserved 1; }",
      "message M { optional int32 x = 1; }",
      "message M { int32 x = 1 [deprecated = true]; }",
      "message M { int32 x = -1; }",
      "message M { int32 x = 1; int32 y = 1; }",
      "message M { oneof o { repeated int32 x = 1; } }",
      "message M { int32 x = 1; ",
      "extend M { int32 x = 100; }",
      "service S { rpc A(M) returns (M) {} }",
      "/* comment */",
    ]
  ) assert.throws(() => parseProto("p.proto", proto(body)), /p\.proto/, body);
  assert.throws(
    () => parseProto("p.proto", 'syntax = "proto2";\npackage p;'),
    /p\.proto:1/,
  );
});

Deno.test("Symbols.resolve() looks in the innermost scope first", () => {
  const file = parseProto(
    "p.proto",
    proto("enum E { A = 0; }\nmessage M {\n  enum E { B = 0; }\n  E e = 1;\n}"),
  );
  const symbols = new Symbols([file]);
  const nameOf = (scope: string) => {
    const type = symbols.resolve("E", scope);
    return type.kind === "enum" ? type.enum.fullName : type.kind;
  };
  assert.equal(nameOf("p.M"), "p.M.E");
  assert.equal(nameOf("p"), "p.E");
  assert.throws(() => symbols.resolve("F", "p.M"), /F/);
  assert.throws(() => symbols.resolve("double", "p.M"), /double/);
});

Deno.test("camelCase() and moduleName() name things", () => {
  assert.equal(camelCase("watch_id"), "watchId");
  assert.equal(camelCase("remaining_TTL"), "remainingTTL");
  assert.equal(camelCase("ID"), "ID");
  assert.equal(camelCase("peerURLs"), "peerURLs");
  assert.equal(moduleName("grpc.health.v1"), "grpc_health_v1.ts");
});
