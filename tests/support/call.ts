import type { Call } from "../../src/transport/grpc/service.ts";

/** A call of a client that says nothing of itself and has all the time. */
export function callOf(path: string): Call {
  return {
    path,
    peer: "127.0.0.1:1",
    certificateName: undefined,
    metadata: () => undefined,
    deadlineMs: Infinity,
    isCancelled: false,
    signal: new AbortController().signal,
  };
}
