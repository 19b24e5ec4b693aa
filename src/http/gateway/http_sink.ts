import type { ServerResponse } from "node:http";
import { Code, type Status } from "../../transport/grpc/status.ts";
import { type AnswerSink, statusJson } from "./answer_sink.ts";
import type { JsonRenderer } from "./json_renderer.ts";

/** HTTP statuses by gRPC code, as grpc-gateway has them (runtime/errors.go). */
const HTTP_STATUS: Readonly<Record<Code, number>> = {
  [Code.Ok]: 200,
  [Code.Canceled]: 499,
  [Code.Unknown]: 500,
  [Code.InvalidArgument]: 400,
  [Code.DeadlineExceeded]: 504,
  [Code.NotFound]: 404,
  [Code.AlreadyExists]: 409,
  [Code.PermissionDenied]: 403,
  [Code.ResourceExhausted]: 429,
  [Code.FailedPrecondition]: 400,
  [Code.Aborted]: 409,
  [Code.OutOfRange]: 400,
  [Code.Unimplemented]: 501,
  [Code.Internal]: 500,
  [Code.Unavailable]: 503,
  [Code.DataLoss]: 500,
  [Code.Unauthenticated]: 401,
};

const ENCODER = new TextEncoder();

/** Writes answers to an HTTP response: `{…}` for a unary call, a line `{"result":{…}}` for each of a stream. */
export class HttpSink implements AnswerSink {
  onDrain: (() => void) | undefined = undefined;
  readonly #response: ServerResponse;
  #isEnded = false;

  constructor(response: ServerResponse) {
    this.#response = response;
    response.on("drain", () => this.onDrain?.());
  }

  get bufferedBytes(): number {
    return this.#response.writableLength;
  }

  answer(message: JsonRenderer): void {
    if (this.#isEnded) return;
    const first = ENCODER.encode(message.next());
    const second = message.next();
    this.#isEnded = true;
    setAnswerHeaders(this.#response);
    if (second === undefined) {
      this.#response.writeHead(200, { "Content-Length": first.length });
      this.#response.end(first);
      return;
    }
    this.#response.writeHead(200);
    this.#response.write(first);
    this.#response.write(second);
    this.onDrain = () => this.#writeRest(message);
    this.#writeRest(message);
  }

  refuse(status: Status): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    sendStatusJson(this.#response, status);
  }

  result(message: JsonRenderer): void {
    if (this.#isEnded) return;
    this.#begin();
    let text = '{"result":';
    for (;;) {
      const piece = message.next();
      if (piece === undefined) break;
      this.#response.write(text + piece);
      text = "";
    }
    this.#response.write("}\n");
  }

  end(status: Status): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    const response = this.#response;
    if (status.code === Code.Ok) {
      response.end();
      return;
    }
    if (!response.headersSent) {
      response.setHeader("Content-Type", "application/json");
      response.writeHead(HTTP_STATUS[status.code]);
    }
    response.end(`{"error":${statusJson(status)}}\n`);
  }

  #begin(): void {
    if (this.#response.headersSent) return;
    setAnswerHeaders(this.#response);
    this.#response.writeHead(200);
  }

  /** Writes as much as the socket takes; the rest when it takes more. */
  #writeRest(message: JsonRenderer): void {
    try {
      while (!this.#response.writableNeedDrain) {
        const piece = message.next();
        if (piece === undefined) {
          this.onDrain = undefined;
          this.#response.end();
          return;
        }
        this.#response.write(piece);
      }
    } catch {
      // Half an answer is sent: all that is left is to let the client see that it is not whole.
      this.onDrain = undefined;
      this.#response.destroy();
    }
  }
}

/** A whole answer that says what went wrong, as `google.rpc.Status`. */
export function sendStatusJson(
  response: ServerResponse,
  status: Status,
): void {
  const body = ENCODER.encode(statusJson(status));
  response.setHeader("Content-Type", "application/json");
  if (status.code === Code.Unauthenticated) {
    response.setHeader("Www-Authenticate", headerText(status.message));
  }
  response.writeHead(HTTP_STATUS[status.code], {
    "Content-Length": body.length,
  });
  response.end(body);
}

/** grpc-gateway tells the gRPC response's content type; clients may look at it as at any other metadata. */
function setAnswerHeaders(response: ServerResponse): void {
  response.setHeader("Content-Type", "application/json");
  response.setHeader("Grpc-Metadata-Content-Type", "application/grpc");
}

function headerText(message: string): string {
  return message.replace(/[^\x20-\x7e]/g, " ");
}
