import assert from "node:assert/strict";
import { parseEndpoint } from "../../../src/cli/endpoint.ts";

const GOOD: readonly (readonly [string, string, boolean])[] = [
  ["http://127.0.0.1:2379", "127.0.0.1:2379", false],
  ["https://etcd.example:443", "etcd.example:443", true],
  ["https://etcd.example/", "etcd.example:2379", true],
  ["localhost", "localhost:2379", false],
  ["a:65535", "a:65535", false],
  ["[::1]:2379", "[::1]:2379", false],
  ["unix:///run/stele.sock", "unix:/run/stele.sock", false],
  ["unixs:///run/stele.sock", "unix:/run/stele.sock", true],
];

for (const [name, target, isSecure] of GOOD) {
  Deno.test(`parseEndpoint() reads ${name}`, () => {
    const { hostname, ...rest } = parseEndpoint(name)!;
    assert.deepEqual(rest, { name, target, isSecure });
    assert.match(hostname, /^[a-z0-9.]+$|^::1$/);
  });
}

for (
  const name of [
    "",
    "a:65536",
    "a:b",
    "ftp://a:1",
    "http://a:1/x",
    "a b:1",
    ":1",
  ]
) {
  Deno.test(`parseEndpoint() refuses "${name}"`, () => {
    assert.equal(parseEndpoint(name), undefined);
  });
}

Deno.test("parseEndpoint() secures what has no scheme if there are certificates", () => {
  assert.equal(parseEndpoint("a:1", true)!.isSecure, true);
  assert.equal(parseEndpoint("http://a:1", true)!.isSecure, false);
});
