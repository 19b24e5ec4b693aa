import assert from "node:assert/strict";
import {
  parseEndpoint,
  withoutPassword,
} from "../../../src/config/endpoint.ts";

Deno.test("parseEndpoint() reads the databases there are", () => {
  assert.deepEqual(parseEndpoint("memory://"), { driver: "memory" });
  assert.deepEqual(parseEndpoint("sqlite://default.etcd"), {
    driver: "sqlite",
    directory: "default.etcd",
  });
  assert.deepEqual(parseEndpoint("sqlite:///var/lib/stele"), {
    driver: "sqlite",
    directory: "/var/lib/stele",
  });
});

for (
  const endpoint of [
    "",
    "sqlite",
    "sqlite://",
    "sqlite:/a",
    "memory://a",
    "oracle://a",
    "/var/lib",
  ]
) {
  Deno.test(`parseEndpoint() refuses "${endpoint}"`, () => {
    assert.throws(() => parseEndpoint(endpoint), /must be sqlite:/);
  });
}

Deno.test("parseEndpoint() shows no password when it refuses", () => {
  assert.throws(() => parseEndpoint("oracle://a:secret@b/c"), {
    message: /"oracle:\/\/a:\*\*\*@b\/c"/,
  });
  assert.equal(withoutPassword("sqlite:///a:b@c"), "sqlite:///a:b@c");
});
