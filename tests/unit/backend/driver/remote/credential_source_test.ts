import assert from "node:assert/strict";
import { BackendError } from "../../../../../src/backend/backend.ts";
import { UrlCredentials } from "../../../../../src/backend/driver/remote/credential_source.ts";
import { parseDatabaseUrl } from "../../../../../src/backend/driver/remote/database_url.ts";
import { DEFAULT_DATASTORE_SETTINGS } from "../../../../../src/backend/driver/remote/datastore_settings.ts";

function passwordOf(
  command: string,
  connectTimeoutMs = 30_000,
): Promise<string> {
  const settings = {
    ...DEFAULT_DATASTORE_SETTINGS,
    connectTimeoutMs,
    passwordCommand: command,
    commandEnvironment: {
      PATH: "/usr/bin:/bin",
      TOKEN: "from the environment",
    },
  };
  const source = new UrlCredentials(
    parseDatabaseUrl("postgres://h/db", settings),
  );
  return source.read().then(({ password }) => password);
}

Deno.test("UrlCredentials reads a password file again each time, without its line end", async () => {
  const path = await Deno.makeTempFile();
  const url = parseDatabaseUrl(
    `postgres://h/db?password-file=${encodeURIComponent(path)}`,
  );
  const source = new UrlCredentials(url);
  await Deno.writeTextFile(path, "one\n");
  assert.equal((await source.read()).password, "one");
  await Deno.writeTextFile(path, "two\r\n");
  assert.equal((await source.read()).password, "two");
  await Deno.remove(path);
  await assert.rejects(source.read(), (error) => {
    assert.ok(error instanceof BackendError);
    assert.match(error.message, /Cannot read ".*": No such file/);
    return true;
  });
});

Deno.test("UrlCredentials reads what is written by a command, with its environment", async () => {
  assert.equal(await passwordOf("printf 'a b\\n'"), "a b");
  assert.equal(
    await passwordOf('printf "%s" "$TOKEN"'),
    "from the environment",
  );
});

Deno.test("UrlCredentials says that a command failed, and not what it wrote", async () => {
  await assert.rejects(passwordOf("printf secret; exit 3"), {
    message:
      "Cannot get the database's password: datastore-password-command ended with status 3",
  });
  await assert.rejects(passwordOf("exec sleep 60", 50), {
    message: /took longer than 50 ms/,
  });
  await assert.rejects(passwordOf("head -c 70000 /dev/zero"), {
    message: /wrote more than 65536 bytes/,
  });
});

Deno.test("UrlCredentials reads TLS files again each time, and none without TLS", async () => {
  const path = await Deno.makeTempFile();
  await Deno.writeTextFile(path, "ca one");
  const settings = { ...DEFAULT_DATASTORE_SETTINGS, caFile: path };
  const source = new UrlCredentials(
    parseDatabaseUrl("postgres://h/db", settings),
  );
  const tls = async () => (await source.read()).tls;
  assert.deepEqual(await tls(), {
    verify: "name",
    authorities: "ca one",
    certificate: undefined,
    key: undefined,
  });
  await Deno.writeTextFile(path, "ca two");
  assert.equal((await tls())?.authorities, "ca two");
  await Deno.remove(path);
  const plain = new UrlCredentials(parseDatabaseUrl("postgres://h/db"));
  assert.equal((await plain.read()).tls, undefined);
});
