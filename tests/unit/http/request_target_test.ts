import assert from "node:assert/strict";
import { cleanPath, readTarget } from "../../../src/http/request_target.ts";

for (
  const [url, path, query] of [
    ["/health", "/health", ""],
    ["/health?", "/health", ""],
    ["/health?a=%41&b", "/health", "a=%41&b"],
    ["/%68ealth", "/health", ""],
    ["/v3/kv%2Frange", "/v3/kv/range", ""],
    ["/%C3%A9", "/é", ""],
    ["/%zz", "/%zz", ""],
    ["/%ff", "/%ff", ""],
    ["http://localhost:1/health?a", "/health", "a"],
    ["HTTPS://[::1]:1/health", "/health", ""],
    ["http://localhost", "/", ""],
    ["http://localhost?a", "/", "a"],
    ["*", "*", ""],
    [undefined, "/", ""],
  ] as const
) {
  Deno.test(`readTarget() of ${url}`, () => {
    assert.deepEqual(readTarget({ url }), { path, query });
  });
}

for (
  const [path, clean] of [
    ["", "/"],
    ["/", "/"],
    ["/a", "/a"],
    ["/a/", "/a/"],
    ["//a", "/a"],
    ["/a//b///", "/a/b/"],
    ["/./a", "/a"],
    ["/a/.", "/a"],
    ["/a/./", "/a/"],
    ["/a/../b", "/b"],
    ["/a/..", "/"],
    ["/..", "/"],
    ["/../../a", "/a"],
  ] as const
) {
  Deno.test(`cleanPath() of ${JSON.stringify(path)}`, () => {
    assert.equal(cleanPath(path), clean);
  });
}
