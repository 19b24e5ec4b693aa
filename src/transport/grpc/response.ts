import { utf8 } from "../../base/bytes.ts";
import { HeaderBlock } from "../http2/header_block.ts";
import type { ServerStream } from "../http2/server_stream.ts";
import { encodeGrpcMessage } from "./metadata.ts";
import { Code, type Status } from "./status.ts";

export const OK_HEAD: HeaderBlock = new HeaderBlock([
  ":status",
  "200",
  "content-type",
  "application/grpc",
]);
export const OK_TAIL: HeaderBlock = new HeaderBlock(["grpc-status", "0"]);
const NO_TRAILERS: HeaderBlock = new HeaderBlock([]);

/** The header fields of a status; those of OK are constants. */
export function trailersOf(status: Status): HeaderBlock {
  if (status.code === Code.Ok) return OK_TAIL;
  return new HeaderBlock(statusFields(status));
}

/** Ends a stream that has sent nothing yet: headers and trailers in one. `fields` come on top. */
export function sendStatus(
  stream: ServerStream,
  status: Status,
  { httpStatus = 200, fields = [] }: {
    readonly httpStatus?: number;
    readonly fields?: readonly string[];
  } = {},
): void {
  const block = new HeaderBlock([
    ":status",
    String(httpStatus),
    "content-type",
    "application/grpc",
    ...statusFields(status),
    ...fields,
  ]);
  stream.sendHeaders(block, true);
}

/** The same for a client that does not speak gRPC, which is shown the message as a text. */
export function sendPlain(
  stream: ServerStream,
  status: Status,
  httpStatus: number,
): void {
  const block = new HeaderBlock([
    ":status",
    String(httpStatus),
    "content-type",
    "text/plain; charset=utf-8",
    ...statusFields(status),
  ]);
  stream.sendHeaders(block, false);
  stream.sendData(utf8(`${status.message}\n`));
  stream.sendTrailers(NO_TRAILERS);
}

function statusFields({ code, message }: Status): string[] {
  const fields = ["grpc-status", String(code)];
  if (message !== "") fields.push("grpc-message", encodeGrpcMessage(message));
  return fields;
}
