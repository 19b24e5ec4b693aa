import assert from "node:assert/strict";
import { EtcdClient, op } from "../../support/etcd_client.ts";
import { Random, seeds } from "../../support/random.ts";
import { startTestServer } from "../../support/server.ts";
import { ServerProcess } from "../crash/server_process.ts";
import {
  afterPowerLoss,
  type DiskEvent,
  parseTrace,
  STRACE_FLAGS,
} from "./disk_trace.ts";

/** A transaction that was acknowledged: two keys with one value. */
interface Acknowledged {
  readonly name: string;
  readonly revision: number;
  /** No earlier than the answer. */
  readonly timeMs: number;
}

const CLIENTS = 3;
const WRITES_PER_CLIENT = 25;
/** Together more than a checkpoint's worth. */
const VALUE_BYTES = 30_000;
const POWER_LOSSES = 8;
/** The database, its log and mark, and what it is called while it is made. */
const DATABASE = /\/data\/(stele\.db|snapshot-\d+\.tmp)/;
const CAN_TRACE = await canTrace();

Deno.test("DiskTrace reads writes, syncs under way, cuts, removals and renames", () => {
  const hex = (text: string) =>
    [...text].map((c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`)
      .join("");
  const events = parseTrace(
    [
      `7  1.5 pwrite64(3<${hex("/d/a")}>, "${hex("xy")}", 2, 10) = 2`,
      `8  1.6 fsync(3<${hex("/d/a")}> <unfinished ...>`,
      `7  1.7 ftruncate(3<${hex("/d/a")}>, 11) = 0`,
      `8  1.8 <... fsync resumed>) = 0`,
      `7  1.9 unlink("${hex("/d/b")}") = 0`,
      `7  2.0 fsync(3<${hex("/elsewhere")}>) = 0`,
      `7  2.1 rename("${hex("/d/a")}", "${hex("/d/c")}") = 0`,
    ].join("\n"),
    /^\/d\//,
  );
  assert.deepEqual(
    events.map(({ kind, path, timeMs }) => [kind, path, timeMs]),
    [
      ["write", "/d/a", 1500],
      ["truncate", "/d/a", 1700],
      ["sync", "/d/a", 1800],
      ["remove", "/d/b", 1900],
      ["rename", "/d/a", 2100],
    ],
  );
  const [[path, bytes]] = [
    ...afterPowerLoss(events, 3000, new Random(1)),
  ] as [[string, Uint8Array]];
  assert.equal(path, "/d/c");
  assert.equal(new TextDecoder().decode(bytes).slice(10), "x");
});

Deno.test({
  name:
    "whatever a power failure keeps of unsynced writes, all that was acknowledged is there",
  ignore: !CAN_TRACE,
  fn: async () => {
    const { events, acknowledged } = await record([]);
    assert.ok(
      events.some(({ path }) => path.endsWith("-mark")),
      "the mark of what was confirmed is part of it",
    );
    for (const seed of seeds(POWER_LOSSES)) {
      await losePower(new Random(seed), events, acknowledged);
    }
  },
});

Deno.test({
  name: "a server that does not sync is found out by power failures",
  ignore: !CAN_TRACE,
  fn: async () => {
    const { events, acknowledged } = await record(["--unsafe-no-fsync"]);
    await assert.rejects(async () => {
      for (const seed of seeds(POWER_LOSSES)) {
        await losePower(new Random(seed), events, acknowledged);
      }
    });
  },
});

/** Prints that tests are skipped if not. */
async function canTrace(): Promise<boolean> {
  try {
    const { success } = await new Deno.Command("strace", {
      args: ["-o", "/dev/null", "true"],
      stderr: "null",
    }).output();
    if (success) return true;
  } catch {
    // There is no such program.
  }
  console.log("skipped: tests of power failures need strace");
  return false;
}

/** Runs writers on a traced server. */
async function record(
  flags: readonly string[],
): Promise<{ events: DiskEvent[]; acknowledged: Acknowledged[] }> {
  const temporary = await Deno.makeTempDir({ prefix: "stele-power-" });
  try {
    const tracePath = `${temporary}/trace`;
    const dataDir = `${temporary}/data`;
    const strace = ["strace", ...STRACE_FLAGS, "-o", tracePath];
    const server = ServerProcess.spawn(dataDir, flags, strace);
    const address = await server.ready;
    assert.ok(address !== undefined, server.log);
    const acknowledged = await write(address);
    await server.stopChild();
    const trace = await Deno.readTextFile(tracePath);
    return { events: parseTrace(trace, DATABASE), acknowledged };
  } finally {
    await Deno.remove(temporary, { recursive: true });
  }
}

async function write(address: string): Promise<Acknowledged[]> {
  const client = new EtcdClient(address);
  const acknowledged: Acknowledged[] = [];
  const writer = async (w: number) => {
    for (let i = 0; i < WRITES_PER_CLIENT; i++) {
      const name = `w${w}.${i}`;
      const value = name.repeat(VALUE_BYTES / name.length);
      const { header } = await client.txn({
        success: [op.put(`${name}/a`, value), op.put(`${name}/b`, value)],
      });
      const timeMs = Date.now() + 1; // the clock cuts fractions off
      acknowledged.push({ name, revision: Number(header.revision), timeMs });
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, (_, w) => writer(w)));
  client.close();
  return acknowledged;
}

async function losePower(
  random: Random,
  events: readonly DiskEvent[],
  acknowledged: readonly Acknowledged[],
): Promise<void> {
  const { timeMs } = random.pick(events);
  const label = `STELE_SEED=${random.seed}`;
  const dataDir = await Deno.makeTempDir({ prefix: "stele-power-" });
  try {
    for (const [path, bytes] of afterPowerLoss(events, timeMs, random)) {
      const name = path.slice(path.lastIndexOf("/") + 1);
      // Shared memory is gone with the machine.
      if (name.endsWith("-shm")) continue;
      await Deno.writeFile(`${dataDir}/${name}`, bytes);
    }
    await using server = await startTestServer({ dataDir });
    const { kvs } = await server.client.range("w", "x", { keys_only: true });
    const revisions = new Map<string, string>(
      kvs.map((kv: { key: Buffer; mod_revision: string }) => [
        `${kv.key}`,
        kv.mod_revision,
      ]),
    );
    for (const { name, revision, timeMs: then } of acknowledged) {
      const [a, b] = ["a", "b"].map((part) => revisions.get(`${name}/${part}`));
      assert.equal(a, b, `${label}: ${name} is torn`);
      if (then > timeMs) continue;
      assert.equal(a, `${revision}`, `${label}: ${name} is lost`);
    }
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
}
