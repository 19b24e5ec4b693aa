import assert from "node:assert/strict";
import { main } from "../../../src/cli/main.ts";
import type { ServedServer, StartServer } from "../../../src/cli/serve.ts";
import type { Config } from "../../../src/config/config.ts";
import { FLAGS } from "../../../src/config/flags.ts";
import { ETCD_VERSION, STELE_VERSION } from "../../../src/config/version.ts";
import { COMMANDS } from "../../../src/cli/commands.ts";
import { FakeProcess } from "../../support/fake_process.ts";

/** A server that does nothing; `started` resolves once it was asked to start. */
class FakeServer {
  readonly started = Promise.withResolvers<Config>();
  readonly stopped = Promise.withResolvers<void>();
  readonly failure = Promise.withResolvers<Error>();
  stops = 0;
  /** Whether `stop` waits for `stopped`. */
  isSlow = false;

  readonly start: StartServer = (config) => {
    this.started.resolve(config);
    const server: ServedServer = {
      clientUrls: config.listenClientUrls,
      stop: () => {
        this.stops++;
        return this.isSlow ? this.stopped.promise : Promise.resolve();
      },
      failed: this.failure.promise,
    };
    return Promise.resolve(server);
  };
}

const NEVER: StartServer = () => {
  throw new Error("no server was to be started");
};

/** A log file, so that tests do not write to standard error; gives back its entries. */
async function withLog(
  test: (
    flag: string,
    entries: () => Record<string, unknown>[],
  ) => Promise<void>,
): Promise<void> {
  const path = await Deno.makeTempFile({ prefix: "stele-log-" });
  try {
    await test(
      `--log-outputs=${path}`,
      () =>
        Deno.readTextFileSync(path).trim().split("\n").map((line) =>
          JSON.parse(line)
        ),
    );
  } finally {
    await Deno.remove(path);
  }
}

for (const args of [["version"], ["--version"], ["serve", "--version"]]) {
  Deno.test(`main() shows the versions for ${args.join(" ")}`, async () => {
    const process = new FakeProcess();
    assert.equal(await main(args, process, NEVER), 0);
    const lines = process.out.split("\n");
    assert.equal(lines[0], `Stele Version: ${STELE_VERSION}`);
    assert.equal(lines[1], `etcd Version: ${ETCD_VERSION}`);
    assert.match(lines[2]!, /^Runtime: Deno \d/);
    assert.equal(process.err, "");
  });
}

for (
  const args of [["serve", "--help"], ["--name=a", "-h"], ["help", "serve"]]
) {
  Deno.test(`main() shows every flag for ${args.join(" ")}`, async () => {
    const process = new FakeProcess();
    assert.equal(await main(args, process, NEVER), 0);
    for (const name of FLAGS.keys()) {
      assert.match(process.out, new RegExp(`--${name}(?![a-z0-9-])`));
    }
    const widest = Math.max(...process.out.split("\n").map((l) => l.length));
    assert.ok(widest <= 100, `a line of ${widest} characters`);
    assert.match(process.out, /--max-txn-ops .*\[128\]/);
  });
}

for (const args of [["help"], ["--help"], ["-h"], ["-help"]]) {
  Deno.test(`main() shows every command for ${args.join(" ")}`, async () => {
    const process = new FakeProcess();
    assert.equal(await main(args, process, NEVER), 0);
    for (const { name, summary } of COMMANDS) {
      assert.match(process.out, new RegExp(`^  ${name} +${summary}$`, "m"));
    }
    assert.equal(process.err, "");
  });
}

for (const { name } of COMMANDS) {
  Deno.test(`main() explains ${name} alike for --help and help`, async () => {
    const byFlag = new FakeProcess();
    const byCommand = new FakeProcess();
    assert.equal(await main([name, "--help"], byFlag, NEVER), 0);
    assert.equal(await main(["help", name], byCommand, NEVER), 0);
    assert.equal(byFlag.out.trimEnd(), byCommand.out.trimEnd());
    assert.match(byFlag.out, /^Usage:/);
    assert.ok(byFlag.out.includes(`stele ${name}`) || name === "serve");
    assert.equal(byFlag.err + byCommand.err, "");
    assert.equal(byFlag.listensToSignals, false);
  });
}

