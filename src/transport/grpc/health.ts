import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus as ServingStatus,
  HealthService,
  newHealthCheckResponse,
  newHealthListResponse,
  newHealthListResponse_StatusesEntry,
} from "../../pb/grpc_health_v1.ts";
import type { Call, MessageWriter, Method } from "./service.ts";
import { Code, StatusError } from "./status.ts";

/**
 * grpc.health.v1.Health for the server as a whole, whose name is empty; other names are not known, as in etcd.
 */
export class HealthHandlers {
  #isServing = true;
  readonly #watches = new Set<MessageWriter<HealthCheckResponse>>();

  methods(): Method[] {
    const { check, watch, list } = HealthService.methods;
    return [
      {
        ...check,
        kind: "unary",
        handle: (r: HealthCheckRequest) => this.check(r),
      },
      { ...list, kind: "unary", handle: () => this.list() },
      {
        ...watch,
        kind: "serverStream",
        handle: (r: HealthCheckRequest, call, out) => this.watch(r, call, out),
      },
    ];
  }

  /** Tells those who watch. */
  setServing(isServing: boolean): void {
    if (this.#isServing === isServing) return;
    this.#isServing = isServing;
    for (const out of this.#watches) out.send(this.#status());
  }

  check(request: HealthCheckRequest): HealthCheckResponse {
    if (request.service !== "") {
      throw new StatusError(Code.NotFound, "unknown service");
    }
    return this.#status();
  }

  list() {
    const entry = newHealthListResponse_StatusesEntry({
      key: "",
      value: this.#status(),
    });
    return newHealthListResponse({ statuses: [entry] });
  }

  /** The status, and again whenever it changes, until the client goes. */
  async watch(
    request: HealthCheckRequest,
    call: Call,
    out: MessageWriter<HealthCheckResponse>,
  ): Promise<void> {
    if (request.service !== "") {
      out.send(
        newHealthCheckResponse({ status: ServingStatus.SERVICE_UNKNOWN }),
      );
    } else {
      out.send(this.#status());
      this.#watches.add(out);
    }
    await new Promise<void>((resolve) => {
      if (call.isCancelled) return resolve();
      call.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    this.#watches.delete(out);
  }

  #status(): HealthCheckResponse {
    return newHealthCheckResponse({
      status: this.#isServing
        ? ServingStatus.SERVING
        : ServingStatus.NOT_SERVING,
    });
  }
}
