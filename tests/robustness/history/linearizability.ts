/** What a sequential object does. States and outputs are never changed once made. */
export interface Model<State, Input, Output> {
  readonly initial: State;
  apply(state: State, input: Input): { next: State; output: Output };
  isSame(a: Output, b: Output): boolean;
  /** Equal for equal states and for no others. */
  digest(state: State): string;
  /** Splits a history into parts that do not depend on one another; without it, there is one part. */
  partition?(input: Input): string;
}

/** One call: over before another began if its `return` is less than the other's `call`. */
export interface Call<Input, Output> {
  readonly call: number;
  readonly return: number;
  readonly input: Input;
  /** Undefined if no answer came: the call took effect between `call` and `return`, or never. */
  readonly output: Output | undefined;
}

/** The states looked at before a search is given up: 2 million take seconds and some 500 MB. */
const MAX_STATES = 2_000_000;

/**
 * Whether there is an order of the calls, true to real time, in which the model gives the same answers:
 * Wing and Gong's search, with what was searched remembered as (calls that are done, state), as Lowe does
 * ("Testing for linearizability", 2017). Exponential at worst; for histories of some hundred calls.
 * Throws if it had to give up.
 */
export function isLinearizable<State, Input, Output>(
  model: Model<State, Input, Output>,
  calls: readonly Call<Input, Output>[],
): boolean {
  const parts = new Map<string, Call<Input, Output>[]>();
  for (const call of calls) {
    const part = model.partition?.(call.input) ?? "";
    if (!parts.has(part)) parts.set(part, []);
    parts.get(part)!.push(call);
  }
  return [...parts.values()].every((part) => isPartLinearizable(model, part));
}

interface Node<State> {
  readonly done: bigint;
  readonly state: State;
}

function isPartLinearizable<State, Input, Output>(
  model: Model<State, Input, Output>,
  unordered: readonly Call<Input, Output>[],
): boolean {
  const calls = [...unordered].sort((a, b) => a.call - b.call);
  const all = (1n << BigInt(calls.length)) - 1n;
  const seen = new Set<string>();
  // A stack of our own: recursion would be as deep as the history is long.
  const open: Node<State>[] = [{ done: 0n, state: model.initial }];
  const visit = (done: bigint, state: State) => {
    const name = `${done.toString(36)} ${model.digest(state)}`;
    if (seen.has(name)) return;
    if (seen.size >= MAX_STATES) {
      throw new Error("Cannot check history: too many orders are possible");
    }
    seen.add(name);
    open.push({ done, state });
  };
  for (;;) {
    const node = open.pop();
    if (node === undefined) return false;
    const { done, state } = node;
    if (done === all) return true;
    for (const i of candidates(calls, done)) {
      const { input, output } = calls[i]!;
      const after = done | (1n << BigInt(i));
      const step = model.apply(state, input);
      if (output === undefined) visit(after, state); // it never took effect
      if (output === undefined || model.isSame(step.output, output)) {
        visit(after, step.next);
      }
    }
  }
}

/** The calls that can be next: those that began before any of the others was over. */
function candidates(
  calls: readonly Call<unknown, unknown>[],
  done: bigint,
): number[] {
  const waiting: number[] = [];
  let firstReturn = Infinity;
  for (let i = 0; i < calls.length; i++) {
    if ((done >> BigInt(i)) & 1n) continue;
    const call = calls[i]!;
    if (call.call > firstReturn) break;
    waiting.push(i);
    firstReturn = Math.min(firstReturn, call.return);
  }
  return waiting.filter((i) => calls[i]!.call <= firstReturn);
}
