import type { Buffer } from "node:buffer";
import { defaultConfig, startServer } from "../../../mod.ts";
import { EtcdClient, type Message } from "../../support/etcd_client.ts";
import type { Random } from "../../support/random.ts";
import { ServerProcess } from "../crash/server_process.ts";

/** The files of a server that is gone, and what was in them. */
export interface Victim {
  readonly dir: string;
  readonly state: ServerState;
  /** HashKV at each revision, before and after the compaction: what a server may answer. */
  readonly hashes: ReadonlySet<string>;
  /** The size of the WAL after each acknowledged write, which is in it from there on. */
  readonly walBytes: readonly {
    readonly revision: number;
    readonly bytes: number;
  }[];
}

/** What a server answers about all that it has. */
export interface ServerState {
  readonly revision: number;
  /** HashKV at that revision, with the compact revision. */
  readonly hash: string;
  /** Leases, users, roles and alarms. */
  readonly others: string;
}

export type Damage =
  | { readonly kind: "flip"; readonly file: FileName; readonly bit: number }
  | { readonly kind: "cut"; readonly file: FileName; readonly bytes: number }
  | { readonly kind: "zero"; readonly file: FileName; readonly page: number }
  | { readonly kind: "remove"; readonly file: FileName };

export type FileName = "stele.db" | "stele.db-wal";

/** What a server made of damaged files. */
export type Verdict =
  /** It would not start. */
  | { readonly kind: "refused"; readonly message: string }
  /** Everything is there. */
  | { readonly kind: "whole" }
  /** It serves what was true at an earlier revision: what came after is lost, and nobody was told. */
  | { readonly kind: "prefix"; readonly revision: number }
  /** It started, and some request fails. */
  | { readonly kind: "fails"; readonly message: string }
  /** It serves what was never true. */
  | { readonly kind: "wrong"; readonly what: string };

const PAGE_BYTES = 4096;
const WRITES = 120;
const COMPACT_AT_WRITE = 60;
const COMPACT_REVISION = 30;
const START_TIMEOUT_MS = 20_000;

/** Fills a directory with a bit of everything, and ends its server: by SIGKILL the WAL stays, by SIGTERM it is empty. */
export async function makeVictim(how: "kill" | "stop"): Promise<Victim> {
  const dir = await Deno.makeTempDir({ prefix: "stele-damage-" });
  const server = ServerProcess.spawn(dir, ["--bcrypt-cost=4"]);
  const address = await server.ready;
  if (address === undefined) throw new Error(server.log);
  const client = new EtcdClient(address);
  await client.lease.call("LeaseGrant", { ID: 7, TTL: 3600 });
  await client.maintenance.call("Alarm", {
    action: "ACTIVATE",
    alarm: "CORRUPT",
  });
  await client.maintenance.call("Alarm", {
    action: "DEACTIVATE",
    alarm: "CORRUPT",
  });
  await client.auth.call("UserAdd", { name: "u", password: "p" });
  await client.auth.call("RoleAdd", { name: "r" });
  const walBytes: { revision: number; bytes: number }[] = [];
  const hashes = new Set<string>();
  for (let i = 0; i < WRITES; i++) {
    const { header } = i % 10 === 9
      ? await client.delete(`k${i % 7}`)
      : await client.put(`k${i % 20}`, `${i} `.repeat(1 + 7 * (i % 50)), {
        lease: i % 5 === 0 ? 7 : 0,
      });
    const { size: bytes } = await Deno.stat(`${dir}/stele.db-wal`);
    walBytes.push({ revision: Number(header.revision), bytes });
    if (i !== COMPACT_AT_WRITE) continue;
    await addHashes(client, { from: 1, to: Number(header.revision) }, hashes);
    await client.kv.call("Compact", { revision: COMPACT_REVISION });
  }
  const state = await stateOf(client);
  await addHashes(
    client,
    { from: COMPACT_REVISION, to: state.revision },
    hashes,
  );
  client.close();
  await (how === "kill" ? server.kill() : server.stop());
  return { dir, state, hashes, walBytes };
}

/** Somewhere in a file, as likely in one byte as in another. */
export function randomDamage(
  random: Random,
  options: { kind: Damage["kind"]; file: FileName; size: number },
): Damage {
  const { kind, file, size } = options;
  switch (kind) {
    case "flip":
      return { kind, file, bit: random.int(size * 8) };
    case "cut":
      return { kind, file, bytes: random.int(size) };
    case "zero":
      return { kind, file, page: random.int(Math.ceil(size / PAGE_BYTES)) };
    case "remove":
      return { kind, file };
  }
}

