import assert from "node:assert/strict";
import {
  DatabaseUrlError,
  parseDatabaseUrl,
} from "../../../../../src/backend/driver/remote/database_url.ts";
import {
  type DatastoreSettings,
  DEFAULT_DATASTORE_SETTINGS,
} from "../../../../../src/backend/driver/remote/datastore_settings.ts";

function settings(changes: Partial<DatastoreSettings>): DatastoreSettings {
  return { ...DEFAULT_DATASTORE_SETTINGS, ...changes };
}

Deno.test("parseDatabaseUrl() fills in what each engine has as a default", () => {
  const engines = {
    postgres: ["postgres", 5432, "postgres"],
    postgresql: ["postgres", 5432, "postgres"],
    yugabytedb: ["yugabytedb", 5433, "yugabyte"],
    mysql: ["mysql", 3306, "root"],
    mariadb: ["mysql", 3306, "root"],
  };
  for (const [scheme, [engine, port, user]] of Object.entries(engines)) {
    const url = parseDatabaseUrl(`${scheme}://h/db`);
    assert.equal(url.engine, engine);
    assert.deepEqual(url.address.hosts, [{ host: "h", port }]);
    assert.equal(url.address.user, user);
    assert.equal(url.address.tablePrefix, "stele_");
    assert.equal(url.address.prepare, true);
    assert.equal(url.sslMode, "disable");
    assert.deepEqual(url.password, { kind: "text", text: "" });
  }
});

Deno.test("parseDatabaseUrl() reads several hosts, of every kind", () => {
  const { address } = parseDatabaseUrl(
    "postgres://me:p%40ss@a:1,b,[::1]:3,[fe80::1]/my%20db?target_session_attrs=read-write",
  );
  assert.deepEqual(address.hosts, [
    { host: "a", port: 1 },
    { host: "b", port: 5432 },
    { host: "::1", port: 3 },
    { host: "fe80::1", port: 5432 },
  ]);
  assert.equal(address.database, "my db");
});

Deno.test("parseDatabaseUrl() takes a host as Go's MySQL driver has it", () => {
  const { address } = parseDatabaseUrl("mysql://u:p@tcp(db.example:3307)/kine");
  assert.deepEqual(address.hosts, [{ host: "db.example", port: 3307 }]);
});

Deno.test("parseDatabaseUrl() takes what it does not say from the settings", () => {
  const { address, sslMode, sslRootCert, sslCert, password } = parseDatabaseUrl(
    "postgres://h/db",
    settings({
      tablePrefix: "a_",
      maxConnections: 7,
      connectTimeoutMs: 1,
      statementTimeoutMs: 2,
      caFile: "ca",
      certFile: "c",
      keyFile: "k",
      passwordFile: "f",
    }),
  );
  assert.equal(address.tablePrefix, "a_");
  assert.equal(address.maxConnections, 7);
  assert.equal(address.connectTimeoutMs, 1);
  assert.equal(address.statementTimeoutMs, 2);
  assert.equal(sslMode, "verify-full");
  assert.equal(sslRootCert, "ca");
  assert.equal(sslCert, "c");
  assert.deepEqual(password, { kind: "file", path: "f" });
});

Deno.test("parseDatabaseUrl() believes itself rather than the settings", () => {
  const url = parseDatabaseUrl(
    "postgres://u:mine@h/db?table-prefix=b_&sslmode=require&sslrootcert=x",
    settings({ tablePrefix: "a_", caFile: "ca", password: "theirs" }),
  );
  assert.equal(url.address.tablePrefix, "b_");
  assert.equal(url.sslMode, "require");
  assert.equal(url.sslRootCert, "x");
  assert.deepEqual(url.password, { kind: "text", text: "mine" });
});

Deno.test("parseDatabaseUrl() gives a command its environment", () => {
  const commandEnvironment = { HOME: "/h" };
  const { password } = parseDatabaseUrl(
    "postgres://h/db?password-command=vault%20read",
    settings({ commandEnvironment }),
  );
  assert.deepEqual(password, {
    kind: "command",
    command: "vault read",
    environment: commandEnvironment,
  });
});

const MANY = Array.from({ length: 17 }, (_, i) => `h${i}`).join(",");

for (
  const [url, why] of [
    ["postgres://h", /names no database/],
    ["postgres://h/", /names no database/],
    ["postgres:///db", /names no host/],
    ["postgres://h:0/db", /ports is not from 1/],
    ["postgres://h:65536/db", /ports is not from 1/],
    ["postgres://h:x/db", /one of its hosts/],
    ["postgres://a,,b/db", /one of its hosts/],
    ["postgres://::1/db", /one of its hosts/],
    ["mysql://unix(/run/x)/db", /./],
    [`postgres://${MANY}/db`, /more than 16 hosts/],
    ["postgres://h/a%2Fb", /cannot be one/],
    ["postgres://h/%zz", /%/],
    ["postgres://h/db?nope=1", /"nope" is none of/],
    ["postgres://h/db?sslmode=", /has no value/],
    ["postgres://h/db?sslmode=prefer", /none of disable, require/],
    ["postgres://h/db?prepare=1", /neither true nor false/],
    ["postgres://h/db?target_session_attrs=any", /neither read-write nor/],
    ["postgres://h/db?table-prefix=a-b", /table-prefix cannot be one/],
    ["postgres://h/db?sslcert=a", /only one/],
    ["postgres://u:p@h/db?password-file=f", /more than one password/],
    ["oracle://h/db", /ENGINE:/],
  ] as const
) {
  Deno.test(`parseDatabaseUrl() refuses ${url.slice(0, 60)}`, () => {
    assert.throws(() => parseDatabaseUrl(url), (error) => {
      assert.ok(error instanceof DatabaseUrlError);
      assert.match(error.message, why);
      return true;
    });
  });
}
