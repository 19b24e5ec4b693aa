import { ErrorCode } from "./frame.ts";

/** Breaks one call: the stream is reset with `code`, the connection goes on (RFC 9113 §5.4.2). */
export class StreamError extends Error {
  override name = "StreamError";

  constructor(
    readonly streamId: number,
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

/** Breaks all calls: GOAWAY with `code` and `message` as debug data, then the end (RFC 9113 §5.4.1). */
export class ConnectionError extends Error {
  override name = "ConnectionError";

  constructor(readonly code: number, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

export function malformed(id: number, message: string): StreamError {
  return new StreamError(id, ErrorCode.ProtocolError, message);
}

export function selfDependent(id: number): StreamError {
  return malformed(id, "stream depends on itself");
}

export function protocolError(message: string): ConnectionError {
  return new ConnectionError(ErrorCode.ProtocolError, message);
}

export function frameSizeError(what: string): ConnectionError {
  return new ConnectionError(
    ErrorCode.FrameSizeError,
    `${what}: invalid length`,
  );
}

export function flowControlError(message: string): ConnectionError {
  return new ConnectionError(ErrorCode.FlowControlError, message);
}
