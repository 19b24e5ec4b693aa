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