const MISTAKES: readonly (readonly [string[], RegExp])[] = [
  [["serv"], /^stele: Cannot run "serv": .*; did you mean serve\?\n$/],
  [["hist"], /; did you mean history\?\n$/],
  [["help", "histroy"], /Cannot run "histroy": .*; did you mean history\?\n$/],
  [
    ["history"],
    /^stele: Cannot understand .*: missing required argument 'key'\n$/,
  ],
  [["history", "k", "--wid=3"], /unknown option '--wid=3'.*\n$/],
  [
    ["history", "k", "--wdth", "3"],
    /unknown option '--wdth'; did you mean --width\?\n$/,
  ],
  [["history", "k", "--values=x"], /^stele: Cannot use --values x: /],
  [
    ["history", "k", "--at=0"],
    /^stele: Cannot use "0": it must be 1 or more\n$/,
  ],
  [
    ["history", "k", "--at=1.5"],
    /^stele: Cannot use "1.5": it is not an integer\n$/,
  ],
  [
    ["history", "k", "--at=3", "--from=2"],
    /^stele: Cannot use --at with --from/,
  ],
  [["history", ""], /^stele: Cannot use an empty key without --prefix\n$/],
  [["history", "a", "b"], /^stele: Cannot understand .*: too many arguments/],
  [
    ["diff"],
    /^stele: Cannot understand .*: required option '--from <revision>'/,
  ],
  [
    ["compact"],
    /^stele: Cannot compact: either a revision or --keep is needed\n$/,
  ],
  [["compact", "5", "--keep=2"], /^stele: Cannot compact: either/],
  [["bench", "fly"], /^stele: Cannot understand .*: .*'fly' is invalid/],
  [["bench", "--duration=3"], /^stele: Cannot use --duration "3": /],
  [["bench", "--clients=0"], /^stele: Cannot use "0": it must be 1 or more\n$/],
  [["completion"], /missing required argument 'shell'\n$/],
  [["completion", "tcsh"], /'tcsh' is invalid .*bash, zsh, fish\n$/],
  [["status", "-w", "xml"], /'xml' is invalid/],
  [
    ["status", "--endpoints=http://a:b"],
    /^stele: Cannot use endpoint "http:\/\/a:b"/,
  ],
  [
    ["status", "--endpoints="],
    /^stele: Cannot connect: no endpoint is given\n$/,
  ],
  [
    ["status", "--command-timeout=5"],
    /^stele: Cannot use --command-timeout "5": /,
  ],
  [
    ["frobnicate"],
    /^stele: Cannot run "frobnicate": there is no such command; stele help lists them\n$/,
  ],
  [["serve", "now"], /^stele: Cannot use "now": it is not a flag\n$/],
  [["--nam=x"], /^stele: Cannot use --nam: .*did you mean --name\?\n$/],
  [["--max-txn-ops=x"], /^stele: Cannot use max-txn-ops "x": .*\n$/],
  [["--config-file=f"], /^stele: Cannot read "f": no such file f\n$/],
  [
    ["--cert-file=c"],
    /^stele: Cannot serve TLS: KeyFile and CertFile must both/,
  ],
  [["--log-outputs=/nonexistent/a/b"], /^stele: Cannot log to .*\n$/],
];

