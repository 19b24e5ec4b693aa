import type { Status } from "../../transport/grpc/status.ts";
import type { JsonRenderer } from "./json_renderer.ts";

/** Where a call's answer goes: an HTTP response or a WebSocket. All methods do nothing once it has ended. */
export interface AnswerSink {
  /** The one answer of a unary call, or what went wrong instead. Ends it. */
  answer(message: JsonRenderer): void;
  refuse(status: Status): void;
  /** One of the answers of a stream. Returns the bytes of its JSON. */
  result(message: JsonRenderer): void;
  /** Ends a stream, with OK or with what went wrong. */
  end(status: Status): void;
  /** Bytes that the socket does not take yet. */
  readonly bufferedBytes: number;
  /** Called each time when `bufferedBytes` is small again. */
  onDrain: (() => void) | undefined;
}

/** Where a call's request comes from. */
export interface Input {
  pause(): void;
  resume(): void;
}

/** A `google.rpc.Status` as JSON: zero and empty fields are left out. */
export function statusJson({ code, message }: Status): string {
  return JSON.stringify({
    ...(code === 0 ? {} : { code }),
    ...(message === "" ? {} : { message }),
  });
}
