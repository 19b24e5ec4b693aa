import assert from "node:assert/strict";
import { Random, seeds } from "../../support/random.ts";
import { callsOf, ETCD_MODEL } from "./etcd_model.ts";
import { isLinearizable } from "./linearizability.ts";
import {
  type KeyEvent,
  type KeyOp,
  type LoggedRevision,
  type Operation,
  type OpResult,
  type Request,
  single,
  type TxnRequest,
} from "./operation.ts";
import { checkHistory } from "./revision_checker.ts";
import { simulate } from "./simulation.ts";

/** An operation of client 1 over [call, end] that was answered. */
function answered(
  [call, end]: readonly [number, number],
  request: Request,
  revision: number,
  ...results: OpResult[]
): Operation {
  const response = { revision, succeeded: true, results };
  return {
    client: 1,
    call,
    return: end,
    request,
    outcome: { kind: "ok", response },
  };
}

function unanswered(
  [call, end]: readonly [number, number],
  request: Request,
): Operation {
  return {
    client: 2,
    call,
    return: end,
    request,
    outcome: { kind: "unknown" },
  };
}

function refused(
  [call, end]: readonly [number, number],
  request: Request,
  refusal: "other" | "compacted" | "lease not found",
): Operation {
  return {
    client: 3,
    call,
    return: end,
    request,
    outcome: { kind: "failed", refusal },
  };
}

const PUT: OpResult = { kind: "put" };
const put = (key: string, value: string, lease?: string): TxnRequest =>
  single({ kind: "put", key, value, ...(lease !== undefined && { lease }) });
const get = (key: string, revision = 0): TxnRequest =>
  single({ kind: "range", key, revision });

/** The log of these puts and deletes (`value` undefined), a revision for each list. */
function logOf(
  ...revisions: (readonly [key: string, value?: string, lease?: string])[][]
): LoggedRevision[] {
  let state = ETCD_MODEL.initial;
  const log: LoggedRevision[] = [];
  for (const changes of revisions) {
    const leases = new Set(changes.map(([, , lease]) => lease ?? "0"));
    const success = changes.map(([key, value, lease = "0"]): KeyOp =>
      value === undefined
        ? { kind: "delete", key }
        : { kind: "put", key, value, lease }
    );
    const request: Request = {
      kind: "txn",
      compares: [],
      success,
      failure: [],
    };
    state = ETCD_MODEL.apply({ ...state, leases }, request).next;
    log.push(state.log.at(-1)!);
  }
  return log;
}

function kvOf(log: readonly LoggedRevision[], revision: number) {
  const event = log[revision - 2]!.events[0] as KeyEvent & { kind: "put" };
  return event.kv;
}

const ONE = logOf([["a", "1"]]);
const TWO = logOf([["a", "1"]], [["a", "2"]]);
const PAIR = logOf([["a", "1"], ["b", "1"]]);
const LEASED = logOf([["a", "1", "7"]], [["a"]]);
const PAIR_TXN: TxnRequest = {
  kind: "txn",
  compares: [],
  success: [{ kind: "put", key: "a", value: "1" }, {
    kind: "put",
    key: "b",
    value: "1",
  }],
  failure: [],
};
const GRANT: Request = { kind: "grant", lease: "7", ttlSeconds: 5 };
const ENDLESS: Request = { kind: "grant", lease: "7", ttlSeconds: 600 };
const REVOKE: Request = { kind: "revoke", lease: "7" };
const found = (log: readonly LoggedRevision[], revision: number): OpResult => ({
  kind: "range",
  kvs: [kvOf(log, revision)],
});
const NONE: OpResult = { kind: "range", kvs: [] };