for (const [args, message] of MISTAKES) {
  Deno.test(`main() refuses ${args.join(" ")} with status 2`, async () => {
    const process = new FakeProcess();
    assert.equal(await main(args, process, NEVER), 2);
    assert.match(process.err, message);
    assert.equal(process.out, "");
    assert.equal(process.listensToSignals, false);
  });
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`serve() stops for ${signal} with status 0`, async () => {
    await withLog(async (logFlag, entries) => {
      const process = new FakeProcess();
      const server = new FakeServer();
      const status = main(["--name=a", logFlag], process, server.start);
      const config = await server.started.promise;
      assert.equal(config.name, "a");
      process.signal(signal);
      assert.equal(await status, 0);
      assert.equal(server.stops, 1);
      assert.deepEqual(process.exits, []);
      assert.equal(process.listensToSignals, false);
      const [ready, stopping, stopped] = entries();
      assert.equal(ready!.level, "info");
      assert.equal(ready!.msg, "ready to serve client requests");
      assert.deepEqual(ready!.addresses, ["http://localhost:2379"]);
      assert.equal(stopping!.signal, signal);
      assert.equal(stopped!.msg, "stopped");
    });
  });
}

Deno.test("serve() ends at once for a second signal", async () => {
  await withLog(async (logFlag) => {
    const process = new FakeProcess();
    const server = new FakeServer();
    server.isSlow = true;
    const status = main([logFlag], process, server.start);
    await server.started.promise;
    process.signal("SIGTERM");
    assert.deepEqual(process.exits, []);
    process.signal("SIGINT");
    assert.deepEqual(process.exits, [130]);
    server.stopped.resolve();
    assert.equal(await status, 0);
  });
});

Deno.test("serve() says in one line why the server does not start, with status 1", async () => {
  await withLog(async (logFlag) => {
    const process = new FakeProcess();
    const status = await main([logFlag], process, () => {
      const cause = new Error("file is locked by another process");
      return Promise.reject(new Error('Cannot open "data.db"', { cause }));
    });
    assert.equal(status, 1);
    assert.equal(
      process.err,
      'stele: Cannot open "data.db": file is locked by another process\n',
    );
    assert.equal(process.listensToSignals, false);
  });
});

Deno.test("serve() stops a server that cannot go on, with status 1", async () => {
  await withLog(async (logFlag, entries) => {
    const process = new FakeProcess();
    const server = new FakeServer();
    const status = main([logFlag], process, server.start);
    await server.started.promise;
    server.failure.resolve(new Error("log is corrupt"));
    assert.equal(await status, 1);
    assert.equal(server.stops, 1);
    const failed = entries().find((entry) => entry.level === "error")!;
    assert.equal(failed.msg, "server failed");
    assert.equal(failed.error, "log is corrupt");
  });
});

Deno.test("serve() survives the runtime's own faults at sockets, and no other rejection", async () => {
  await withLog(async (logFlag, entries) => {
    const process = new FakeProcess();
    const server = new FakeServer();
    const status = main([logFlag], process, server.start);
    await server.started.promise;
    const fault = new TypeError("Cannot read properties of undefined");
    assert.equal(process.takesRejection(fault), false);
    fault.stack =
      "TypeError: x\n    at TCP.#read (ext:deno_node/internal_binding/stream_wrap.ts:249:45)";
    assert.equal(process.takesRejection(fault), true);
    process.signal("SIGTERM");
    assert.equal(await status, 0);
    assert.equal(process.takesRejection(fault), false, "nobody listens");
    const warned = entries().find(({ level }) => level === "warn")!;
    assert.match(String(warned.msg), /^the runtime failed at a socket/);
  });
});

Deno.test("serve() logs the configuration's warnings before anything else", async () => {
  await withLog(async (logFlag, entries) => {
    const process = new FakeProcess();
    const server = new FakeServer();
    const args = [logFlag, "--wal-dir=w"];
    const status = main(args, process, server.start);
    await server.started.promise;
    process.signal("SIGTERM");
    await status;
    assert.equal(entries()[0]!.level, "warn");
    assert.deepEqual(entries()[0]!.flags, ["wal-dir"]);
  });
});

Deno.test("serve() honours log-level", async () => {
  await withLog(async (logFlag, entries) => {
    const process = new FakeProcess();
    const server = new FakeServer();
    const args = [logFlag, "--log-level=warn", "--wal-dir=w"];
    const status = main(args, process, server.start);
    await server.started.promise;
    process.signal("SIGTERM");
    await status;
    assert.deepEqual(entries().map((entry) => entry.level), ["warn"]);
  });
});
