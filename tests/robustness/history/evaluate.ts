import type {
  Compare,
  KeyEvent,
  KeyOp,
  KeyVersion,
  OpResult,
  Outcome,
  TxnRequest,
} from "./operation.ts";

/** Keys at a revision and before. */
export interface KeyView {
  readonly revision: number;
  /** Reads below it are refused; 0 before the first compaction. */
  readonly compactRevision: number;
  at(key: string, revision: number): KeyVersion | undefined;
  /** In order of keys. */
  range(key: string, end: string, revision: number): KeyVersion[];
  hasLease(id: string): boolean;
}

export interface Evaluation {
  readonly outcome: Outcome;
  /** Empty if nothing changed: then there is no new revision. */
  readonly events: readonly KeyEvent[];
}

/**
 * What etcd does with a transaction (server/etcdserver/txn/txn.go): one branch, operations in order, each
 * seeing those before it, all changes at one revision.
 */
export function evaluate(view: KeyView, request: TxnRequest): Evaluation {
  const refuse = (refusal: "compacted" | "future revision"): Evaluation => ({
    outcome: { kind: "failed", refusal },
    events: [],
  });
  const succeeded = request.compares.every((c) => holds(view, c));
  const overlay = new Overlay(view);
  const results: OpResult[] = [];
  const ops = succeeded ? request.success : request.failure;
  for (const op of ops) {
    if (op.kind === "put" && !view.hasLease(op.lease ?? "0")) {
      return {
        outcome: { kind: "failed", refusal: "lease not found" },
        events: [],
      };
    }
    if (op.kind === "range" && (op.revision ?? 0) > 0) {
      if (op.revision! > view.revision) return refuse("future revision");
      if (op.revision! < view.compactRevision) return refuse("compacted");
    }
    results.push(overlay.apply(op));
  }
  const { events } = overlay;
  const revision = view.revision + (events.length > 0 ? 1 : 0);
  return {
    outcome: { kind: "ok", response: { revision, succeeded, results } },
    events,
  };
}

/** etcd takes a missing key for one of zeros; only a value is never equal to a missing one. */
export function holds(view: KeyView, compare: Compare): boolean {
  const kv = view.at(compare.key, view.revision);
  if (compare.target === "value" && kv === undefined) return false;
  const actual = {
    version: kv?.version ?? 0,
    create: kv?.createRevision ?? 0,
    mod: kv?.modRevision ?? 0,
    value: kv?.value ?? "",
    lease: kv?.lease ?? "0",
  }[compare.target];
  const { relation, operand } = compare;
  switch (relation) {
    case "=":
      return actual === operand;
    case "!=":
      return actual !== operand;
    case "<":
      return actual < operand;
    case ">":
      return actual > operand;
  }
}

/** What a transaction has done so far, over what was there before it. */
class Overlay {
  readonly events: KeyEvent[] = [];
  readonly #changed = new Map<string, KeyVersion | undefined>();

  constructor(readonly view: KeyView) {}

  apply(op: KeyOp): OpResult {
    switch (op.kind) {
      case "put": {
        const modRevision = this.view.revision + 1;
        const before = this.#get(op.key);
        const kv: KeyVersion = {
          key: op.key,
          value: op.value,
          createRevision: before?.createRevision ?? modRevision,
          modRevision,
          version: (before?.version ?? 0) + 1,
          lease: op.lease ?? "0",
        };
        this.#changed.set(op.key, kv);
        this.events.push({ kind: "put", kv });
        return { kind: "put" };
      }
      case "delete": {
        const found = this.#range(op.key, op.end, this.view.revision);
        for (const { key } of found) {
          this.#changed.set(key, undefined);
          this.events.push({ kind: "delete", key });
        }
        return { kind: "delete", deleted: found.length };
      }
      case "range": {
        const isPast = (op.revision ?? 0) > 0;
        return {
          kind: "range",
          kvs: isPast
            ? this.#past(op.key, op.end, op.revision!)
            : this.#range(op.key, op.end, this.view.revision),
        };
      }
    }
  }

  #get(key: string): KeyVersion | undefined {
    return this.#changed.has(key)
      ? this.#changed.get(key)
      : this.view.at(key, this.view.revision);
  }

  #past(key: string, end: string | undefined, revision: number): KeyVersion[] {
    if (end !== undefined) return this.view.range(key, end, revision);
    const kv = this.view.at(key, revision);
    return kv === undefined ? [] : [kv];
  }

  #range(key: string, end: string | undefined, revision: number): KeyVersion[] {
    if (end === undefined) {
      const kv = this.#get(key);
      return kv === undefined ? [] : [kv];
    }
    const found = new Map<string, KeyVersion | undefined>();
    for (const kv of this.view.range(key, end, revision)) found.set(kv.key, kv);
    for (const [name, kv] of this.#changed) {
      if (name >= key && name < end) found.set(name, kv);
    }
    return [...found.values()]
      .filter((kv) => kv !== undefined)
      .sort((a, b) => a.key < b.key ? -1 : 1);
  }
}
