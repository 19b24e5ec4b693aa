import { isDeepStrictEqual } from "node:util";
import { evaluate } from "./evaluate.ts";
import { KeyHistory } from "./key_history.ts";
import { LeaseChecker } from "./lease_checker.ts";
import { match } from "./matching.ts";
import {
  hasChanged,
  type LoggedRevision,
  type Operation,
  type Response,
  type TxnRequest,
} from "./operation.ts";
import { orderViolations, type Placed, RealTime } from "./real_time.ts";

/** What clients did, and what the log says happened. */
export interface History {
  readonly operations: readonly Operation[];
  /** From revision 2, the first write of an empty store, to the end. */
  readonly log: readonly LoggedRevision[];
}

/**
 * What is wrong with a history; empty if it is linearizable.
 *
 * A write's answer has its revision, so that the order of writes is known and nothing is searched:
 *
 * 1. the log follows from itself, revision by revision (`KeyHistory`);
 * 2. each answer is what its operation gives at its revision, each revision has one owner at most, and an
 *    owner's changes are those of the log, no more and no fewer;
 * 3. a revision without an owner is an operation whose answer was lost, within the time it can have
 *    happened, or the end of a lease;
 * 4. the order of revisions is that of real time.
 *
 * Exact but for one thing: the times of two operations with lost answers are compared only after they were
 * given their revisions. A read between them, which the crash driver makes at each start, settles it.
 */
export function checkHistory(history: History): string[] {
  const checker = new RevisionChecker(history);
  checker.run();
  return checker.violations;
}

class RevisionChecker {
  readonly violations: string[] = [];
  readonly #keys: KeyHistory;
  readonly #byRevision = new Map<number, LoggedRevision>();
  readonly #owners = new Map<number, Operation>();
  readonly #placed: Placed[] = [];
  readonly #leases: LeaseChecker;

  constructor(readonly history: History) {
    this.#keys = new KeyHistory(history.log);
    this.violations.push(...this.#keys.violations);
    for (const logged of history.log) {
      this.#byRevision.set(logged.revision, logged);
    }
    this.#leases = new LeaseChecker(history, this.#keys);
  }

  run(): void {
    // Revokes last: whether one made a revision is seen by whether somebody else did.
    for (const operation of this.history.operations) {
      if (operation.request.kind !== "revoke") this.#placeAnswered(operation);
    }
    for (const operation of this.history.operations) {
      if (operation.request.kind === "revoke") this.#placeAnswered(operation);
    }
    this.#explainOthers();
    this.violations.push(
      ...orderViolations(this.#placed),
      ...this.#leases.violations(),
      ...compactionViolations(this.history.operations),
    );
  }

  #placeAnswered(operation: Operation): void {
    const { request, outcome } = operation;
    if (outcome.kind !== "ok") return;
    const { response } = outcome;
    if (response.revision > this.#keys.revision) {
      this.#wrong(operation, `revision ${response.revision} is not in the log`);
      return;
    }
    if (request.kind === "txn") {
      if (hasChanged(response)) this.#placeWrite(operation, request, response);
      else this.#placeRead(operation, request, response);
    } else if (request.kind === "revoke") {
      this.#placeRevoke(operation, request.lease, response.revision);
    } else {
      this.#place(operation, response.revision, false);
    }
  }

  #placeWrite(
    operation: Operation,
    request: TxnRequest,
    response: Response,
  ): void {
    const { revision } = response;
    const { outcome, events } = evaluate(
      this.#keys.view(revision - 1),
      request,
    );
    if (!isDeepStrictEqual(outcome, operation.outcome)) {
      this.#wrong(operation, `another answer is right: ${show(outcome)}`);
    }
    const logged = this.#byRevision.get(revision)?.events;
    if (!isDeepStrictEqual(events, logged)) {
      this.#wrong(operation, `the log has ${show(logged)} at its revision`);
    }
    this.#own(operation, revision);
  }

