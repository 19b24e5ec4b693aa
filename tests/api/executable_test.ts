import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { ETCD_VERSION, STELE_VERSION } from "../../src/config/version.ts";
import { eventually } from "../support/failure.ts";
import { startTestServer } from "../support/server.ts";
import { ServerProcess } from "../support/server_process.ts";

/** The executable that `STELE_BIN` names; without it there is nothing to test here. */
const EXECUTABLE = Deno.env.get("STELE_BIN");
const ignore = EXECUTABLE === undefined;
if (ignore) console.log("skipped: STELE_BIN names no executable to test");

async function run(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(EXECUTABLE!, { args })
    .output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

Deno.test({
  name: "the executable knows its versions and its commit",
  ignore,
  fn: async () => {
    const { code, out } = await run("version");
    assert.equal(code, 0);
    const [stele, etcd, commit, runtime] = out.split("\n");
    assert.equal(stele, `Stele Version: ${STELE_VERSION}`);
    assert.equal(etcd, `etcd Version: ${ETCD_VERSION}`);
    assert.match(commit!, /^Git SHA: [0-9a-f]{12,}(-dirty)?$/);
    assert.match(runtime!, /^Runtime: Deno 2\./);
  },
});

Deno.test({
  name: "the executable ends with 2 for a wrong command line",
  ignore,
  fn: async () => {
    const { code, err } = await run("serve", "--no-such-flag");
    assert.equal(code, 2);
    assert.match(err, /no-such-flag/);
  },
});

Deno.test({
  name: "the executable reads a configuration in YAML",
  ignore,
  fn: async () => {
    const file = await Deno.makeTempFile({ suffix: ".yaml" });
    try {
      await Deno.writeTextFile(
        file,
        "name: a\nlisten-client-urls: ftp://a:1\n",
      );
      const refused = await run("serve", `--config-file=${file}`);
      assert.equal(refused.code, 2);
      assert.match(refused.err, /ftp:\/\/a:1/);
      await Deno.writeTextFile(file, "name: a\nlisten-client-urls: [\n");
      const broken = await run("serve", `--config-file=${file}`);
      assert.equal(broken.code, 2);
      assert.match(broken.err, /at line 3/);
    } finally {
      await Deno.remove(file);
    }
  },
});

Deno.test({
  name: "the executable has its other commands in it",
  ignore,
  fn: async () => {
    await using server = await startTestServer();
    const endpoints = `--endpoints=http://${server.address}`;
    const { code, out, err } = await run("status", endpoints, "-w", "json");
    assert.equal(code, 0, err);
    assert.equal(JSON.parse(out).version, ETCD_VERSION);
  },
});

Deno.test({
  name: "the executable keeps a data directory to itself, and its data there",
  ignore,
  fn: async () => {
    const dataDir = await Deno.makeTempDir({ prefix: "stele-test-" });
    const key = Buffer.from("greeting");
    try {
      {
        await using server = await startTestServer({ dataDir });
        await server.client.kv.call("Put", { key, value: key });
        await assert.rejects(
          startTestServer({ dataDir }),
          /locked by another process/,
        );
      }
      await using server = await startTestServer({ dataDir });
      const { kvs } = await server.client.kv.call("Range", { key });
      assert.deepEqual(kvs[0].value, key);
    } finally {
      await Deno.remove(dataDir, { recursive: true });
    }
  },
});

Deno.test({
  name: "the executable tells a process's metrics after it gave up permissions",
  ignore,
  fn: async () => {
    await using server = await startTestServer();
    const response = await fetch(`http://${server.address}/metrics`);
    const metrics = await response.text();
    assert.match(metrics, /^process_resident_memory_bytes [1-9]/m);
    if (Deno.build.os !== "linux") return;
    assert.match(metrics, /^process_open_fds [1-9]/m);
    assert.match(metrics, /^process_virtual_memory_bytes [1-9]/m);
  },
});

Deno.test({
  name:
    "the executable keeps nothing of clients that do not wait for an answer",
  ignore: ignore || Deno.build.os !== "linux",
  fn: async () => {
    const dataDir = await Deno.makeTempDir({ prefix: "stele-test-" });
    const server = await ServerProcess.start(EXECUTABLE!, {
      dataDir,
      listenClientUrls: ["http://127.0.0.1:0"],
      advertiseClientUrls: ["http://127.0.0.1:0"],
    });
    // Its own metric does not move any more once it has given up permissions.
    const openFiles = () =>
      [...Deno.readDirSync(`/proc/${server.child.pid}/fd`)].length;
    const before = openFiles();
    const { hostname, port } = new URL(server.clientUrls[0]!);
    for (let round = 0; round < 10; round++) {
      const clients = await Promise.all(
        Array.from(
          { length: 20 },
          () => Deno.connect({ hostname, port: Number(port) }),
        ),
      );
      // They go while the server has others to look at.
      await Promise.all(clients.map(async (client) => {
        await client.write(Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        client.close();
      }));
    }
    await eventually(
      "the connections are closed",
      () => openFiles() < before + 20,
    );
    await server.stop();
    await Deno.remove(dataDir, { recursive: true });
  },
});
