/** gRPC status codes (grpc/doc/statuscodes.md). */
export const Code = {
  Ok: 0,
  Canceled: 1,
  Unknown: 2,
  InvalidArgument: 3,
  DeadlineExceeded: 4,
  NotFound: 5,
  AlreadyExists: 6,
  PermissionDenied: 7,
  ResourceExhausted: 8,
  FailedPrecondition: 9,
  Aborted: 10,
  OutOfRange: 11,
  Unimplemented: 12,
  Internal: 13,
  Unavailable: 14,
  DataLoss: 15,
  Unauthenticated: 16,
} as const;

/** One of the numbers in `Code`. */
export type Code = typeof Code[keyof typeof Code];

const NAMES = new Map(
  Object.entries(Code).map(([name, code]): [Code, string] => [code, name]),
);

/** A code's name as Go prints it: `OK`, `PermissionDenied`, …; `Code(42)` for one that there is not. */
export function codeName(code: Code): string {
  return code === Code.Ok ? "OK" : NAMES.get(code) ?? `Code(${code})`;
}

/** How a call ended. */
export interface Status {
  readonly code: Code;
  readonly message: string;
}

/** Thrown by a handler to end its call with this status. */
export class StatusError extends Error implements Status {
  override name = "StatusError";

  constructor(readonly code: Code, message: string) {
    super(message);
  }
}
