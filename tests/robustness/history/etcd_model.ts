import { isDeepStrictEqual } from "node:util";
import { evaluate, type KeyView } from "./evaluate.ts";
import { KeyHistory } from "./key_history.ts";
import type { Call, Model } from "./linearizability.ts";
import type {
  KeyEvent,
  LoggedRevision,
  Operation,
  Outcome,
  Refusal,
  Request,
} from "./operation.ts";

/** etcd's keys and leases as a sequential object. */
export interface EtcdState {
  readonly log: readonly LoggedRevision[];
  readonly leases: ReadonlySet<string>;
  readonly compactRevision: number;
}

/** For small histories: a state is a log, so that each step costs its length. Leases have no time. */
export const ETCD_MODEL: Model<EtcdState, Request, Outcome> = {
  initial: { log: [], leases: new Set(), compactRevision: 0 },
  apply: (state, request) => {
    const { next, outcome } = apply(state, request);
    return { next, output: outcome };
  },
  isSame: (a, b) => isDeepStrictEqual(a, b),
  digest: ({ log, leases, compactRevision }) =>
    JSON.stringify([log, [...leases].sort(), compactRevision]),
};

/** A history as the search for an order takes it. */
export function callsOf(
  operations: readonly Operation[],
): Call<Request, Outcome>[] {
  return operations.map(({ call, return: returned, request, outcome }) => ({
    call,
    return: returned,
    input: request,
    output: outcome.kind === "unknown" ? undefined : outcome,
  }));
}

interface Step {
  readonly next: EtcdState;
  readonly outcome: Outcome;
}

function apply(state: EtcdState, request: Request): Step {
  const view = viewOf(state);
  switch (request.kind) {
    case "txn": {
      const { outcome, events } = evaluate(view, request);
      return { next: append(state, events), outcome };
    }
    case "grant":
      if (state.leases.has(request.lease)) return refuse(state, "lease exists");
      return answer({
        ...state,
        leases: new Set([...state.leases, request.lease]),
      });
    case "renew":
      if (!view.hasLease(request.lease)) {
        return refuse(state, "lease not found");
      }
      return answer(state);
    case "revoke": {
      if (!state.leases.has(request.lease)) {
        return refuse(state, "lease not found");
      }
      const leases = new Set(state.leases);
      leases.delete(request.lease);
      const events = view.range("", "\x7f", view.revision)
        .filter((kv) => kv.lease === request.lease)
        .map(({ key }): KeyEvent => ({ kind: "delete", key }));
      return answer({ ...append(state, events), leases });
    }
    case "compact":
      if (request.revision > view.revision) {
        return refuse(state, "future revision");
      }
      if (request.revision <= state.compactRevision) {
        return refuse(state, "compacted");
      }
      return answer({ ...state, compactRevision: request.revision });
  }
}

function viewOf(state: EtcdState): KeyView {
  const keys = new KeyHistory(state.log);
  const revision = revisionOf(state);
  return {
    ...keys.view(revision),
    compactRevision: state.compactRevision,
    hasLease: (id) => id === "0" || state.leases.has(id),
  };
}

function revisionOf(state: EtcdState): number {
  return state.log.at(-1)?.revision ?? 1;
}

function append(state: EtcdState, events: readonly KeyEvent[]): EtcdState {
  if (events.length === 0) return state;
  const revision = revisionOf(state) + 1;
  return { ...state, log: [...state.log, { revision, events }] };
}

function answer(next: EtcdState): Step {
  const revision = revisionOf(next);
  return {
    next,
    outcome: {
      kind: "ok",
      response: { revision, succeeded: true, results: [] },
    },
  };
}

function refuse(next: EtcdState, refusal: Refusal): Step {
  return { next, outcome: { kind: "failed", refusal } };
}
