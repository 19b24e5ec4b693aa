import assert from "node:assert/strict";
import { readConfigFile } from "../../../src/config/config_file.ts";
import { ConfigError } from "../../../src/config/config_error.ts";

async function texts(content: string): Promise<Record<string, string>> {
  return Object.fromEntries((await readConfigFile("f", content)).texts);
}

Deno.test("readConfigFile() reads YAML, and leaves empty values out", async () => {
  const content = `
# a comment
name: 'member-1'
data-dir:
wal-dir: null
max-txn-ops: 256
pre-vote: false
log-outputs: [stderr, /tmp/a.log]
listen-client-urls: http://127.0.0.1:1,http://127.0.0.1:2
`;
  assert.deepEqual(await texts(content), {
    name: "member-1",
    "max-txn-ops": "256",
    "pre-vote": "false",
    "log-outputs": "stderr,/tmp/a.log",
    "listen-client-urls": "http://127.0.0.1:1,http://127.0.0.1:2",
  });
});

Deno.test("readConfigFile() reads JSON", async () => {
  assert.deepEqual(
    await texts(' {"name": "a", "max-txn-ops": 2, "data-dir": null}'),
    { name: "a", "max-txn-ops": "2" },
  );
});

Deno.test("readConfigFile() takes a number for a duration as nanoseconds", async () => {
  const yaml = "watch-progress-notify-interval: 600000000000\n" +
    "compaction-sleep-interval: 10ms\nelection-timeout: 1000\n";
  assert.deepEqual(await texts(yaml), {
    "watch-progress-notify-interval": "600000000000ns",
    "compaction-sleep-interval": "10ms",
    "election-timeout": "1000",
  });
});

Deno.test("readConfigFile() keeps integers exact beyond 2^53", async () => {
  assert.deepEqual(await texts("quota-backend-bytes: 9223372036854775807"), {
    "quota-backend-bytes": "9223372036854775807",
  });
});

Deno.test("readConfigFile() knows etcd's nested objects", async () => {
  const content = `
client-transport-security:
  cert-file: c
  key-file: k
  client-cert-auth: true
  trusted-ca-file: t
  auto-tls: true
  allowed-hostname: [h]
peer-transport-security:
  cert-file: pc
  client-cert-file: pcc
  client-cert-auth: true
  allowed-cn: [cn]
  allowed-hostname: [ph]
  auto-tls: false
  skip-client-san-verification: true
socket-options:
  reuse-port: true
  reuse-address: false
`;
  assert.deepEqual(await texts(content), {
    "cert-file": "c",
    "key-file": "k",
    "client-cert-auth": "true",
    "trusted-ca-file": "t",
    "auto-tls": "true",
    "client-cert-allowed-hostname": "h",
    "peer-cert-file": "pc",
    "peer-client-cert-file": "pcc",
    "peer-client-cert-auth": "true",
    "peer-cert-allowed-cn": "cn",
    "peer-cert-allowed-hostname": "ph",
    "peer-auto-tls": "false",
    "peer-skip-client-san-verification": "true",
    "socket-reuse-port": "true",
    "socket-reuse-address": "false",
  });
});

Deno.test("readConfigFile() tells keys that it does not know", async () => {
  const content = "name: a\nproxy: 'off'\nconfig-file: b\n" +
    "client-transport-security: {nope: 1}\npeer-transport-security:\n";
  const { unknownKeys } = await readConfigFile("f", content);
  assert.deepEqual(unknownKeys, [
    "proxy",
    "config-file",
    "client-transport-security.nope",
  ]);
});

Deno.test("readConfigFile() takes an empty file as one that says nothing", async () => {
  assert.deepEqual(await texts(""), {});
  assert.deepEqual(await texts("# only this\n"), {});
});

const BAD: readonly (readonly [string, RegExp])[] = [
  ["name: [a", /^Cannot read "f": /],
  ["{name: a", /^Cannot read "f": /],
  ["- a\n- b\n", /it is not a list of keys/],
  ["just text", /it is not a list of keys/],
  ["name: {a: 1}", /the value of name is neither a text nor a number/],
  ["cors: [{a: 1}]", /the value of cors is neither/],
  ["socket-options: 5", /socket-options is not an object/],
];

for (const [content, message] of BAD) {
  Deno.test(`readConfigFile() refuses ${JSON.stringify(content)}`, async () => {
    await assert.rejects(readConfigFile("f", content), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, message);
      return true;
    });
  });
}

Deno.test("readConfigFile() does not quote the file when it cannot read it", async () => {
  const content = "discovery-password: hunter2\n  name: [\n";
  await assert.rejects(readConfigFile("f", content), (error) => {
    assert.doesNotMatch((error as Error).message, /hunter2/);
    return true;
  });
  await assert.rejects(
    readConfigFile("f", '{"discovery-password": hunter2}'),
    (error) => {
      assert.doesNotMatch((error as Error).message, /hunter2/);
      return true;
    },
  );
});
