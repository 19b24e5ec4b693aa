import type { Random } from "../../support/random.ts";
import { ENDLESS_TTL_SECONDS } from "../history/lease_checker.ts";
import { type Request, single } from "../history/operation.ts";
import type { RecordingClient } from "./recording_client.ts";

/** Few keys, so that clients meet. */
const KEYS = ["k0", "k1", "k2", "k3", "k4", "k5"];
const LEASED_KEYS = ["l0", "l1", "l2", "l3", "l4", "l5"];
/** Keys that are only written together, with one value. */
const PAIRS = ["p0", "p1", "p2"];
const PARTS = ["a", "b", "c"];

/** The shortest that the server grants. */
const SHORT_TTL_SECONDS = 2;

/** Live leases that a workload keeps at most. */
const MAX_LEASES = 8;

/** Values as large as this make the WAL grow over several pages in one batch. */
const LARGE_VALUE_BYTES = 20_000;

/** What all clients of a run know together. */
export class Workload {
  /** The highest revision that anybody asked to compact. */
  compactedTo = 0;
  /** The highest revision that was seen. */
  revision = 1;
  readonly #leases: string[] = [];
  #serial = 0;

  /** `mayCompactTo`: no compaction goes beyond it, so that the log can be told whole. */
  constructor(
    readonly random: Random,
    readonly mayCompactTo: () => number,
  ) {}

  /** Calls until an answer fails to come, or `isOver` says so. */
  async run(
    client: RecordingClient,
    isOver: () => boolean = () => false,
  ): Promise<void> {
    while (!isOver()) {
      const request = this.#choose();
      if (request.kind === "compact") {
        this.compactedTo = Math.max(this.compactedTo, request.revision);
      }
      const outcome = await client.call(request);
      if (outcome.kind === "unknown") return;
      if (outcome.kind === "ok") {
        this.revision = Math.max(this.revision, outcome.response.revision);
        if (request.kind === "grant") this.#leases.push(request.lease);
      }
      if (
        request.kind === "revoke" ||
        (outcome.kind === "failed" && outcome.refusal === "lease not found")
      ) this.#dropLease(request);
    }
  }

  #choose(): Request {
    const { random } = this;
    const key = random.pick(KEYS);
    const value = this.#value();
    const roll = random.int(100);
    if (roll < 30) return single({ kind: "put", key, value });
    if (roll < 37) return single({ kind: "delete", key });
    if (roll < 39) return single({ kind: "delete", key: "k3", end: "l" });
    if (roll < 44) return single({ kind: "range", key });
    if (roll < 47) {
      const isSerializable = random.oneIn(2);
      return {
        ...single({ kind: "range", key: "k", end: "q" }),
        isSerializable,
      };
    }
    if (roll < 52) {
      const revision = Math.max(1, this.revision - random.int(60));
      return single({ kind: "range", key: "k", end: "q", revision });
    }
    if (roll < 67) return this.#pair(random.pick(PAIRS), value);
    if (roll < 77) return this.#compareAndSwap(key, value);
    if (roll < 97) return this.#leaseRequest(value);
    const highest = this.mayCompactTo();
    if (highest <= this.compactedTo) return single({ kind: "range", key });
    const revision = Math.max(
      this.compactedTo + 1,
      highest - random.int(100),
    );
    return { kind: "compact", revision };
  }

  /** All parts at once, or none: with a different value in one of them, it was torn. */
  #pair(name: string, value: string): Request {
    return {
      kind: "txn",
      compares: [],
      success: PARTS.map((part) => ({
        kind: "put",
        key: `${name}${part}`,
        value,
      })),
      failure: [],
    };
  }

  #compareAndSwap(key: string, value: string): Request {
    const { random } = this;
    const other = random.pick(KEYS.filter((name) => name !== key));
    return {
      kind: "txn",
      compares: [
        random.oneIn(2)
          ? { key, target: "version", relation: ">", operand: random.int(3) }
          : {
            key,
            target: "mod",
            relation: "<",
            operand: Math.max(1, this.revision - random.int(20)),
          },
      ],
      success: [
        { kind: "put", key, value },
        { kind: "delete", key: other },
        { kind: "range", key: "k", end: "l" },
      ],
      failure: [
        { kind: "range", key },
        { kind: "put", key: other, value },
      ],
    };
  }

  #leaseRequest(value: string): Request {
    const { random } = this;
    const roll = random.int(10);
    if (
      this.#leases.length === 0 ||
      this.#leases.length < MAX_LEASES && roll === 0
    ) {
      const ttlSeconds = random.oneIn(2)
        ? ENDLESS_TTL_SECONDS
        : SHORT_TTL_SECONDS;
      return { kind: "grant", lease: `${1000 + ++this.#serial}`, ttlSeconds };
    }
    const lease = random.pick(this.#leases);
    if (roll === 1) return { kind: "revoke", lease };
    if (roll < 5) return { kind: "renew", lease };
    return single({ kind: "put", key: random.pick(LEASED_KEYS), value, lease });
  }

  #value(): string {
    const tag = `v${++this.#serial}`;
    const length = this.random.oneIn(60)
      ? LARGE_VALUE_BYTES
      : this.random.int(100);
    return tag.padEnd(length, ".");
  }

  #dropLease(request: Request): void {
    const lease = request.kind === "revoke" || request.kind === "renew"
      ? request.lease
      : request.kind === "txn" && request.success[0]?.kind === "put"
      ? request.success[0].lease
      : undefined;
    const at = this.#leases.indexOf(lease ?? "");
    if (at >= 0) this.#leases.splice(at, 1);
  }
}
