import assert from "node:assert/strict";
import type { KeyEvent, LoggedRevision } from "./operation.ts";
import { checkWatcher, type WatcherRecord } from "./watch_checker.ts";

function putAt(revision: number, key: string): KeyEvent {
  return {
    kind: "put",
    kv: {
      key,
      value: `${revision}`,
      createRevision: revision,
      modRevision: revision,
      version: 1,
      lease: "0",
    },
  };
}

const LOG: readonly LoggedRevision[] = [
  { revision: 2, events: [putAt(2, "a"), putAt(2, "b")] },
  { revision: 3, events: [putAt(3, "x")] },
  { revision: 4, events: [{ kind: "delete", key: "a" }] },
];

const SEEN: WatcherRecord["seen"] = [
  { kind: "event", event: { revision: 2, event: putAt(2, "a") } },
  { kind: "event", event: { revision: 2, event: putAt(2, "b") } },
  { kind: "progress", revision: 3 },
  {
    kind: "event",
    event: {
      revision: 4,
      event: { kind: "delete", key: "a" },
      previous: (putAt(2, "a") as KeyEvent & { kind: "put" }).kv,
    },
  },
];

const WATCHER: WatcherRecord = {
  name: "w",
  key: "a",
  end: "c",
  startRevision: 2,
  withPrevious: true,
  seen: SEEN,
};

const CASES: readonly {
  readonly name: string;
  readonly watcher: Partial<WatcherRecord>;
  readonly wrong?: RegExp;
}[] = [
  { name: "each event once", watcher: {} },
  {
    name: "a later start",
    watcher: { startRevision: 3, seen: SEEN.slice(2) },
  },
  {
    name: "one key",
    watcher: { key: "b", end: undefined, seen: [SEEN[1]!] },
  },
  {
    name: "a missing event",
    watcher: { seen: [SEEN[0]!, ...SEEN.slice(2)] },
    wrong: /progress 3 before the event of 2/,
  },
  {
    name: "an event twice",
    watcher: { seen: [SEEN[0]!, SEEN[0]!, ...SEEN.slice(1)] },
    wrong: /got .*"a".* not .*"b"/,
  },
  {
    name: "events out of order",
    watcher: { seen: [SEEN[1]!, SEEN[0]!, ...SEEN.slice(2)] },
    wrong: /got .*"b".* not .*"a"/,
  },
  {
    name: "an event of another key",
    watcher: {
      seen: [...SEEN.slice(0, 2), {
        kind: "event",
        event: { revision: 3, event: putAt(3, "x") },
      }],
    },
    wrong: /got .*"x"/,
  },
  {
    name: "events that never came",
    watcher: { seen: SEEN.slice(0, 3) },
    wrong: /1 events never came, from 4/,
  },
  {
    name: "progress beyond an event to come",
    watcher: { seen: [{ kind: "progress", revision: 2 }, ...SEEN] },
    wrong: /progress 2 before the event of 2/,
  },
  {
    name: "a missing previous version",
    watcher: {
      seen: [...SEEN.slice(0, 3), {
        kind: "event",
        event: { revision: 4, event: { kind: "delete", key: "a" } },
      }],
    },
    wrong: /the previous version of revision 4/,
  },
  {
    name: "a previous version that a compaction took away",
    watcher: {
      seen: [...SEEN.slice(0, 3), {
        kind: "event",
        event: {
          revision: 4,
          event: { kind: "delete", key: "a" },
          mayLackPrevious: true,
        },
      }],
    },
  },
  {
    name: "what a compaction took away",
    watcher: { seen: [{ kind: "skipped", toRevision: 4 }, SEEN[3]!] },
  },
  {
    name: "more than a compaction took away",
    watcher: { seen: [{ kind: "skipped", toRevision: 4 }] },
    wrong: /1 events never came/,
  },
];

for (const { name, watcher, wrong } of CASES) {
  Deno.test(`checkWatcher() ${wrong ? "refuses" : "takes"} ${name}`, () => {
    const violations = checkWatcher({ ...WATCHER, ...watcher }, LOG);
    if (wrong === undefined) assert.deepEqual(violations, []);
    else assert.match(violations.join("\n"), wrong);
  });
}
