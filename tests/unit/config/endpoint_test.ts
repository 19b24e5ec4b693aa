import assert from "node:assert/strict";
import { DEFAULT_DATASTORE_SETTINGS } from "../../../src/backend/driver/remote/datastore_settings.ts";
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

Deno.test("parseEndpoint() reads a database server's URL, with the settings beside it", () => {
  const parsed = parseEndpoint("postgres://me@a:1,b:2/db", {
    ...DEFAULT_DATASTORE_SETTINGS,
    tablePrefix: "west_",
  });
  assert.equal(parsed.driver, "server");
  if (parsed.driver !== "server") return;
  assert.equal(parsed.url.engine, "postgres");
  assert.equal(parsed.url.address.tablePrefix, "west_");
  assert.deepEqual(parsed.url.address.hosts.map(({ port }) => port), [1, 2]);
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
  for (
    const password of ["secret", "sec/secret", "sec@secret", "sec?#secret"]
  ) {
    for (const rest of ["h/db?nope=1", "h", "h:0/db", "a,b:x/db"]) {
      const url = `postgres://u:${password}@${rest}`;
      assert.throws(() => parseEndpoint(url), (error) => {
        assert.doesNotMatch(String(error), /secret/);
        return true;
      });
      assert.equal(withoutPassword(url), `postgres://u:***@${rest}`);
    }
  }
});