/**
 * Damages a copy of the victim's files, starts a server on it, and says what it made of it. `isMarked`: whether the
 * mark of what was confirmed is there, as after a crash of the process; a power failure may take it. Default: true.
 */
export async function judge(
  victim: Victim,
  damage: Damage,
  { isMarked = true } = {},
): Promise<Verdict> {
  const dir = await Deno.makeTempDir({ prefix: "stele-damaged-" });
  try {
    for (const { name } of Deno.readDirSync(victim.dir)) {
      if (name.endsWith("-shm")) continue; // memory of the dead server
      if (name.endsWith("-mark") && !isMarked) continue;
      await Deno.copyFile(`${victim.dir}/${name}`, `${dir}/${name}`);
    }
    await inflict(dir, damage);
    return await verdictOn(dir, victim);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** The revisions that are in the WAL before the place of the damage: no server may lose them. */
export function safeRevision({ walBytes }: Victim, damage: Damage): number {
  if (damage.file !== "stele.db-wal" || damage.kind === "remove") return 0;
  const offset = damage.kind === "flip"
    ? damage.bit >> 3
    : damage.kind === "cut"
    ? damage.bytes
    : damage.page * PAGE_BYTES;
  return walBytes.findLast((w) => w.bytes <= offset)?.revision ?? 0;
}

async function inflict(dir: string, damage: Damage): Promise<void> {
  const path = `${dir}/${damage.file}`;
  if (damage.kind === "remove") return await Deno.remove(path);
  if (damage.kind === "cut") return await Deno.truncate(path, damage.bytes);
  const bytes = await Deno.readFile(path);
  if (damage.kind === "flip") {
    bytes[damage.bit >> 3]! ^= 1 << (damage.bit & 7);
  } else {
    const from = damage.page * PAGE_BYTES;
    bytes.fill(0, from, from + PAGE_BYTES);
  }
  await Deno.writeFile(path, bytes);
}

async function verdictOn(dir: string, victim: Victim): Promise<Verdict> {
  let server;
  try {
    server = await inTime(startServer(defaultConfig({
      listenClientUrls: ["http://127.0.0.1:0"],
      advertiseClientUrls: ["http://127.0.0.1:0"],
      dataDir: dir,
      logLevel: "error",
    })));
  } catch (error) {
    return { kind: "refused", message: messageOf(error) };
  }
  const client = new EtcdClient(new URL(server.clientUrls[0]!).host);
  try {
    return compare(await inTime(stateOf(client)), victim);
  } catch (error) {
    return { kind: "fails", message: messageOf(error) };
  } finally {
    client.close();
    await server.stop().catch(() => {}); // it may find the damage only now
  }
}

function compare(actual: ServerState, { state, hashes }: Victim): Verdict {
  if (!hashes.has(actual.hash)) {
    return { kind: "wrong", what: `keys at revision ${actual.revision}` };
  }
  if (actual.revision !== state.revision) {
    return { kind: "prefix", revision: actual.revision };
  }
  return actual.others === state.others
    ? { kind: "whole" }
    : { kind: "wrong", what: `${actual.others}, not ${state.others}` };
}

async function stateOf(client: EtcdClient): Promise<ServerState> {
  const { header, kvs } = await client.range("\0", "\0");
  const revision = Number(header.revision);
  const { leases } = await client.lease.call("LeaseLeases");
  const { keys = [] } = leases.length === 0
    ? {}
    : await client.lease.call("LeaseTimeToLive", { ID: 7, keys: true });
  const { users } = await client.auth.call("UserList");
  const { roles } = await client.auth.call("RoleList");
  const { alarms } = await client.maintenance.call("Alarm");
  const others = JSON.stringify([
    kvs.length,
    leases.map((l: Message) => l.ID),
    keys.map((key: Buffer) => key.toString("latin1")),
    users,
    roles,
    alarms.map((a: Message) => a.alarm),
  ]);
  return { revision, hash: await hashAt(client, revision), others };
}

async function hashAt(client: EtcdClient, revision: number): Promise<string> {
  const answer = await client.maintenance.call("HashKV", { revision });
  return `${revision}: ${answer.hash} from ${answer.compact_revision}`;
}

async function addHashes(
  client: EtcdClient,
  { from, to }: { readonly from: number; readonly to: number },
  hashes: Set<string>,
): Promise<void> {
  for (let revision = from; revision <= to; revision++) {
    hashes.add(await hashAt(client, revision));
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function inTime<T>(promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("HANGS")), START_TIMEOUT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
