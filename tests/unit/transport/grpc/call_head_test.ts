import assert from "node:assert/strict";
import {
  type CallHead,
  readCallHead,
  Refusal,
} from "../../../../src/transport/grpc/call_head.ts";
import type { Method } from "../../../../src/transport/grpc/service.ts";
import { TEXT } from "./grpc_session.ts";

const METHOD: Method = {
  kind: "unary",
  path: "/pkg.Service/Call",
  request: TEXT,
  response: TEXT,
  handle: (request) => request,
};

function read(
  fields: readonly string[],
  { path = METHOD.path, method = "POST" } = {},
): CallHead | Refusal {
  const headers = { method, path, scheme: "http", authority: "h", fields };
  return readCallHead(headers, {
    method: (path) => path === METHOD.path ? METHOD : undefined,
    hasService: (name) => name === "pkg.Service",
  });
}

function refusal(
  fields: readonly string[],
  request: { path?: string; method?: string } = {},
): string {
  const head = read(fields, request);
  assert(head instanceof Refusal);
  const { httpStatus, status } = head;
  return `${httpStatus} ${status.code} ${status.message}`;
}

const GRPC = ["content-type", "application/grpc"];

for (
  const type of [
    "application/grpc",
    "application/grpc+proto",
    "application/grpc+json",
    "application/grpc;charset=utf-8",
  ]
) {
  Deno.test(`readCallHead() takes content-type ${type}`, () => {
    const head = read(["content-type", type]);
    assert(!(head instanceof Refusal));
    assert.equal(head.method, METHOD);
    assert.equal(head.timeoutMs, Infinity);
    assert.equal(head.isGzip, false);
  });
}

for (
  const type of [
    "application/json",
    "application/grpc-web",
    "application/grpcx",
    "Application/grpc",
    "",
  ]
) {
  Deno.test(`readCallHead() refuses content-type "${type}" with 415`, () => {
    assert.equal(
      refusal(["content-type", type]),
      `415 3 invalid gRPC request content-type "${type}"`,
    );
  });
}

Deno.test("readCallHead() refuses a request without content-type", () => {
  assert.equal(refusal([]), '415 3 invalid gRPC request content-type ""');
});

Deno.test("readCallHead() refuses all methods but POST with 405", () => {
  assert.equal(
    refusal(GRPC, { method: "GET" }),
    '405 13 Received a HEADERS frame with :method "GET" which should be POST',
  );
});

Deno.test("readCallHead() reads grpc-timeout and refuses a malformed one with 400", () => {
  const head = read([...GRPC, "grpc-timeout", "250m"]);
  assert(!(head instanceof Refusal));
  assert.equal(head.timeoutMs, 250);
  assert.equal(
    refusal([...GRPC, "grpc-timeout", "1"]),
    '400 13 malformed grpc-timeout: transport: timeout string is too short: "1"',
  );
});

Deno.test("readCallHead() answers a timeout of zero at once", () => {
  assert.equal(
    refusal([...GRPC, "grpc-timeout", "0S"]),
    "200 4 context deadline exceeded",
  );
});

Deno.test("readCallHead() refuses binary metadata that is not base64 with 400", () => {
  assert(!(read([...GRPC, "x-bin", "AAEC"]) instanceof Refusal));
  assert.equal(
    refusal([...GRPC, "x-bin", "A!"]),
    '400 13 malformed binary metadata "A!" in header "x-bin": illegal base64 data at input byte 1',
  );
});

for (
  const [path, message] of [
    [
      "/pkg.Service/Nothing",
      "unknown method Nothing for service pkg.Service",
    ],
    ["/pkg.Service/", "unknown method  for service pkg.Service"],
    ["/other.Service/Call", "unknown service other.Service"],
    ["/a/b/c", "unknown service a/b"],
    ["/pkg.Service", 'malformed method name: "/pkg.Service"'],
    ["pkg.Service/Call", 'malformed method name: "pkg.Service/Call"'],
    ["*", 'malformed method name: "*"'],
    ['/a"\xe9\\', 'malformed method name: "/a\\"\\xe9\\\\"'],
  ] as const
) {
  Deno.test(`readCallHead() does not know ${JSON.stringify(path)}`, () => {
    assert.equal(refusal(GRPC, { path }), `200 12 ${message}`);
  });
}

Deno.test("readCallHead() knows gzip and identity, and tells what it takes", () => {
  const gzip = read([...GRPC, "grpc-encoding", "gzip"]);
  assert(!(gzip instanceof Refusal));
  assert.equal(gzip.isGzip, true);
  const identity = read([...GRPC, "grpc-encoding", "identity"]);
  assert(!(identity instanceof Refusal));
  assert.equal(identity.isGzip, false);
  const snappy = read([...GRPC, "grpc-encoding", "snappy"]);
  assert(snappy instanceof Refusal);
  assert.equal(
    snappy.status.message,
    'grpc: Decompressor is not installed for grpc-encoding "snappy"',
  );
  assert.deepEqual(snappy.fields, ["grpc-accept-encoding", "gzip"]);
});

Deno.test("readCallHead() looks at the content-type first, then at timeout, method, path and encoding", () => {
  const wrong = ["grpc-encoding", "x", "grpc-timeout", "1"];
  const request = { method: "GET", path: "/x" };
  assert.match(refusal(wrong, request), /^415/);
  assert.match(refusal([...GRPC, ...wrong], request), /^400/);
  const encoding = ["grpc-encoding", "x"];
  assert.match(refusal([...GRPC, ...encoding], request), /^405/);
  assert.match(
    refusal([...GRPC, ...encoding], { path: "/x" }),
    /malformed method/,
  );
  assert.match(refusal([...GRPC, ...encoding]), /Decompressor/);
});

Deno.test("readCallHead() repeats 512 characters of what a client says, and no more", () => {
  const long = "\xff".repeat(50_000);
  const bytes = "\\xff".repeat(512);
  assert.equal(
    refusal(GRPC, { path: long }),
    `200 12 malformed method name: "${bytes}..."`,
  );
  assert.equal(
    refusal(GRPC, { path: `/${"s".repeat(513)}/m` }),
    `200 12 unknown service ${"s".repeat(512)}...`,
  );
  assert.equal(
    refusal(GRPC, { path: `/pkg.Service/${"m".repeat(512)}` }),
    `200 12 unknown method ${"m".repeat(512)} for service pkg.Service`,
  );
});
