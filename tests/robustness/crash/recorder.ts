import type { Operation, Outcome, Request } from "../history/operation.ts";

type Unfinished = { -readonly [Name in keyof Operation]: Operation[Name] };

/** Writes down what clients do, with stamps from one counter. */
export class Recorder {
  readonly operations: Operation[] = [];
  readonly #unknown: Unfinished[] = [];
  #stamp = 0;

  /** Records a call around `run`, which says how it went. */
  async record(
    client: number,
    request: Request,
    run: () => Promise<Outcome>,
  ): Promise<Outcome> {
    const call = ++this.#stamp;
    const callMs = performance.now();
    const outcome = await run();
    const operation: Unfinished = {
      client,
      call,
      callMs,
      return: ++this.#stamp,
      request,
      outcome,
    };
    if (outcome.kind === "unknown") {
      operation.return = Infinity;
      this.#unknown.push(operation);
    }
    this.operations.push(operation);
    return outcome;
  }

  /** The server is dead: what had no answer until now did not happen later. */
  serverDied(): void {
    const stamp = ++this.#stamp;
    for (const operation of this.#unknown) operation.return = stamp;
    this.#unknown.length = 0;
  }
}
