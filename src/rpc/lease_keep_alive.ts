import { DomainError } from "../base/errors.ts";
import {
  type LeaseKeepAliveRequest,
  type LeaseKeepAliveResponse,
  newLeaseKeepAliveResponse,
} from "../pb/etcdserverpb.ts";
import type {
  MessageReceiver,
  MessageWriter,
} from "../transport/grpc/service.ts";
import type { Status } from "../transport/grpc/status.ts";

/**
 * With this many answers owed, a request for a lease that is among them renews it but gets no answer of
 * its own: a client whose answers are late repeats itself twice a second for each lease.
 */
const COALESCE_ABOVE = 4096;

/** Answers owed at most, some 15 MB; beyond it the stream ends and the client opens another. */
const MAX_OWED = 1 << 17;

/** Bytes that the client does not read before further answers wait here. */
const MAX_BUFFERED_BYTES = 1 << 20;

/** Answers sent that may stand at the front of the queue before it is cut. */
const MAX_SENT = 1024;

/** What a stream needs of the lease service. */
export interface KeepAliveSource {
  /** Seconds that the lease has from now on; 0 if there is none. */
  keepAlive(request: LeaseKeepAliveRequest): number | Promise<number>;
  /** The header of the current revision. */
  header(): Uint8Array;
  toStatus(error: unknown): Status;
}

/**
 * One LeaseKeepAlive call: answers each request, in the order of the requests. Those that wait (for a
 * write, or for an expired lease to be gone) wait side by side.
 *
 * Each answer's header is taken before its renewal, so that a client never sees a renewal at a revision
 * at which the lease was gone already. Half-close ends the call once everything is answered.
 */
export class LeaseKeepAliveStream
  implements MessageReceiver<LeaseKeepAliveRequest> {
  #owed: LeaseKeepAliveResponse[] = [];
  /** Those of `#owed` before it are sent. */
  #first = 0;
  /** Ids among those owed. */
  readonly #ids = new Set<bigint>();
  #isHalfClosed = false;
  #isOver = false;

  constructor(
    readonly out: MessageWriter<LeaseKeepAliveResponse>,
    readonly source: KeepAliveSource,
  ) {
    out.onDrain = () => this.#flush();
  }

  onMessage(request: LeaseKeepAliveRequest): void {
    if (this.#isOver) return;
    const owed = this.#owed.length - this.#first;
    const isCoalesced = owed >= COALESCE_ABOVE && this.#ids.has(request.ID);
    if (owed >= MAX_OWED && !isCoalesced) {
      return this.#fail(new DomainError("unhealthy"));
    }
    const header = this.source.header();
    let ttl;
    try {
      ttl = this.source.keepAlive(request);
    } catch (error) {
      return this.#fail(error);
    }
    if (isCoalesced) {
      if (typeof ttl !== "number") ttl.catch(() => {}); // the queued request's answer tells
      return;
    }
    this.#owe(
      newLeaseKeepAliveResponse({ header, ID: request.ID, TTL: PENDING }),
      ttl,
    );
  }

  onHalfClose(): void {
    this.#isHalfClosed = true;
    this.#flush();
  }

  onCancel(): void {
    this.#drop();
  }

  #owe(answer: LeaseKeepAliveResponse, ttl: number | Promise<number>): void {
    this.#owed.push(answer);
    if (typeof ttl === "number") {
      answer.TTL = ttl;
      this.#flush();
    } else {
      ttl.then((seconds) => {
        answer.TTL = seconds;
        this.#flush();
      }, (error) => this.#fail(error));
    }
    if (this.#owed.length > this.#first) this.#ids.add(answer.ID);
  }

  /** Sends what is answered, up to the first that is not. */
  #flush(): void {
    if (this.#isOver) return;
    const { out } = this;
    while (
      this.#first < this.#owed.length && out.bufferedBytes < MAX_BUFFERED_BYTES
    ) {
      const answer = this.#owed[this.#first]!;
      if (answer.TTL === PENDING) break;
      this.#first++;
      if (this.#ids.size > 0) this.#ids.delete(answer.ID);
      out.send(answer);
    }
    if (this.#first === this.#owed.length) {
      this.#owed.length = 0;
      this.#first = 0;
      if (!this.#isHalfClosed) return;
      this.#drop();
      out.end();
    } else if (this.#first >= MAX_SENT && this.#first * 2 > this.#owed.length) {
      this.#owed = this.#owed.slice(this.#first);
      this.#first = 0;
    }
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    this.#drop();
    this.out.end(this.source.toStatus(error));
  }

  #drop(): void {
    this.#isOver = true;
    this.#owed = [];
    this.#first = 0;
    this.#ids.clear();
  }
}

/** The TTL of an answer that is not known yet; none is negative. */
const PENDING = -1;
