import assert from "node:assert/strict";
import { op } from "../support/etcd_client.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { advertisedPort } from "./advertised_port.ts";
import { AUTH, type Flow, FLOWS, type Step } from "./etcdctl_flows.ts";
import { findTool, type Outcome, run, type RunOptions, skip } from "./tool.ts";

/** `etcdctl` for one server. */
class Etcdctl {
  constructor(readonly path: string, readonly endpoint: string) {}

  run(
    args: readonly string[],
    options: Omit<RunOptions, "cwd" | "env"> = {},
  ): Promise<Outcome> {
    return run(this.path, args, {
      env: { ETCDCTL_ENDPOINTS: this.endpoint },
      ...options,
    });
  }

  /** 3.7 is 307. */
  async version(): Promise<number> {
    const { stdout } = await this.run(["version"]);
    const match = /^etcdctl version: (\d+)\.(\d+)/.exec(stdout);
    assert(match !== null, `no version: ${stdout}`);
    return Number(match[1]) * 100 + Number(match[2]);
  }
}

async function findEtcdctl(): Promise<string | undefined> {
  const path = await findTool("etcdctl", "STELE_ETCDCTL");
  if (path === undefined) skip("no etcdctl on PATH");
  return path;
}

Deno.test("etcdctl: every verb, one after the other", async (t) => {
  const path = await findEtcdctl();
  if (path === undefined) return;
  await using server = await startTestServer(advertisedPort());
  const etcdctl = new Etcdctl(path, server.address);
  const version = await etcdctl.version();
  for (const flow of [...FLOWS, AUTH]) {
    await t.step(flow.name, async () => {
      if (flow === AUTH && !await hasAuth(server)) {
        return skip("the server has no authentication yet");
      }
      await follow(flow, etcdctl, version);
    });
  }
});

Deno.test("etcdctl make-mirror: what is there, and what comes", async () => {
  const path = await findEtcdctl();
  if (path === undefined) return;
  // With a server that the environment names, both are the same one: the prefixes keep them apart.
  await using from = await startTestServer();
  await using to = await startTestServer();
  const [source, target] = [
    `/${crypto.randomUUID()}/`,
    `/${crypto.randomUUID()}/`,
  ];
  for (let i = 0; i < 5; i++) await from.client.put(`${source}${i}`, "old");
  const watch = to.client.openWatch();
  await watch.create({
    key: Buffer.from(target),
    range_end: Buffer.from(target.replace(/\/$/, "0")),
  });
  const stop = new AbortController();
  const mirror = new Etcdctl(path, from.address).run([
    "make-mirror",
    to.address,
    "--prefix",
    source,
    "--dest-prefix",
    target,
  ], { signal: stop.signal });
  try {
    const copied = await watch.events(5);
    assert.deepEqual(
      copied.map((event) => String(event.kv.key)).sort(),
      [0, 1, 2, 3, 4].map((i) => `${target}${i}`),
    );
    await from.client.txn({
      success: [op.put(`${source}0`, "new"), op.delete(`${source}1`)],
    });
    const changed = await watch.events(2);
    assert.deepEqual(
      changed.map((e) => `${e.type} ${e.kv.key} ${e.kv.value}`).sort(),
      [`DELETE ${target}1 `, `PUT ${target}0 new`],
    );
  } finally {
    stop.abort();
    await mirror;
    await watch.cancel();
  }
});

Deno.test("etcdctl check: performance and data scale", async () => {
  if (Deno.env.get("STELE_TEST_SLOW") === undefined) {
    return skip("takes a minute; STELE_TEST_SLOW=1 runs it");
  }
  const path = await findEtcdctl();
  if (path === undefined) return;
  await using server = await startTestServer();
  const etcdctl = new Etcdctl(path, server.address);
  for (const check of ["perf", "datascale"]) {
    const { code, stdout, stderr } = await etcdctl.run(
      ["check", check, "--load", "s"],
      { timeoutMs: 180_000 },
    );
    // What is slow on this machine fails too: the check has to come to an end and its keys have to be gone.
    assert.match(stdout, /^(PASS|FAIL)/m, stderr);
    if (code !== 0) console.log(stdout);
  }
  const left = await server.client.range("/etcdctl-check-", "/etcdctl-check.");
  assert.equal(left.count, "0");
});

async function hasAuth(server: TestServer): Promise<boolean> {
  try {
    await server.client.auth.call("AuthStatus");
    return true;
  } catch (error) {
    // deno-lint-ignore no-explicit-any
    return (error as any).code !== 12;
  }
}

/** Takes all steps of a flow, and then says which ones went wrong. */
async function follow(
  flow: Flow,
  etcdctl: Etcdctl,
  version: number,
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "stele-etcdctl-" });
  const known = new Map([
    ["p", `/${crypto.randomUUID()}/`],
    ["endpoint", etcdctl.endpoint],
    ["dir", dir],
  ]);
  const complaints: string[] = [];
  for (const step of flow.steps) {
    if (version < (step.since ?? 0) || version > (step.upTo ?? Infinity)) {
      continue;
    }
    const complaint = await take(step, etcdctl, known);
    if (complaint !== undefined) complaints.push(complaint);
  }
  await Deno.remove(dir, { recursive: true });
  assert(complaints.length === 0, complaints.join("\n"));
}

/** Returns what was wrong, if anything. */
async function take(
  step: Step,
  etcdctl: Etcdctl,
  known: Map<string, string>,
): Promise<string | undefined> {
  const args = typeof step.args === "string" ? step.args.split(" ") : step.args;
  const filled = args.map((arg) => fill(arg, known));
  const out = step.out && fillPattern(step.out, known);
  const err = step.err && fillPattern(step.err, known);
  const outcome = await etcdctl.run(filled, {
    ...(step.stdin === undefined ? {} : { stdin: fill(step.stdin, known) }),
    ...(step.endless && out !== undefined ? { until: out } : {}),
    timeoutMs: 10_000,
  });
  const found = out?.exec(outcome.stdout);
  if (step.save !== undefined && found?.[1] !== undefined) {
    known.set(step.save, found[1]);
  }
  const codeIsRight = step.endless || outcome.code === (step.code ?? 0);
  if (
    found !== null && (err?.test(outcome.stderr) ?? true) && codeIsRight
  ) return undefined;
  return [
    `etcdctl ${filled.join(" ")}`,
    `  exit code ${outcome.code}, expected ${step.code ?? 0}`,
    `  stdout ${JSON.stringify(outcome.stdout.slice(0, 1000))}`,
    ...(out === undefined ? [] : [`  expected ${out}`]),
    `  stderr ${JSON.stringify(outcome.stderr.slice(-1000))}`,
    ...(err === undefined ? [] : [`  expected ${err}`]),
  ].join("\n");
}

function fill(text: string, known: ReadonlyMap<string, string>): string {
  return text.replace(
    /\{([a-z]+)\}/g,
    (whole, name) => known.get(name) ?? whole,
  );
}

function fillPattern(
  pattern: RegExp,
  known: ReadonlyMap<string, string>,
): RegExp {
  const source = pattern.source.replace(
    /\{([a-z]+)\}/g,
    (whole, name) => {
      const value = known.get(name);
      return value === undefined ? whole : RegExp.escape(value);
    },
  );
  return new RegExp(source, pattern.flags);
}
