import type { Fault, FaultPlan } from "../../support/fault_proxy_connection.ts";
import type { DatabaseError } from "../../support/fault_proxy_wire.ts";
import type { Random } from "../../support/random.ts";

/** Which faults a run mixes, and how often. */
export interface FaultMixOptions {
  /** One statement in so many that add a batch meets a fault. */
  readonly appendsOneIn: number;
  /** One in so many of all others, connections included. */
  readonly othersOneIn: number;
  /** One fault in so many is a connection that goes silent until the client's own time limit; 0: none. */
  readonly silentOneIn: number;
}

/** What an engine's servers say. */
export interface EngineErrors {
  /** To a statement that was not, and will not be, executed. */
  readonly refusals: readonly DatabaseError[];
  /** When a commit fails. */
  readonly commitFailures: readonly DatabaseError[];
  /** When nobody knows what became of the statement. */
  readonly losses: readonly DatabaseError[];
  /** To who connects. */
  readonly unwelcome: readonly DatabaseError[];
}

/** A mixture of faults from a seed; the same seed draws the same faults, for requests that come as they like. */
export function faultMix(
  errors: EngineErrors,
  random: Random,
  options: FaultMixOptions,
): FaultPlan {
  return ({ kind, statement }) => {
    const adds = isAppend(statement);
    const oneIn = adds ? options.appendsOneIn : options.othersOneIn;
    if (!random.oneIn(oneIn)) return undefined;
    if (kind === "connect") return connectFault(errors, random);
    const { silentOneIn } = options;
    if (silentOneIn > 0 && random.oneIn(silentOneIn)) return silence(random);
    return adds ? appendFault(errors, random) : readFault(errors, random);
  };
}

/** Whether a statement adds a batch, in any engine. */
export function isAppend(statement: string): boolean {
  return /INSERT INTO \w+batch/i.test(statement);
}

function connectFault({ unwelcome }: EngineErrors, random: Random): Fault {
  return random.oneIn(2)
    ? { kind: "cutBefore" }
    : { kind: "error", error: random.pick(unwelcome) };
}

function cutInAnswer(random: Random): Fault {
  return { kind: "cutInAnswer", share: random.int(100) / 100 };
}

function silence(random: Random): Fault {
  return random.oneIn(2)
    ? { kind: "late", ms: random.int(100) }
    : { kind: random.pick(["drop", "dropAnswer"]) };
}

function appendFault(errors: EngineErrors, random: Random): Fault {
  return random.pick<() => Fault>([
    () => ({ kind: "cutBefore" }),
    () => ({ kind: "cutAfter" }),
    () => cutInAnswer(random),
    () => ({ kind: "delay", ms: random.int(30) }),
    () => ({ kind: "delayAnswer", ms: random.int(30) }),
    () => ({ kind: "error", error: random.pick(errors.refusals) }),
    () => ({ kind: "undone", error: random.pick(errors.commitFailures) }),
    () => ({ kind: "errorAfter", error: random.pick(errors.losses) }),
  ])();
}

function readFault(errors: EngineErrors, random: Random): Fault {
  return random.pick<() => Fault>([
    () => ({ kind: "cutBefore" }),
    () => cutInAnswer(random),
    () => ({ kind: "delay", ms: random.int(30) }),
    () => ({ kind: "error", error: random.pick(errors.refusals) }),
  ])();
}
