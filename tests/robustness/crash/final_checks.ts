import type { EtcdClient, Message } from "../../support/etcd_client.ts";
import type { KeyHistory } from "../history/key_history.ts";
import { ENDLESS_TTL_SECONDS } from "../history/lease_checker.ts";
import type { LoggedRevision, Operation } from "../history/operation.ts";
import { hashOfLog } from "./hash_kv.ts";

/** Leases of this TTL that were granted, as far as anybody knows. */
export function grantedLeases(
  operations: readonly Operation[],
  ttlSeconds: number,
): Set<string> {
  return new Set(
    operations.flatMap(({ request, outcome }) =>
      request.kind === "grant" && request.ttlSeconds === ttlSeconds &&
        outcome.kind !== "failed"
        ? [request.lease]
        : []
    ),
  );
}

/** What is wrong with a server's HashKV, and with the revision that it has compacted to. */
export async function checkHash(
  etcd: EtcdClient,
  log: readonly LoggedRevision[],
  operations: readonly Operation[],
  /** The highest revision that anybody asked for. */
  compactedTo: number,
): Promise<{ compactRevision: number; violations: string[] }> {
  const violations: string[] = [];
  const answer = await etcd.maintenance.call("HashKV", { revision: 0 });
  const compactRevision = Number(answer.compact_revision);
  const expected = hashOfLog(log, Math.max(0, compactRevision));
  if (answer.hash !== expected) {
    violations.push(`HashKV is ${answer.hash}, of the log ${expected}`);
  }
  // A store that was never compacted says -1.
  const acknowledged = Math.max(
    -1,
    ...operations.map(({ request, outcome }) =>
      request.kind === "compact" && outcome.kind === "ok"
        ? request.revision
        : -1
    ),
  );
  if (
    compactRevision < acknowledged ||
    compactRevision > Math.max(0, compactedTo)
  ) {
    violations.push(
      `compacted to ${compactRevision}; ${acknowledged} was acknowledged`,
    );
  }
  return { compactRevision, violations };
}

/** Endless leases are there unless they were revoked, with their keys. */
export async function checkLeases(
  etcd: EtcdClient,
  keys: KeyHistory,
  operations: readonly Operation[],
): Promise<string[]> {
  const violations: string[] = [];
  const { leases } = await etcd.lease.call("LeaseLeases");
  const there = new Set<string>(leases.map(({ ID }: Message) => ID));
  const granted = grantedLeases(operations, ENDLESS_TTL_SECONDS);
  const mayBeGone = new Set<string>();
  for (const { request, outcome } of operations) {
    if (request.kind === "grant" && outcome.kind === "unknown") {
      mayBeGone.add(request.lease);
    }
    if (request.kind !== "revoke" || outcome.kind === "failed") continue;
    mayBeGone.add(request.lease);
    if (outcome.kind === "ok" && there.has(request.lease)) {
      violations.push(`lease ${request.lease} came back`);
    }
  }
  for (const lease of granted) {
    if (!there.has(lease) && !mayBeGone.has(lease)) {
      violations.push(`lease ${lease} is gone`);
    }
  }
  for (const lease of there) {
    const answer = await etcd.lease.call("LeaseTimeToLive", {
      ID: lease,
      keys: true,
    });
    const attached = keys.range("", "\x7f", keys.revision)
      .filter((kv) => kv.lease === lease).map(({ key }) => key);
    const told = answer.keys.map(String).sort();
    if (told.join() !== attached.join()) {
      violations.push(`lease ${lease} has keys ${told}, not ${attached}`);
    }
    const ttl = Number(answer.TTL);
    if (granted.has(lease) && !(ttl > 0 && ttl <= ENDLESS_TTL_SECONDS)) {
      violations.push(`lease ${lease} has ${ttl} s left`);
    }
  }
  return violations;
}
