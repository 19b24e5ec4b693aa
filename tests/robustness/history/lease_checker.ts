import type { KeyHistory } from "./key_history.ts";
import type { LoggedRevision, Operation } from "./operation.ts";
import type { History } from "./revision_checker.ts";

/** A lease with this TTL cannot run out during a test. */
export const ENDLESS_TTL_SECONDS = 600;

/** What becomes of the keys of leases, and whether leases are lost. */
export class LeaseChecker {
  readonly #ttls = new Map<string, number>();
  /** The revision at which a lease was gone. */
  readonly #ends = new Map<string, number>();
  readonly #tooEarly: string[] = [];

  constructor(readonly history: History, readonly keys: KeyHistory) {
    for (const { request, outcome } of history.operations) {
      if (request.kind === "grant" && outcome.kind !== "failed") {
        this.#ttls.set(request.lease, request.ttlSeconds);
      }
    }
  }

  /** Whether a revision deletes all keys of a lease and nothing else. */
  endsAt(lease: string, revision: number): boolean {
    const logged = this.#logged(revision);
    return logged !== undefined && this.#leaseEndedBy(logged) === lease;
  }

  /** The lease that ran out at a revision; undefined if the revision does not look like that. */
  expiredAt(logged: LoggedRevision): string | undefined {
    const lease = this.#leaseEndedBy(logged);
    if (lease === undefined) return undefined;
    const ttl = this.#ttls.get(lease);
    return ttl !== undefined && ttl < ENDLESS_TTL_SECONDS ? lease : undefined;
  }

  /** A lease ran out, as nothing else explains the revision. */
  expired(
    lease: string,
    { revision, seenMs = Infinity }: LoggedRevision,
  ): void {
    this.ended(lease, revision);
    const ttlMs = this.#ttls.get(lease)! * 1000;
    for (const { request, outcome, callMs } of this.history.operations) {
      const isRenewal = request.kind === "renew" || request.kind === "grant";
      if (!isRenewal || request.lease !== lease) continue;
      if (outcome.kind !== "ok" || callMs === undefined) continue;
      if (callMs + ttlMs <= seenMs) continue;
      this.#tooEarly.push(
        `lease ${lease} ran out at revision ${revision}, ${
          Math.round(seenMs - callMs)
        } ms after it got ${ttlMs} ms`,
      );
    }
  }

  ended(lease: string, revision: number): void {
    const earlier = this.#ends.get(lease) ?? Infinity;
    this.#ends.set(lease, Math.min(earlier, revision));
  }

  violations(): string[] {
    const violations: string[] = [];
    for (const { revision, events } of this.history.log) {
      for (const event of events) {
        if (event.kind === "delete" || event.kv.lease === "0") continue;
        const { key, lease } = event.kv;
        if (!this.#ttls.has(lease)) {
          violations.push(`"${key}" has lease ${lease} that nobody granted`);
        }
        const end = this.#ends.get(lease) ?? Infinity;
        if (revision > end) {
          violations.push(
            `"${key}" got lease ${lease} at revision ${revision}; it ended at ${end}`,
          );
        }
      }
    }
    return [...violations, ...this.#tooEarly, ...this.#lostLeases()];
  }

  /** Leases that are said to be gone, though they were granted before, cannot run out, and nobody revoked them. */
  #lostLeases(): string[] {
    const { operations } = this.history;
    const grants = new Map<string, Operation>();
    const revokes = new Map<string, number>();
    for (const operation of operations) {
      const { request, outcome, call } = operation;
      if (
        request.kind === "grant" && outcome.kind === "ok" &&
        request.ttlSeconds >= ENDLESS_TTL_SECONDS
      ) grants.set(request.lease, operation);
      if (request.kind === "revoke" && outcome.kind !== "failed") {
        const first = revokes.get(request.lease) ?? Infinity;
        revokes.set(request.lease, Math.min(first, call));
      }
    }
    return operations.flatMap((operation) => {
      const { outcome } = operation;
      if (outcome.kind !== "failed") return [];
      if (outcome.refusal !== "lease not found") return [];
      return leasesOf(operation).filter((lease) => {
        const grant = grants.get(lease);
        const revoked = revokes.get(lease) ?? Infinity;
        return grant !== undefined && grant.return < operation.call &&
          revoked > operation.return;
      }).map((lease) =>
        `lease ${lease} was lost: ${JSON.stringify(operation)}`
      );
    });
  }

  #leaseEndedBy({ revision, events }: LoggedRevision): string | undefined {
    let lease: string | undefined;
    for (const event of events) {
      if (event.kind === "put") return undefined;
      const held = this.keys.at(event.key, revision - 1)?.lease ?? "0";
      if (held === "0" || (lease !== undefined && held !== lease)) {
        return undefined;
      }
      lease = held;
    }
    const left = this.keys.keys().some((key) =>
      this.keys.at(key, revision)?.lease === lease
    );
    return left ? undefined : lease;
  }

  #logged(revision: number): LoggedRevision | undefined {
    return this.history.log[revision - 2];
  }
}

function leasesOf({ request }: Operation): string[] {
  if (request.kind === "renew" || request.kind === "revoke") {
    return [request.lease];
  }
  if (request.kind !== "txn") return [];
  const leases = request.success.flatMap((op) =>
    op.kind === "put" && op.lease !== undefined ? [op.lease] : []
  );
  // With two of them, either may be meant.
  return leases.length === 1 ? leases : [];
}