  #placeRead(
    operation: Operation,
    request: TxnRequest,
    response: Response,
  ): void {
    const { outcome } = evaluate(
      this.#keys.view(response.revision),
      request,
    );
    if (!isDeepStrictEqual(outcome, operation.outcome)) {
      this.#wrong(operation, `another answer is right: ${show(outcome)}`);
    }
    this.#place(operation, response.revision, false);
  }

  #placeRevoke(operation: Operation, lease: string, revision: number): void {
    const isFree = !this.#owners.has(revision);
    if (isFree && this.#leases.endsAt(lease, revision)) {
      this.#own(operation, revision);
    } else {
      this.#place(operation, revision, false);
    }
    this.#leases.ended(lease, revision);
  }

  /** Finds out which of the operations without an answer were done, and which leases ran out. */
  #explainOthers(): void {
    const time = new RealTime(this.#placed);
    const unknown = this.history.operations
      .filter(({ outcome }) => outcome.kind === "unknown")
      .map((operation) => ({ operation, window: time.window(operation) }));
    const orphans = this.history.log.filter(({ revision }) =>
      !this.#owners.has(revision)
    );
    const mayBe = new Map(
      orphans.map((logged) => [
        logged,
        unknown
          .filter(({ operation, window: { from, to } }) =>
            from <= logged.revision && logged.revision <= to &&
            this.#makes(operation, logged)
          )
          .map(({ operation }) => operation),
      ]),
    );
    const expired = new Set(
      orphans.filter((logged) => this.#leases.expiredAt(logged) !== undefined),
    );
    // Those that nothing else explains choose first.
    orphans.sort((a, b) => Number(expired.has(a)) - Number(expired.has(b)));
    const owners = match(orphans, (logged) => mayBe.get(logged)!);
    for (const logged of orphans) {
      const { revision, events } = logged;
      const owner = owners.get(logged);
      const lease = this.#leases.expiredAt(logged);
      if (owner !== undefined) {
        this.#own(owner, revision);
        if (owner.request.kind === "revoke") {
          this.#leases.ended(owner.request.lease, revision);
        }
      } else if (lease !== undefined) {
        this.#leases.expired(lease, logged);
      } else {
        this.violations.push(
          `nobody asked for revision ${revision}: ${show(events)}`,
        );
      }
    }
  }

  /** Whether an operation changes at a revision what the log says. */
  #makes({ request }: Operation, { revision, events }: LoggedRevision) {
    if (request.kind === "revoke") {
      return this.#leases.endsAt(request.lease, revision);
    }
    if (request.kind !== "txn") return false;
    const made = evaluate(this.#keys.view(revision - 1), request);
    return isDeepStrictEqual(made.events, events);
  }

  #own(operation: Operation, revision: number): void {
    const other = this.#owners.get(revision);
    if (other !== undefined) {
      this.#wrong(operation, `revision ${revision} is also ${show(other)}`);
    }
    this.#owners.set(revision, operation);
    this.#place(operation, revision, true);
  }

  #place(operation: Operation, revision: number, isWrite: boolean): void {
    const { request } = operation;
    // A renewal is the business of another server, perhaps, and its header the answering one's; so it is on etcd.
    const isSerializable = request.kind === "renew" ||
      request.kind === "txn" && request.isSerializable === true;
    this.#placed.push({ operation, revision, isWrite, isSerializable });
  }

  #wrong(operation: Operation, what: string): void {
    this.violations.push(`${show(operation)}: ${what}`);
  }
}

/** Reads below a compaction that was answered before, and reads refused for one that nobody asked for. */
function compactionViolations(operations: readonly Operation[]): string[] {
  const compactions = operations.flatMap((operation) =>
    operation.request.kind === "compact"
      ? [{ ...operation, revision: operation.request.revision }]
      : []
  );
  const violations: string[] = [];
  for (const operation of operations) {
    const { request, outcome } = operation;
    if (request.kind !== "txn" || request.compares.length > 0) continue;
    const lowest = Math.min(
      ...request.success.map((op) =>
        op.kind === "range" && op.revision ? op.revision : Infinity
      ),
    );
    if (lowest === Infinity) continue;
    const isBelow = (c: { revision: number }) => lowest < c.revision;
    if (outcome.kind === "ok" && request.isSerializable !== true) {
      const done = compactions.some((c) =>
        isBelow(c) && c.outcome.kind === "ok" && c.return < operation.call
      );
      if (done) violations.push(`${show(operation)}: that was compacted`);
    } else if (outcome.kind === "failed" && outcome.refusal === "compacted") {
      const begun = compactions.some((c) =>
        isBelow(c) && c.outcome.kind !== "failed" && c.call < operation.return
      );
      if (!begun) violations.push(`${show(operation)}: nobody compacted that`);
    }
  }
  return violations;
}

function show(value: unknown): string {
  return JSON.stringify(value);
}
