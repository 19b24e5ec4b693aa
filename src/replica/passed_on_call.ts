import type { Call } from "../transport/grpc/service.ts";

/** The stream that a call came over. */
export interface CallOrigin {
  readonly peer: string;
  /** The stream is over: nobody waits any more. */
  readonly isOver: boolean;
  readonly signal: AbortSignal;
}

/** A call that another replica passed on. It brings no metadata: who calls is vouched for. */
export class PassedOnCall implements Call {
  readonly certificateName = undefined;
  /** Whoever asked the other replica is told by it. */
  readonly deadlineMs = Infinity;

  constructor(readonly path: string, readonly origin: CallOrigin) {}

  get peer(): string {
    return this.origin.peer;
  }

  metadata(): undefined {
    return undefined;
  }

  get isCancelled(): boolean {
    return this.origin.isOver;
  }

  get signal(): AbortSignal {
    return this.origin.signal;
  }
}
