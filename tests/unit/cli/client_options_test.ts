import assert from "node:assert/strict";
import {
  type ClientFlags,
  clientOptions,
  outputFormat,
} from "../../../src/cli/client_options.ts";
import { UsageError } from "../../../src/cli/command_context.ts";
import { FakeProcess } from "../../support/fake_process.ts";

function resolve(flags: ClientFlags, process = new FakeProcess()) {
  const { signal } = new AbortController();
  return clientOptions(flags, { process, signal, exitStatus: 0 });
}

Deno.test("clientOptions() has etcdctl's defaults", async () => {
  assert.deepEqual(await resolve({}), {
    endpoints: ["http://127.0.0.1:2379"],
    timeoutMs: 5000,
    insecureSkipTlsVerify: false,
  });
});

Deno.test("clientOptions() takes flags before variables", async () => {
  const process = new FakeProcess();
  Object.assign(process.env, {
    ETCDCTL_ENDPOINTS: "a:1, b:2,",
    ETCDCTL_COMMAND_TIMEOUT: "1m",
    ETCDCTL_USER: "env",
    ETCDCTL_PASSWORD: "secret",
    ETCDCTL_CACERT: "ca.pem",
    ETCDCTL_INSECURE_SKIP_TLS_VERIFY: "true",
  });
  process.files.set("ca.pem", "PEM");
  assert.deepEqual(await resolve({}, process), {
    endpoints: ["a:1", "b:2"],
    timeoutMs: 60_000,
    insecureSkipTlsVerify: true,
    cacert: "PEM",
    user: "env",
    password: "secret",
  });
  const flags = { endpoints: "c:3", commandTimeout: "0", user: "flag" };
  const options = await resolve(flags, process);
  assert.deepEqual(options.endpoints, ["c:3"]);
  assert.equal(options.timeoutMs, 0);
  assert.equal(options.user, "flag");
});

Deno.test("clientOptions() finds the password behind the name", async () => {
  const { user, password } = await resolve({ user: "root:a:b" });
  assert.equal(user, "root");
  assert.equal(password, "a:b");
});

Deno.test("clientOptions() leaves a name with a colon alone if there is a password", async () => {
  const { user, password } = await resolve({ user: "a:b", password: "" });
  assert.equal(user, "a:b");
  assert.equal(password, "");
});

Deno.test("clientOptions() asks for a password and does not show it", async () => {
  const process = new FakeProcess();
  process.secret = "hidden";
  const { password } = await resolve({ user: "root" }, process);
  assert.equal(password, "hidden");
  assert.equal(process.err, "Password of root: ");
  assert.equal(process.out, "");
});

Deno.test("clientOptions() fails if there is nobody to ask", async () => {
  await assert.rejects(resolve({ user: "root" }), {
    message: "Cannot ask for the password",
  });
});

Deno.test("clientOptions() wants a certificate and its key", async () => {
  const process = new FakeProcess();
  process.files.set("c", "CERT");
  await assert.rejects(resolve({ cert: "c" }, process), UsageError);
  await assert.rejects(resolve({ key: "c" }, process), UsageError);
  const options = await resolve({ cert: "c", key: "c" }, process);
  assert.equal(options.key, "CERT");
});

for (const commandTimeout of ["5", "-1s", "soon"]) {
  Deno.test(`clientOptions() refuses a time of ${commandTimeout}`, async () => {
    await assert.rejects(resolve({ commandTimeout }), UsageError);
  });
}

Deno.test("outputFormat() passes over what only etcdctl knows", () => {
  const process = new FakeProcess();
  process.env.ETCDCTL_WRITE_OUT = "protobuf";
  assert.equal(outputFormat({}, process), "simple");
  process.env.ETCDCTL_WRITE_OUT = "json";
  assert.equal(outputFormat({}, process), "json");
  assert.equal(outputFormat({ writeOut: "table" }, process), "table");
});
