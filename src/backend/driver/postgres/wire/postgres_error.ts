/** What the server, or the connection to it, says is wrong. */
export class PostgresError extends Error {
  override name = "PostgresError";
  /** SQLSTATE. */
  readonly code: string;

  constructor(message: string, code: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** SQLSTATE of a connection that ended, as `libpq` has it. */
export const CONNECTION_FAILURE = "08006";
/** SQLSTATE of a connection that never came to be. */
export const UNABLE_TO_CONNECT = "08001";
/** SQLSTATE of a server, or a session, that takes no writes. */
export const READ_ONLY = "25006";

const CODE = "C".charCodeAt(0);
const MESSAGE = "M".charCodeAt(0);
const UTF8 = new TextDecoder();

/** Reads the body of an ErrorResponse. What it says beyond code and message may hold data, and is left alone. */
export function parseError(body: Uint8Array): PostgresError {
  let code = "";
  let message = "";
  for (let at = 0; at < body.length && body[at] !== 0;) {
    const field = body[at]!;
    const end = body.indexOf(0, at + 1);
    if (end < 0) break;
    const text = UTF8.decode(body.subarray(at + 1, end));
    if (field === CODE) code = text;
    else if (field === MESSAGE) message = text;
    at = end + 1;
  }
  return new PostgresError(
    message,
    isNoDatabase(code, message) ? NO_DATABASE : code,
  );
}

const NO_DATABASE = "3D000";

/** PgBouncer passes the server's text on, with a code of its own, and has another text for what it does not know. */
function isNoDatabase(code: string, message: string): boolean {
  return code === "08P01" &&
    /^(database ".*" does not exist|no such database)/.test(message);
}
