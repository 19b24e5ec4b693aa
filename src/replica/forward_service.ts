import { timingSafeEqual } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import {
  type LeaseKeepAliveRequest,
  LeaseKeepAliveRequestCodec,
  type LeaseKeepAliveResponse,
  LeaseKeepAliveResponseCodec,
  LeaseService,
  newLeaseKeepAliveResponse,
} from "../pb/etcdserverpb.ts";
import {
  type AppendedBatch,
  type ForwardAnswers,
  ForwardAnswersCodec,
  type ForwardedAnswer,
  type ForwardedCall,
  type ForwardRequests,
  ForwardRequestsCodec,
  newForwardedAnswer,
} from "../pb/stelepb.ts";
import type { Access } from "../rpc/access.ts";
import type { Renewals } from "../rpc/lease.ts";
import type {
  Call,
  DuplexMethod,
  ErrorMapper,
  MessageWriter,
  Method,
  UnaryMethod,
} from "../transport/grpc/service.ts";
import { Code, StatusError } from "../transport/grpc/status.ts";
import { ForwardedStream, type ForwardHost } from "./forwarded_stream.ts";
import { type CallOrigin, PassedOnCall } from "./passed_on_call.ts";
import {
  FORWARD_PATH,
  type ReplicatedLog,
  SECRET_FIELD,
  TARGET_FIELD,
} from "./peer_transport.ts";

/** Streams from other replicas; each has one, and one more while it reconnects. */
const MAX_STREAMS = 256;
/** Longer ones are nobody's. */
const MAX_SECRET_CHARS = 128;

/** What the service needs to know of the replicas; `ReplicaSet` knows. */
export interface SequencerRole {
  readonly id: bigint;
  readonly isSequencer: boolean;
}

/** What matters of users and roles; `AuthState` knows. */
export interface AuthView {
  readonly isEnabled: boolean;
  /** Grows with every change. */
  readonly revision: number;
}

/** What the service is plugged into. */
export interface ForwardServiceParts {
  readonly replicas: SequencerRole;
  /** The API's unary methods as they are here: not wrapped by a forwarder, and without a gate in front. */
  readonly methods: readonly Method[];
  readonly renewals: Renewals;
  readonly access: Pick<Access, "vouch"> & { readonly auth: AuthView };
  readonly log: ReplicatedLog;
  readonly mapError: ErrorMapper;
  readonly clock: Clock;
  /** What all replicas of the database know, and nobody else. 32 bytes. */
  readonly secret: Uint8Array;
}

/**
 * Makes the calls that other replicas pass on, as long as this one is the sequencer; refuses them otherwise. Who knows
 * the secret of the database is trusted to have found out who calls.
 */
export class ForwardService implements ForwardHost {
  readonly #parts: ForwardServiceParts;
  readonly #methods = new Map<string, UnaryMethod<unknown, unknown>>();
  readonly #secret: Uint8Array;
  readonly #streams = new Set<ForwardedStream>();
  /** Users and roles as they were seen last, and where in the log that was. */
  #seenAuth = { isEnabled: false, revision: 0, seq: 0 };
  #isClosing = false;

  constructor(parts: ForwardServiceParts) {
    this.#parts = parts;
    this.#secret = new TextEncoder().encode(parts.secret.toHex());
    for (const method of [...parts.methods, renewal(parts.renewals)]) {
      if (method.kind === "unary") this.#methods.set(method.path, method);
    }
  }

  /** The method to register with the gRPC server, past every gate. */
  method(): DuplexMethod<ForwardRequests, ForwardAnswers> {
    return {
      kind: "duplex",
      path: FORWARD_PATH,
      request: ForwardRequestsCodec,
      response: ForwardAnswersCodec,
      open: (call, out) => this.#open(call, out),
    };
  }

  /** Whether anybody listens to `tell`. */
  get hasListeners(): boolean {
    return this.#streams.size > 0;
  }

