import type { Random } from "../../support/random.ts";
import { ETCD_MODEL } from "./etcd_model.ts";
import type { LoggedRevision, Operation, Request } from "./operation.ts";
import { single } from "./operation.ts";

/** A history as a right server would have made it, of clients whose calls overlap. */
export function simulate(
  random: Random,
  options: { readonly operations: number; readonly clients: number },
): { operations: Operation[]; log: readonly LoggedRevision[] } {
  interface Open {
    readonly call: number;
    readonly request: Request;
    outcome?: Operation["outcome"];
    isSilent: boolean;
  }
  const open: (Open | undefined)[] = Array.from({ length: options.clients });
  const operations: Operation[] = [];
  let state = ETCD_MODEL.initial;
  let stamp = 0;
  let begun = 0;
  while (operations.length < options.operations) {
    const client = random.int(options.clients);
    const current = open[client];
    stamp++;
    if (current === undefined) {
      if (begun >= options.operations) continue;
      begun++;
      const request = randomRequest(random, begun, state.log.length);
      open[client] = { call: stamp, request, isSilent: false };
    } else if (current.outcome === undefined) {
      // A few are never answered: some of them happen, some do not.
      current.isSilent = random.oneIn(8);
      if (current.isSilent && random.oneIn(2)) {
        current.outcome = { kind: "unknown" };
      } else {
        const { next, output } = ETCD_MODEL.apply(state, current.request);
        state = next;
        current.outcome = output;
      }
    } else {
      const { call, request, outcome, isSilent } = current;
      operations.push({
        client,
        call,
        return: stamp,
        request,
        outcome: isSilent ? { kind: "unknown" } : outcome,
      });
      open[client] = undefined;
    }
  }
  return { operations, log: state.log };
}

function randomRequest(
  random: Random,
  serial: number,
  revisions: number,
): Request {
  const key = random.pick(["a", "b", "c"]);
  const value = `v${serial}`;
  switch (random.int(7)) {
    case 0:
      return single({ kind: "delete", key });
    case 1:
      return single({ kind: "range", key: "a", end: "d" });
    case 2:
      return single({
        kind: "range",
        key,
        revision: 1 + random.int(revisions + 1),
      });
    case 3:
      return {
        kind: "txn",
        compares: [{ key, target: "version", relation: "=", operand: 1 }],
        success: [{ kind: "put", key: "a", value }, {
          kind: "put",
          key: "b",
          value,
        }],
        failure: [{ kind: "range", key }],
      };
    default:
      return single({ kind: "put", key, value });
  }
}
