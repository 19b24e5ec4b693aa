import {
  decodeLeaseGrantResponse,
  decodeLeaseKeepAliveResponse,
  decodeLeaseLeasesResponse,
  encodeLeaseGrantRequest,
  encodeLeaseKeepAliveRequest,
  newLeaseGrantRequest,
  newLeaseKeepAliveRequest,
} from "../../../src/pb/etcdserverpb.ts";
import { EMPTY } from "../../../src/base/bytes.ts";
import {
  etcdPath,
  type GrpcConnection,
  type GrpcStream,
} from "./grpc_connection.ts";

/** Grants under way at once, below what the server queues. */
const GRANTS_AT_ONCE = 1000;
/** Renewals are spread over so many ticks a second. */
const TICKS_PER_SECOND = 20;

/** Leases that are renewed three times in their lives, evenly over time. */
export class LeaseFleet {
  /** Renewals that came back without a lease, and streams that ended. */
  readonly violations: string[] = [];
  readonly ids: bigint[] = [];
  renewed = 0;
  readonly #streams: GrpcStream[] = [];
  #next = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(readonly ttlSeconds: number) {}

  async grant(
    connections: readonly GrpcConnection[],
    count: number,
  ): Promise<void> {
    const request = encodeLeaseGrantRequest(
      newLeaseGrantRequest({ TTL: this.ttlSeconds }),
    );
    let asked = 0;
    const run = async (at: number) => {
      while (asked++ < count) {
        const connection = connections[at % connections.length]!;
        const answer = await connection.unary(
          etcdPath("Lease/LeaseGrant"),
          request,
        );
        this.ids.push(decodeLeaseGrantResponse(answer).ID);
      }
    };
    await Promise.all(
      Array.from(
        { length: Math.min(GRANTS_AT_ONCE, count) },
        (_, at) => run(at),
      ),
    );
  }

  /** Renews from now on, over one stream for each connection. */
  keepAlive(connections: readonly GrpcConnection[]): void {
    for (const connection of connections) {
      this.#streams.push(connection.duplex(
        etcdPath("Lease/LeaseKeepAlive"),
        (message) => {
          this.renewed++;
          if (decodeLeaseKeepAliveResponse(message).TTL <= 0) {
            this.#violate("a lease was gone when it was renewed");
          }
        },
        (failure) =>
          this.#violate(`a renewal stream ended: ${failure?.message ?? "OK"}`),
      ));
    }
    const perTick = Math.ceil(
      this.ids.length * 3 / this.ttlSeconds / TICKS_PER_SECOND,
    );
    this.#timer = setInterval(() => {
      for (let i = 0; i < perTick; i++) {
        const at = this.#next++ % this.ids.length;
        const ID = this.ids[at]!;
        this.#streams[at % this.#streams.length]!.send(
          encodeLeaseKeepAliveRequest(newLeaseKeepAliveRequest({ ID })),
        );
      }
    }, 1000 / TICKS_PER_SECOND);
  }

  /** One line for each thing that is wrong; the server must have every lease still. */
  async check(connection: GrpcConnection): Promise<string[]> {
    const answer = await connection.unary(
      etcdPath("Lease/LeaseLeases"),
      EMPTY,
    );
    const there = new Set(
      decodeLeaseLeasesResponse(answer).leases.map(({ ID }) => ID),
    );
    const lost = this.ids.filter((id) => !there.has(id)).length;
    return lost === 0
      ? [...this.violations]
      : [...this.violations, `${lost} leases are gone`];
  }

  close(): void {
    clearInterval(this.#timer);
    for (const stream of this.#streams) stream.cancel();
  }

  #violate(line: string): void {
    if (this.violations.length < 100) this.violations.push(line);
  }
}
