import type { AnswerSink } from "../../../../src/http/gateway/answer_sink.ts";
import type {
  CallHost,
  GatewayCall,
} from "../../../../src/http/gateway/gateway_call.ts";
import type { JsonRenderer } from "../../../../src/http/gateway/json_renderer.ts";
import {
  type MessageType,
  readMessageTypes,
} from "../../../../src/http/gateway/message_type.ts";
import { RequestMetadata } from "../../../../src/http/gateway/request_metadata.ts";
import { Deadlines } from "../../../../src/transport/grpc/deadlines.ts";
import { ReceiveBudget } from "../../../../src/transport/grpc/receive_budget.ts";
import {
  Code,
  type Status,
  StatusError,
} from "../../../../src/transport/grpc/status.ts";
import { newStreamTraffic } from "../../../../src/transport/grpc/service.ts";
import { FakeClock } from "../../../support/fake_clock.ts";

const TYPES = readMessageTypes();

/** Keeps what is told to the client. */
export class FakeSink implements AnswerSink {
  bufferedBytes = 0;
  onDrain: (() => void) | undefined = undefined;
  readonly results: string[] = [];
  answered: string | undefined = undefined;
  refusedWith: Status | undefined = undefined;
  endedWith: Status | undefined = undefined;

  answer(message: JsonRenderer): void {
    this.answered = message.rest();
  }

  refuse(status: Status): void {
    this.refusedWith = status;
  }

  result(message: JsonRenderer): void {
    this.results.push(message.rest());
  }

  end(status: Status): void {
    this.endedWith = status;
  }
}

/** A gateway for one call. */
export class FakeHost implements CallHost {
  readonly clock = new FakeClock();
  readonly deadlines = new Deadlines(this.clock);
  readonly budget = new ReceiveBudget(1000);
  readonly maxReceiveBytes = 100;
  readonly maxJsonBytes = 200;
  /** `started`, and the code with which each call ended. */
  readonly observed: (string | number)[] = [];
  /** Of streams. */
  readonly traffic = newStreamTraffic();
  unaryBytes = 0;
  readonly observer = {
    started: () => {
      this.observed.push("started");
    },
    traffic: () => this.traffic,
    handled: (
      _path: string,
      code: number,
      _durationMs: number,
      bytesIn: number,
      bytesOut: number,
    ) => {
      this.observed.push(code);
      this.unaryBytes += bytesIn + bytesOut;
    },
  };
  endedCalls = 0;

  mapError(error: unknown): Status {
    return error instanceof StatusError
      ? { code: error.code, message: error.message }
      : { code: Code.Unknown, message: "internal error" };
  }

  type(name: string): MessageType {
    return TYPES.get(name)!;
  }

  ended(_call: GatewayCall): void {
    this.endedCalls++;
  }
}

export function metadata(timeoutMs = Infinity): RequestMetadata {
  return new RequestMetadata(
    { rawHeaders: ["Authorization", "token"] },
    timeoutMs,
  );
}
