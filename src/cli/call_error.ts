/** A call that failed: gRPC's code, and the server's message word for word. */
export class CallError extends Error {
  override name = "CallError";

  /** `code` is a gRPC status code, `endpoint` as the user wrote it. */
  constructor(
    readonly code: number,
    message: string,
    readonly endpoint: string,
  ) {
    super(message);
  }

  /** From what grpc-js throws, which has nothing to tell beyond this. */
  static of(error: unknown, endpoint: string): CallError {
    if (error instanceof CallError) return error;
    const { code, details, message } = error as {
      code?: unknown;
      details?: string;
      message: string;
    };
    const isStatus = typeof code === "number";
    const text = isStatus ? details ?? message : message;
    return new CallError(
      isStatus ? code : UNAVAILABLE,
      connectionFailure(text) ?? text,
      endpoint,
    );
  }

  /** No server answered; the message says why. */
  get isUnreachable(): boolean {
    return this.code === UNAVAILABLE;
  }
}

/** https://grpc.io/docs/guides/status-codes/ */
const UNAVAILABLE = 14;

/** The part of grpc-js' text that says what went wrong: `connect ECONNREFUSED 127.0.0.1:2379`. */
function connectionFailure(text: string): string | undefined {
  const match =
    /^No connection established\. Last error: (?:Error: )?(.*?)(?:\. Resolution note: .*)?$/
      .exec(text);
  return match?.[1]?.replace(/ \(\d{4}-[^)]*\)$/, "");
}
