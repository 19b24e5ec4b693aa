import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { defaultConfig, startServer } from "../../../mod.ts";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import {
  type StateChange,
  StateKind,
} from "../../../src/backend/state_change.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import { COMPACT_REVISION_KEY } from "../../../src/mvcc/compact_revision.ts";
import { batchOf, type Row } from "../../support/batches.ts";
import { FaultyBackend } from "../../support/faulty_backend.ts";
import { makeOfflineStore } from "../../support/offline_store.ts";
import { openTestStore } from "../../support/store.ts";

function put(
  rev: number,
  sub = 0,
  createRev = rev,
  version = 1,
  lease = 0n,
): Row {
  const value = utf8("v");
  return {
    rev,
    sub,
    key: utf8(`k${rev}.${sub}`),
    put: { value, createRev, version, lease },
  };
}

function setting(name: string, value: string): StateChange {
  return { kind: StateKind.Meta, key: utf8(name), value: utf8(value) };
}

function compacted(revision: string): StateChange {
  return {
    kind: StateKind.Meta,
    key: COMPACT_REVISION_KEY,
    value: utf8(revision),
  };
}

/** A database whose log is one batch, as another program could have written it. */
async function backendWith(
  rows: readonly Row[],
  state: readonly StateChange[] = [],
  lastRev = rows.at(-1)?.rev ?? 1,
): Promise<MemoryBackend> {
  const backend = new MemoryBackend();
  await backend.open();
  const batch = batchOf({ seq: 1, afterRev: 1 }, rows, state);
  await backend.append({ ...batch, lastRev });
  return backend;
}

interface Case {
  readonly name: string;
  readonly rows: readonly Row[];
  readonly state?: readonly StateChange[];
  /** Of the batch; default: that of the last row. */
  readonly lastRev?: number;
  /** What the message says; undefined: the store is loaded. */
  readonly problem?: RegExp;
}

const CASES: readonly Case[] = [
  { name: "an empty store", rows: [] },
  { name: "rows without a gap", rows: [put(2), put(3), put(3, 1), put(4)] },
  {
    name: "a tombstone",
    rows: [put(2), { rev: 3, sub: 0, key: utf8("k2.0") }],
  },
  {
    name: "what compaction left: anything up to its revision",
    rows: [put(3, 2), put(5, 1), put(7), put(8)],
    state: [compacted("6")],
  },
  {
    name: "nothing but a compaction at the log's end",
    rows: [],
    state: [compacted("9")],
    lastRev: 9,
  },
  {
    name: "a revision that is missing",
    rows: [put(2), put(4)],
    problem: /rows of revision 3 are missing/,
  },
  {
    name: "a first revision that is missing",
    rows: [put(3)],
    problem: /rows of revision 2 are missing/,
  },
  {
    name: "a last revision that is missing",
    rows: [put(2)],
    lastRev: 4,
    problem: /rows of revision 3 are missing/,
  },
  {
    name: "the revision behind the compaction missing",
    rows: [put(3), put(8)],
    state: [compacted("6")],
    problem: /rows of revision 7 are missing/,
  },
  {
    name: "a first sub-revision that is missing",
    rows: [put(2), put(3, 1)],
    problem: /rows of revision 3 are missing/,
  },
  {
    name: "a sub-revision that is missing",
    rows: [put(2), put(2, 2)],
    problem: /rows of revision 2 are missing/,
  },
  {
    name: "a create revision above the row's",
    rows: [put(2, 0, 3)],
    problem: /row 2\/0 has version 1 and create revision 3/,
  },
  {
    name: "no create revision",
    rows: [put(2, 0, 0)],
    problem: /row 2\/0 has version 1 and create revision 0/,
  },
  {
    name: "a compaction beyond the log",
    rows: [put(2)],
    state: [compacted("3")],
    problem: /compacted at revision 3, and its log ends at 2/,
  },
  {
    name: "a compact revision that is no number",
    rows: [put(2)],
    state: [compacted("two")],
    problem: /setting "compact_revision" cannot be read/,
  },
  {
    name: "a lease that there is not",
    rows: [put(2, 0, 2, 1, 0x7fn)],
    problem: /key "k2\.0" is attached to lease 7f, which there is not/,
  },
  {
    name: "a cluster id that is no number",
    rows: [],
    state: [setting("cluster_id", "abc")],
    problem: /setting "cluster_id" cannot be read/,
  },
  {
    name: "a member id of too many bits",
    rows: [],
    state: [setting("member_id", String(1n << 64n))],
    problem: /setting "member_id" cannot be read/,
  },
  {
    name: "a lease whose id is too short",
    rows: [],
    state: [{ kind: StateKind.Lease, key: utf8("x"), value: utf8("y") }],
    problem: /lease 78 cannot be read/,
  },
  {
    name: "an alarm whose key is too short",
    rows: [],
    state: [{ kind: StateKind.Alarm, key: utf8("x"), value: utf8("y") }],
    problem: /alarm 78 cannot be read/,
  },
];

for (const { name, rows, state, lastRev, problem } of CASES) {
  const verb = problem === undefined ? "loads" : "refuses";
  Deno.test(`Store.load() ${verb} ${name}`, async () => {
    const backend = await backendWith(rows, state, lastRev);
    const opening = openTestStore(backend, { databaseName: "sqlite://dir" });
    if (problem === undefined) {
      await opening;
      return;
    }
    await assert.rejects(opening, {
      name: "BackendError",
      kind: "corrupt",
      message: problem,
      cure: /stele check.*stele snapshot restore/,
    });
    await assert.rejects(opening, { message: /^Cannot load sqlite:\/\/dir: / });
  });
}

Deno.test("Store.load() takes gaps from a database that others compact meanwhile", async () => {
  const inner = await backendWith([put(2), put(4)]);
  await openTestStore(new FaultyBackend(inner, { isExclusive: false }));
});

Deno.test("a server that cannot load its database names it and says what to do", async () => {
  await using store = await makeOfflineStore();
  // Without a checksum, as in a row of schema 1.
  store.damage(
    "INSERT INTO stele_kv VALUES (8, 0, x'7a', x'', 8, 1, 0, 0, -1)",
  );
  const starting = startServer(defaultConfig({
    dataDir: store.dir,
    listenClientUrls: ["http://127.0.0.1:0"],
    advertiseClientUrls: ["http://127.0.0.1:0"],
  }));
  await assert.rejects(starting, {
    kind: "corrupt",
    message:
      `Cannot load sqlite://${store.dir}: there is a row of revision 8, and its log ends at 7`,
    cure: /stele check/,
  });
});

Deno.test("a server whose rows do not match their checksums names the directory, too", async () => {
  await using store = await makeOfflineStore();
  const db = new DatabaseSync(store.database);
  db.exec("UPDATE stele_kv SET value = x'00' WHERE rev = 3");
  db.close();
  const starting = startServer(defaultConfig({
    dataDir: store.dir,
    listenClientUrls: ["http://127.0.0.1:0"],
    advertiseClientUrls: ["http://127.0.0.1:0"],
  }));
  const dir = await Deno.realPath(store.dir);
  await assert.rejects(starting, {
    kind: "corrupt",
    message: `Cannot load "${dir}": row 3/0 does not match its checksum`,
    cure: /stele check/,
  });
});