  /** Tells all other replicas of a batch that this one has made durable. */
  tell(batch: AppendedBatch): void {
    for (const stream of this.#streams) stream.tell(batch);
  }

  /** Takes no more calls, and resolves when those under way are answered, or have had their time. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await Promise.all([...this.#streams].map((stream) => stream.finish()));
  }

  // What streams ask.

  get isTaking(): boolean {
    return !this.#isClosing && this.#parts.replicas.isSequencer;
  }

  get log(): ReplicatedLog {
    return this.#parts.log;
  }

  get clock(): Clock {
    return this.#parts.clock;
  }

  async make(
    forwarded: ForwardedCall,
    { origin, seq }: { readonly origin: CallOrigin; readonly seq: number },
  ): Promise<ForwardedAnswer> {
    const { id, path, hasCaller, caller: name } = forwarded;
    const method = this.#methods.get(path);
    if (method === undefined) return newForwardedAnswer({ id, refused: true });
    if (this.#isStale(forwarded, seq)) {
      return newForwardedAnswer({ id, stale: true });
    }
    const { access, mapError } = this.#parts;
    const call = new PassedOnCall(path, origin);
    const revision = forwarded.authRevision;
    access.vouch(call, hasCaller ? { name, revision } : undefined);
    try {
      const request = method.request.decode(forwarded.request);
      const bytes = forwarded.request.length;
      const answer = await method.handle(request, call, bytes);
      const response = new Uint8Array(method.response.size(answer));
      method.response.write(answer, response, 0);
      return newForwardedAnswer({ id, response });
    } catch (error) {
      const { code, message } = mapError(error, path);
      return newForwardedAnswer({ id, code, message });
    }
  }

  ended(stream: ForwardedStream): void {
    this.#streams.delete(stream);
  }

  /** Whether users or roles may have changed since the sender found out who calls, to the caller's disadvantage. */
  #isStale({ hasCaller, authRevision }: ForwardedCall, seq: number): boolean {
    const { isEnabled, revision } = this.#parts.access.auth;
    const seen = this.#seenAuth;
    if (seen.isEnabled !== isEnabled || seen.revision !== revision) {
      this.#seenAuth = { isEnabled, revision, seq: this.#parts.log.seq };
    }
    if (!isEnabled || seq >= this.#seenAuth.seq) return false;
    return !hasCaller || authRevision < revision;
  }

  #open(call: Call, out: MessageWriter<ForwardAnswers>): ForwardedStream {
    if (!this.#knowsSecret(call.metadata(SECRET_FIELD))) {
      throw new StatusError(Code.Unauthenticated, "not a replica's secret");
    }
    const { id } = this.#parts.replicas;
    if (call.metadata(TARGET_FIELD) !== id.toString(16)) {
      throw new StatusError(
        Code.FailedPrecondition,
        "another replica answers at this address",
      );
    }
    if (this.#isClosing || this.#streams.size >= MAX_STREAMS) {
      throw new StatusError(Code.Unavailable, "no more streams of replicas");
    }
    const stream = new ForwardedStream(call.peer, out, this);
    this.#streams.add(stream);
    return stream;
  }

  /** In a time that does not tell how much of it was right. */
  #knowsSecret(shown: string | undefined): boolean {
    if (shown === undefined || shown.length > MAX_SECRET_CHARS) return false;
    const bytes = new TextEncoder().encode(shown);
    return bytes.length === this.#secret.length &&
      timingSafeEqual(bytes, this.#secret);
  }
}

/** A renewal, which clients ask for on a stream, as one call. */
function renewal(
  renewals: Renewals,
): UnaryMethod<LeaseKeepAliveRequest, LeaseKeepAliveResponse> {
  return {
    kind: "unary",
    path: LeaseService.methods.leaseKeepAlive.path,
    request: LeaseKeepAliveRequestCodec,
    response: LeaseKeepAliveResponseCodec,
    handle: async ({ ID }) =>
      newLeaseKeepAliveResponse({ ID, TTL: await renewals.keepAlive(ID) }),
  };
}
