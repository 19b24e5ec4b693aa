import type { Clock } from "../../../base/clock.ts";
import { isRuntimeFault } from "../../../base/runtime_fault.ts";
import type { Answer, Request } from "./protocol.ts";
import { type DialectMaker, WorkerLoop } from "./worker_loop.ts";

/** Makes this thread a database worker: it answers what the main thread asks until it is terminated. */
export function serveDatabase(
  makeDialect: DialectMaker,
  clock: Clock,
): void {
  const scope = self as unknown as {
    onmessage: (event: MessageEvent<Request>) => void;
    postMessage(answer: Answer, transfer: ArrayBuffer[]): void;
  };
  addEventListener("unhandledrejection", (event) => {
    if (isRuntimeFault(event.reason)) event.preventDefault();
  });
  const loop = new WorkerLoop(makeDialect, clock, {
    post: (answer, transfer) => scope.postMessage(answer, transfer),
    fail: (error) => reportError(error),
  });
  scope.onmessage = ({ data }) => void loop.receive(data);
}
