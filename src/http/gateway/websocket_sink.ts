import { Code, type Status } from "../../transport/grpc/status.ts";
import type { WebSocketConnection } from "../../transport/websocket.ts";
import { type AnswerSink, statusJson } from "./answer_sink.ts";
import type { JsonRenderer } from "./json_renderer.ts";

/** Close codes (RFC 6455, 7.4.1). */
const NORMAL_CLOSURE = 1000;

/** Writes answers to a WebSocket: a text message each, `{"result":{…}}` or `{"error":{…}}` as the lines over HTTP. */
export class WebSocketSink implements AnswerSink {
  onDrain: (() => void) | undefined = undefined;
  readonly #connection: WebSocketConnection;
  #isEnded = false;

  constructor(connection: WebSocketConnection) {
    this.#connection = connection;
  }

  get bufferedBytes(): number {
    return this.#connection.bufferedBytes;
  }

  answer(message: JsonRenderer): void {
    this.#sendAndClose(message.rest());
  }

  refuse(status: Status): void {
    this.#sendAndClose(statusJson(status));
  }

  result(message: JsonRenderer): void {
    if (this.#isEnded) return;
    this.#connection.send(`{"result":${message.rest()}}`);
  }

  end(status: Status): void {
    if (status.code !== Code.Ok) {
      return this.#sendAndClose(`{"error":${statusJson(status)}}`);
    }
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#connection.close(NORMAL_CLOSURE);
  }

  #sendAndClose(text: string): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#connection.send(text);
    this.#connection.close(NORMAL_CLOSURE);
  }
}