const CASES: readonly {
  readonly name: string;
  readonly operations: readonly Operation[];
  readonly log: readonly LoggedRevision[];
  /** Missing for a right history. */
  readonly wrong?: RegExp;
}[] = [
  { name: "nothing", operations: [], log: [] },
  {
    name: "two writes and a read",
    operations: [
      answered([1, 2], put("a", "1"), 2, PUT),
      answered([3, 4], put("a", "2"), 3, PUT),
      answered([5, 6], get("a"), 3, found(TWO, 3)),
    ],
    log: TWO,
  },
  {
    name: "a lost write",
    operations: [
      answered([1, 2], put("a", "1"), 2, PUT),
      answered([3, 4], put("a", "2"), 3, PUT),
    ],
    log: ONE,
    wrong: /revision 3 is not in the log/,
  },
  {
    name: "an acknowledged write that another one replaced",
    operations: [
      answered([1, 2], put("a", "9"), 2, PUT),
      unanswered([1, 2], put("a", "1")),
    ],
    log: ONE,
    wrong: /the log has .*"1"/,
  },
  {
    name: "a stale read",
    operations: [
      answered([1, 2], put("a", "1"), 2, PUT),
      answered([3, 4], put("a", "2"), 3, PUT),
      answered([5, 6], get("a"), 2, found(TWO, 2)),
    ],
    log: TWO,
    wrong: /saw revision 2, but 3 was known/,
  },
  {
    name: "a serializable read of the past",
    operations: [
      answered([1, 2], put("a", "1"), 2, PUT),
      answered([3, 4], put("a", "2"), 3, PUT),
      answered(
        [5, 6],
        { ...get("a"), isSerializable: true },
        2,
        found(TWO, 2),
      ),
    ],
    log: TWO,
  },
  {
    name: "a serializable read of the future",
    operations: [
      answered([1, 2], put("a", "1"), 2, PUT),
      answered(
        [3, 4],
        { ...get("a"), isSerializable: true },
        3,
        found(TWO, 3),
      ),
      answered([5, 6], put("a", "2"), 3, PUT),
    ],
    log: TWO,
    wrong: /wrote revision 3, but 3 was known/,
  },
  {
    name: "a read with the value of another revision",
    operations: [
      answered([1, 2], put("a", "1"), 2, PUT),
      answered([1, 4], put("a", "2"), 3, PUT),
      answered([1, 6], get("a"), 3, found(TWO, 2)),
    ],
    log: TWO,
    wrong: /another answer is right/,
  },
  {
    name: "a read at a revision",
    operations: [
      answered([1, 2], put("a", "1"), 2, PUT),
      answered([3, 4], put("a", "2"), 3, PUT),
      answered([5, 6], get("a", 2), 3, found(TWO, 2)),
    ],
    log: TWO,
  },
  {
    name: "a revision that goes back",
    operations: [
      answered([1, 2], put("a", "2"), 3, PUT),
      answered([3, 4], put("a", "1"), 2, PUT),
    ],
    log: TWO,
    wrong: /wrote revision 2, but 3 was known/,
  },
  {
    name: "a whole transaction",
    operations: [answered([1, 2], PAIR_TXN, 2, PUT, PUT)],
    log: PAIR,
  },
  {
    name: "a torn transaction",
    operations: [answered([1, 2], PAIR_TXN, 2, PUT, PUT)],
    log: ONE,
    wrong: /the log has/,
  },
  {
    name: "a torn transaction without an answer",
    operations: [unanswered([1, 2], PAIR_TXN)],
    log: ONE,
    wrong: /nobody asked for revision 2/,
  },
  {
    name: "a transaction torn over two revisions",
    operations: [answered([1, 2], PAIR_TXN, 2, PUT, PUT)],
    log: logOf([["a", "1"]], [["b", "1"]]),
    wrong: /nobody asked for revision 3/,
  },
  {
    name: "a write without an answer that happened",
    operations: [unanswered([1, 2], put("a", "1"))],
    log: ONE,
  },
  {
    name: "a write without an answer that did not happen",
    operations: [unanswered([1, 2], put("a", "1"))],
    log: [],
  },
  {
    name: "a write that was done twice",
    operations: [unanswered([1, 2], put("a", "1"))],
    log: logOf([["a", "1"]], [["a", "1"]]),
    wrong: /nobody asked for revision/,
  },
  {
    name: "an answered write that was done twice",
    operations: [answered([1, 2], put("a", "1"), 2, PUT)],
    log: logOf([["a", "1"]], [["a", "1"]]),
    wrong: /nobody asked for revision 3/,
  },
  {
    name: "two answers with one revision",
    operations: [
      answered([1, 2], put("a", "1"), 2, PUT),
      answered([1, 2], put("a", "1"), 2, PUT),
    ],
    log: ONE,
    wrong: /revision 2 is also/,
  },
  {
    name: "the phantom of a failed write",
    operations: [refused([1, 2], put("a", "1"), "other")],
    log: ONE,
    wrong: /nobody asked for revision 2/,
  },
  {
    name: "a write without an answer that happened after its server was dead",
    operations: [
      unanswered([1, 2], put("a", "1")),
      answered([3, 4], get("a"), 1, NONE),
    ],
    log: ONE,
    wrong: /nobody asked for revision 2/,
  },
  {
    name: "lost answers of equal operations, one in each life of the server",
    operations: [
      answered([1, 2], put("a", "1"), 2, PUT),
      unanswered([3, 4], single({ kind: "delete", key: "a" })),
      answered([5, 6], get("a"), 3, NONE),
      answered([7, 8], put("a", "2"), 4, PUT),
      unanswered([9, 10], single({ kind: "delete", key: "a" })),
    ],
    log: logOf([["a", "1"]], [["a"]], [["a", "2"]], [["a"]]),
  },
  {
    name: "a gap in the log",
    operations: [answered([1, 2], put("a", "1"), 3, PUT)],
    log: [{ revision: 3, events: ONE[0]!.events }],
    wrong: /revision 3 follows 1/,
  },
  {
    name: "a version that does not follow",
    operations: [answered([1, 2], put("a", "1"), 2, PUT)],
    log: [{
      revision: 2,
      events: [{ kind: "put", kv: { ...kvOf(ONE, 2), version: 4 } }],
    }],
    wrong: /version 4, not 1/,
  },
  {
    name: "a lease that ran out",
    operations: [
      answered([1, 2], GRANT, 1),
      answered([3, 4], put("a", "1", "7"), 2, PUT),
    ],
    log: LEASED,
  },
  {
    name: "a lease that ran out too early",
    operations: [
      { ...answered([1, 2], GRANT, 1), callMs: 0 },
      answered([3, 4], put("a", "1", "7"), 2, PUT),
      { ...answered([5, 6], { kind: "renew", lease: "7" }, 2), callMs: 4000 },
    ],
    log: [LEASED[0]!, { ...LEASED[1]!, seenMs: 8999 }],
    wrong: /4999 ms after it got 5000 ms/,
  },
  {
    name: "a lease that ran out in time",
    operations: [
      { ...answered([1, 2], GRANT, 1), callMs: 0 },
      answered([3, 4], put("a", "1", "7"), 2, PUT),
      { ...answered([5, 6], { kind: "renew", lease: "7" }, 2), callMs: 4000 },
    ],
    log: [LEASED[0]!, { ...LEASED[1]!, seenMs: 9000 }],
  },
  {
    name: "an endless lease that ran out",
    operations: [
      answered([1, 2], ENDLESS, 1),
      answered([3, 4], put("a", "1", "7"), 2, PUT),
    ],
    log: LEASED,
    wrong: /nobody asked for revision 3/,
  },
  {
    name: "a lease that was revoked",
    operations: [
      answered([1, 2], ENDLESS, 1),
      answered([3, 4], put("a", "1", "7"), 2, PUT),
      answered([5, 6], REVOKE, 3),
    ],
    log: LEASED,
  },
  {
    name: "a revoke without an answer",
    operations: [
      answered([1, 2], ENDLESS, 1),
      answered([3, 4], put("a", "1", "7"), 2, PUT),
      unanswered([5, 6], REVOKE),
    ],
    log: LEASED,
  },
  {
    name: "a lease that took only some of its keys along",
    operations: [
      answered([1, 2], GRANT, 1),
      answered([3, 4], put("a", "1", "7"), 2, PUT),
      answered([5, 6], put("b", "1", "7"), 3, PUT),
    ],
    log: logOf([["a", "1", "7"]], [["b", "1", "7"]], [["a"]]),
    wrong: /nobody asked for revision 4/,
  },
  {
    name: "a key put under a lease that was gone",
    operations: [
      answered([1, 2], ENDLESS, 1),
      answered([3, 4], put("a", "1", "7"), 2, PUT),
      answered([5, 6], REVOKE, 3),
      answered([7, 8], put("a", "2", "7"), 4, PUT),
    ],
    log: logOf([["a", "1", "7"]], [["a"]], [["a", "2", "7"]]),
    wrong: /it ended at 3/,
  },
  {
    name: "a key under a lease that nobody granted",
    operations: [answered([1, 2], put("a", "1", "7"), 2, PUT)],
    log: logOf([["a", "1", "7"]]),
    wrong: /nobody granted/,
  },
  {
    name: "a lease that was lost",
    operations: [
      answered([1, 2], ENDLESS, 1),
      refused([3, 4], put("a", "1", "7"), "lease not found"),
    ],
    log: [],
    wrong: /lease 7 was lost/,
  },
  {
    name: "a read below a compaction",
    operations: [
      answered([1, 2], put("a", "1"), 2, PUT),
      answered([3, 4], put("a", "2"), 3, PUT),
      answered([5, 6], { kind: "compact", revision: 3 }, 3),
      answered([7, 8], get("a", 2), 3, found(TWO, 2)),
    ],
    log: TWO,
    wrong: /that was compacted/,
  },
  {
    name: "a read refused for a compaction that nobody asked for",
    operations: [
      answered([1, 2], put("a", "1"), 2, PUT),
      refused([3, 4], get("a", 1), "compacted"),
    ],
    log: ONE,
    wrong: /nobody compacted that/,
  },
];

