import type { UnaryMethod } from "../../transport/grpc/service.ts";
import { Code, type Status } from "../../transport/grpc/status.ts";
import { GatewayCall } from "./gateway_call.ts";

/** One request, one answer. */
export class UnaryGatewayCall extends GatewayCall {
  override onInput(chunk: Uint8Array): void {
    this.gather(chunk);
  }

  override onInputEnd(): void {
    if (this.isEnded) return;
    // The wheel is too coarse for those that are shorter than a handler that answers at once.
    if (this.host.clock.monotonicMs() >= this.deadlineMs) return this.expire();
    const method = this.method as UnaryMethod<unknown, unknown>;
    let result;
    try {
      const { request, bytes } = this.decodeGathered();
      result = method.handle(request, this, bytes);
    } catch (error) {
      return this.abortWith(error);
    }
    if (!(result instanceof Promise)) return this.#succeed(result);
    result.then(
      (response) => this.#succeed(response),
      (error) => this.abortWith(error),
    );
  }

  protected override sendEnd(status: Status): void {
    this.sink.refuse(status);
  }

  protected override cancelled(): void {
    // The handler sees `signal` and `isCancelled`.
  }

  #succeed(response: unknown): void {
    if (this.isEnded) return;
    try {
      this.sink.answer(this.render(this.encode(response)));
    } catch (error) {
      return this.abortWith(error);
    }
    this.finish(Code.Ok);
  }
}
