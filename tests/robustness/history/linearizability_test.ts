import assert from "node:assert/strict";
import { Random, seeds } from "../../support/random.ts";
import { callsOf, ETCD_MODEL } from "./etcd_model.ts";
import { type Call, isLinearizable, type Model } from "./linearizability.ts";
import { simulate } from "./simulation.ts";

/** Registers that a key each names: what one does has no effect on another. */
interface RegisterInput {
  readonly key: string;
  /** Undefined: a read. */
  readonly write?: string;
}

const REGISTERS: Model<
  Readonly<Record<string, string>>,
  RegisterInput,
  string
> = {
  initial: {},
  apply(state, { key, write }) {
    if (write === undefined) return { next: state, output: state[key] ?? "" };
    return { next: { ...state, [key]: write }, output: "" };
  },
  isSame: (a, b) => a === b,
  digest: (state) => JSON.stringify(state),
  partition: ({ key }) => key,
};

type RegisterCall = Call<RegisterInput, string>;

function write(call: number, end: number, value: string): RegisterCall {
  return { call, return: end, input: { key: "x", write: value }, output: "" };
}

function read(call: number, end: number, value: string): RegisterCall {
  return { call, return: end, input: { key: "x" }, output: value };
}

function lost(call: number, end: number, value: string): RegisterCall {
  const input = { key: "x", write: value };
  return { call, return: end, input, output: undefined };
}

const CASES: readonly {
  readonly name: string;
  readonly calls: readonly RegisterCall[];
  readonly isRight: boolean;
}[] = [
  { name: "nothing", calls: [], isRight: true },
  {
    name: "a read after a write",
    calls: [write(1, 2, "a"), read(3, 4, "a")],
    isRight: true,
  },
  {
    name: "a stale read",
    calls: [write(1, 2, "a"), read(3, 4, "")],
    isRight: false,
  },
  {
    name: "a read beside a write, which sees it or not",
    calls: [write(1, 4, "a"), read(2, 3, "a"), read(2, 3, "")],
    isRight: true,
  },
  {
    name: "reads one after the other that see a write come and go",
    calls: [write(1, 10, "a"), read(2, 3, "a"), read(4, 5, "")],
    isRight: false,
  },
  {
    name: "calls that touch in time count as overlapping",
    calls: [write(1, 2, "a"), read(2, 3, "")],
    isRight: true,
  },
  {
    name: "a lost answer whose write happened",
    calls: [lost(1, 9, "a"), read(2, 3, ""), read(4, 5, "a")],
    isRight: true,
  },
  {
    name: "a lost answer whose write never happened",
    calls: [lost(1, 2, "a"), read(3, 4, ""), read(5, 6, "")],
    isRight: true,
  },
  {
    name: "a lost answer whose write happened after its server was dead",
    calls: [lost(1, 2, "a"), read(3, 4, ""), read(5, 6, "a")],
    isRight: false,
  },
  {
    name: "a value that nobody wrote",
    calls: [write(1, 2, "a"), read(1, 3, "b")],
    isRight: false,
  },
  {
    name: "two readers that disagree on the order of two writes",
    calls: [
      write(1, 10, "a"),
      write(1, 10, "b"),
      read(11, 12, "a"),
      read(13, 14, "b"),
    ],
    isRight: false,
  },
];

for (const { name, calls, isRight } of CASES) {
  Deno.test(`isLinearizable() ${isRight ? "takes" : "refuses"} ${name}`, () => {
    assert.equal(isLinearizable(REGISTERS, calls), isRight);
  });
}

Deno.test("isLinearizable() takes parts that do not depend on one another apart", () => {
  // Together these are 3^60 states; apart they are sixty small ones.
  const calls = Array.from({ length: 60 }, (_, i): RegisterCall => ({
    ...lost(1, 100, "a"),
    input: { key: `${i}`, write: "a" },
  }));
  assert.ok(isLinearizable(REGISTERS, calls));
  const stale: RegisterCall[] = [
    ...calls,
    { ...write(1, 2, "b"), input: { key: "7", write: "b" } },
    { ...read(101, 102, ""), input: { key: "7" } },
  ];
  assert.ok(!isLinearizable(REGISTERS, stale));
});

Deno.test("isLinearizable() takes what a right server did, and refuses it with an answer swapped", () => {
  let refused = 0;
  for (const seed of seeds(60)) {
    const random = new Random(seed);
    const { operations } = simulate(random, { operations: 24, clients: 4 });
    assert.ok(
      isLinearizable(ETCD_MODEL, callsOf(operations)),
      `STELE_SEED=${seed}`,
    );
    const answered = operations.filter((o) => o.outcome.kind === "ok");
    const [a, b] = [random.pick(answered), random.pick(answered)];
    const wrong = operations.map((o) =>
      o === a ? { ...o, outcome: b.outcome } : o
    );
    if (!isLinearizable(ETCD_MODEL, callsOf(wrong))) refused++;
  }
  if (Deno.env.get("STELE_SEED") === undefined) {
    assert.ok(refused > 30, `${refused} of 60 were refused`);
  }
});