for (const { name, operations, log, wrong } of CASES) {
  Deno.test(`checkHistory() ${wrong ? "refuses" : "takes"} ${name}`, () => {
    const violations = checkHistory({ operations, log });
    if (wrong === undefined) assert.deepEqual(violations, []);
    else assert.match(violations.join("\n"), wrong);
  });
}

Deno.test("checkHistory() takes what a right server did", () => {
  for (const seed of seeds(40)) {
    const history = simulate(new Random(seed), { operations: 200, clients: 5 });
    assert.deepEqual(checkHistory(history), [], `STELE_SEED=${seed}`);
  }
});

Deno.test("checkHistory() takes no history that the search for an order refuses", () => {
  let refused = 0;
  for (const seed of seeds(150)) {
    const random = new Random(seed);
    const { operations, log } = simulate(random, {
      operations: 16,
      clients: 4,
    });
    const wrong = mutate(random, operations);
    if (isLinearizable(ETCD_MODEL, callsOf(wrong))) continue;
    refused++;
    const violations = checkHistory({ operations: wrong, log });
    assert.notDeepEqual(violations, [], `STELE_SEED=${seed}`);
  }
  if (Deno.env.get("STELE_SEED") === undefined) {
    assert.ok(refused > 50, `${refused} of 150 were refused`);
  }
});

/** Moves an operation in time, or gives it another's answer. */
function mutate(random: Random, operations: Operation[]): Operation[] {
  const answered = operations.filter((o) => o.outcome.kind === "ok");
  const victim = random.pick(answered);
  const other = random.pick(answered);
  const shift = 40;
  return operations.map((operation) => {
    if (operation !== victim) return operation;
    return random.oneIn(2) ? { ...operation, outcome: other.outcome } : {
      ...operation,
      call: operation.call + shift,
      return: operation.return + shift,
    };
  });
}
