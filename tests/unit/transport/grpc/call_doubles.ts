import type {
  Call,
  MessageWriter,
} from "../../../../src/transport/grpc/service.ts";
import type { Status } from "../../../../src/transport/grpc/status.ts";

/** A call that a test cancels. */
export class FakeCall implements Call {
  readonly path = "/test/Call";
  readonly peer = "test";
  readonly certificateName: string | undefined = undefined;
  readonly deadlineMs = Infinity;
  readonly #abort = new AbortController();

  get isCancelled(): boolean {
    return this.#abort.signal.aborted;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  metadata(): undefined {
    return undefined;
  }

  cancel(): void {
    this.#abort.abort();
  }
}

/** Keeps what a handler sends. */
export class FakeWriter<M> implements MessageWriter<M> {
  readonly sent: M[] = [];
  bufferedBytes = 0;
  endedWith: Status | "ok" | undefined = undefined;
  onDrain: (() => void) | undefined = undefined;

  get isEnded(): boolean {
    return this.endedWith !== undefined;
  }

  send(message: M): void {
    if (!this.isEnded) this.sent.push(message);
  }

  sendEncoded(): void {
    throw new Error("not expected");
  }

  end(status?: Status): void {
    this.endedWith ??= status ?? "ok";
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }
}
