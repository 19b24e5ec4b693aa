import type { RosterEntry } from "../backend/replica_table.ts";
import type { Clock, Timer } from "../base/clock.ts";
import { DomainError } from "../base/errors.ts";
import { type Logger, LogThrottle } from "../base/log.ts";
import {
  AuthService,
  decodeResponseHeader,
  KVService,
  LeaseKeepAliveRequestCodec,
  LeaseKeepAliveResponseCodec,
  LeaseService,
  newLeaseKeepAliveRequest,
  type TxnRequest,
} from "../pb/etcdserverpb.ts";
import {
  type ForwardedAnswer,
  type ForwardedCall,
  newForwardedCall,
} from "../pb/stelepb.ts";
import type { Access, Caller } from "../rpc/access.ts";
import { isReadOnlyTxn } from "../rpc/check.ts";
import { STATUS } from "../rpc/errors.ts";
import type { HeaderSource } from "../rpc/header.ts";
import type { Renewals } from "../rpc/lease.ts";
import type { Codec } from "../transport/grpc/codec.ts";
import type { Call, Method, UnaryMethod } from "../transport/grpc/service.ts";
import { Code, StatusError } from "../transport/grpc/status.ts";
import { PeerLink, type PeerLinkOptions } from "./peer_link.ts";
import type { PeerTransport, ReplicatedLog } from "./peer_transport.ts";

/** Writes: passed on if that is possible, and made here if not. */
const WRITES: ReadonlySet<string> = new Set([
  KVService.methods.put.path,
  KVService.methods.deleteRange.path,
  KVService.methods.txn.path,
  KVService.methods.compact.path,
  ...[
    AuthService.methods.authEnable,
    AuthService.methods.authDisable,
    AuthService.methods.userAdd,
    AuthService.methods.userDelete,
    AuthService.methods.userChangePassword,
    AuthService.methods.userGrantRole,
    AuthService.methods.userRevokeRole,
    AuthService.methods.roleAdd,
    AuthService.methods.roleDelete,
    AuthService.methods.roleGrantPermission,
    AuthService.methods.roleRevokePermission,
  ].map(({ path }) => path),
  LeaseService.methods.leaseGrant.path,
  LeaseService.methods.leaseRevoke.path,
]);
/** What nobody but the sequencer knows: when leases end. */
const QUESTIONS: ReadonlySet<string> = new Set([
  LeaseService.methods.leaseTimeToLive.path,
  LeaseService.methods.leaseLeases.path,
]);
const RENEWAL_PATH = LeaseService.methods.leaseKeepAlive.path;

/** A write is passed on again if users or roles changed while it was on its way. */
const MAX_TRIES = 3;
/** How long a question waits for somebody to ask. */
const MAX_WAIT_MS = 3000;
/** How often it looks for one. */
const LOOK_AGAIN_MS = 50;
/** How often it is looked whether there is a sequencer, beside being told. */
const LOOK_FOR_PEER_MS = 500;
/** Until a link that went down is tried again; doubles. */
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 2000;
/** Time for the calls under way to be answered at the end. */
const CLOSE_MS = 2000;
const LOG_MS = 10_000;

/** What the forwarder needs to know of the replicas; `ReplicaSet` knows. */
export interface SequencerSource {
  readonly isSequencer: boolean;
  /** This replica, perhaps. */
  readonly sequencer: RosterEntry | undefined;
  onSequencerChange(listener: () => void): () => void;
  refresh(): void;
}

/**
 * Passes writes on to the sequencer, so that replicas do not race for the end of the log, and asks it what only it
 * knows of leases.
 *
 * A write that was surely not made there is made here, by appending to the log as anybody may; one whose answer is
 * lost fails, and is never made again. So a write is made once at most, whatever becomes of the sequencer.
 */
export class Forwarder {
  /** Calls that were passed on. */
  passedOn = 0;
  /** Of these, those that came back and were made here. */
  refused = 0;
  readonly #replicas: SequencerSource;
  readonly #access: Pick<Access, "caller">;
  readonly #log: ReplicatedLog;
  readonly #header: Pick<HeaderSource, "at">;
  readonly #transport: PeerTransport;
  readonly #clock: Clock;
  readonly #throttle: LogThrottle;
  readonly #options: PeerLinkOptions;
  #link: PeerLink | undefined = undefined;
  readonly #retiring = new Set<PeerLink>();
  #failures = 0;
  #retryTimer: Timer | undefined = undefined;
  #unsubscribe: (() => void) | undefined = undefined;
  /** Shared by all questions that wait. */
  #nextLook: Promise<void> | undefined = undefined;
  #isClosed = false;

  constructor(
    replicas: SequencerSource,
    access: Pick<Access, "caller">,
    log: ReplicatedLog,
    header: Pick<HeaderSource, "at">,
    transport: PeerTransport,
    clock: Clock,
    logger: Logger,
    options: PeerLinkOptions,
  ) {
    this.#replicas = replicas;
    this.#access = access;
    this.#log = log;
    this.#header = header;
    this.#transport = transport;
    this.#clock = clock;
    this.#throttle = new LogThrottle(logger, clock, { periodMs: LOG_MS });
    this.#options = options;
  }

  /** Connects to the sequencer, now and whenever it is another one. */
  start(): void {
    this.#unsubscribe = this.#replicas.onSequencerChange(() => {
      this.#failures = 0;
      this.#connect();
    });
    this.#connect();
  }

  /** Whether writes are passed on at this moment. */
  get isConnected(): boolean {
    return this.#usableLink() !== undefined;
  }

  /** Passes nothing on any more, and waits for the answers to come, for as long as somebody is heard, up to a limit. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#unsubscribe?.();
    this.#retryTimer?.cancel();
    const links = [...this.#retiring];
    if (this.#link !== undefined) links.push(this.#link);
    this.#link = undefined;
    for (const link of links) link.retire();
    const timer = this.#clock.after(CLOSE_MS, () => {
      for (const link of links) link.close();
    });
    await Promise.all(links.map((link) => link.closed));
    timer.cancel();
    this.#transport.close();
  }

  /** The methods, with those in front that are to be passed on; all others stay as they are. */
  wrap(methods: readonly Method[]): Method[] {
    return methods.map((method) => {
      if (method.kind !== "unary") return method;
      if (WRITES.has(method.path)) return this.forward(method);
      return QUESTIONS.has(method.path) ? this.#question(method) : method;
    });
  }

  /** A write. */
  forward<Req, Res>(method: UnaryMethod<Req, Res>): UnaryMethod<Req, Res> {
    const isTxn = method.path === KVService.methods.txn.path;
    return {
      ...method,
      handle: (request, call, bytes) => {
        const link = this.#usableLink();
        const isRead = isTxn && isReadOnlyTxn(request as TxnRequest);
        if (link === undefined || isRead) {
          return method.handle(request, call, bytes);
        }
        return this.#passOn(method, { request, call, bytes }, link);
      },
    };
  }

  /** Renews leases with the sequencer; `here` are those of this replica, for when it is the sequencer. */
  renewals(here: Renewals): Renewals {
    return {
      keepAlive: (id) => {
        if (!this.#replicas.isSequencer) return this.#renewal(id, here);
        try {
          return here.keepAlive(id);
        } catch (error) {
          if (!isWithoutLeader(error)) throw error;
          return this.#renewal(id, here);
        }
      },
    };
  }

  async #passOn<Req, Res>(
    method: UnaryMethod<Req, Res>,
    { request, call, bytes }: Asked<Req>,
    link: PeerLink,
  ): Promise<Res> {
    for (let tries = 0; tries < MAX_TRIES && link.isUsable; tries++) {
      const caller = this.#access.caller(call);
      const forwarded = forwardedCall(method, request, caller);
      if (!link.fits(forwarded)) break;
      if (link.isFull) throw new DomainError("tooManyRequests");
      this.passedOn++;
      const answer = await link.ask(forwarded);
      if (answer === undefined) {
        this.refused++;
        this.#replicas.refresh();
        break;
      }
      if (!answer.stale) return this.#response(method.response, answer);
    }
    return await method.handle(request, call, bytes);
  }

  #question<Req, Res>(method: UnaryMethod<Req, Res>): UnaryMethod<Req, Res> {
    return {
      ...method,
      handle: (request, call, bytes) =>
        this.#untilAnswered(
          () => method.handle(request, call, bytes),
          () => forwardedCall(method, request, this.#access.caller(call)),
          method.response,
        ),
    };
  }

  async #renewal(id: bigint, here: Renewals): Promise<number> {
    const request = newLeaseKeepAliveRequest({ ID: id });
    const method = { path: RENEWAL_PATH, request: LeaseKeepAliveRequestCodec };
    const { TTL } = await this.#untilAnswered(
      async () => ({ TTL: await here.keepAlive(id) }),
      // Who may renew it was looked at here.
      () => forwardedCall(method, request, undefined),
      LeaseKeepAliveResponseCodec,
    );
    return TTL;
  }

  /** Asking again does no harm: so it is done until somebody knows, or time is up. */
  async #untilAnswered<Res>(
    here: () => Res | Promise<Res>,
    forwarded: () => ForwardedCall,
    response: Codec<Res>,
  ): Promise<Res> {
    const untilMs = this.#clock.monotonicMs() + MAX_WAIT_MS;
    for (;;) {
      try {
        if (this.#replicas.isSequencer) return await here();
        const link = this.#usableLink();
        const answer = await link?.ask(forwarded());
        if (answer !== undefined && !answer.stale) {
          return this.#response(response, answer);
        }
      } catch (error) {
        if (!isWithoutLeader(error)) throw error;
      }
      if (this.#isClosed || this.#clock.monotonicMs() >= untilMs) {
        throw new DomainError("noLeader");
      }
      await this.#lookAgain();
    }
  }

  #lookAgain(): Promise<void> {
    return this.#nextLook ??= new Promise((resolve) => {
      this.#clock.after(LOOK_AGAIN_MS, () => {
        this.#nextLook = undefined;
        resolve();
      });
    });
  }

  /** With this replica's own header: who asks talks to this member. */
  #response<Res>(codec: Codec<Res>, answer: ForwardedAnswer): Res {
    if (answer.code !== Code.Ok) {
      throw new StatusError(answer.code as Code, answer.message);
    }
    const response = codec.decode(answer.response);
    const headed = response as { header: Uint8Array | undefined };
    if (headed.header !== undefined) {
      const { revision } = decodeResponseHeader(headed.header);
      headed.header = this.#header.at(revision);
    }
    return response;
  }

  #usableLink(): PeerLink | undefined {
    const link = this.#link;
    if (link === undefined || !link.isUsable) return undefined;
    return this.#replicas.isSequencer ? undefined : link;
  }

  #connect(): void {
    this.#retryTimer?.cancel();
    if (this.#isClosed) return;
    const { isSequencer, sequencer } = this.#replicas;
    const peer = isSequencer ? undefined : sequencer;
    const link = this.#link;
    if (link !== undefined) {
      if (link.peer.incarnation === peer?.incarnation) return;
      this.#link = undefined;
      this.#retiring.add(link);
      link.retire();
      for (const each of this.#retiring) {
        if (each.isClosed) this.#retiring.delete(each);
      }
    }
    if (peer === undefined) {
      // Nobody is told of a claim that runs out and is made again in the same moment.
      if (!isSequencer) this.#connectAfter(LOOK_FOR_PEER_MS);
      return;
    }
    this.#link = new PeerLink(
      peer,
      this.#transport,
      this.#log,
      this.#clock,
      (down, error) => this.#wentDown(down, error),
      this.#options,
    );
  }

  #wentDown(link: PeerLink, error: Error | undefined): void {
    this.#retiring.delete(link);
    if (this.#link !== link || this.#isClosed) return;
    this.#link = undefined;
    if (error !== undefined) this.#warn(link, error);
    this.#replicas.refresh();
    if (link.wasOpen) this.#failures = 0;
    const delayMs = Math.min(
      FIRST_RETRY_MS * 2 ** this.#failures,
      MAX_RETRY_MS,
    );
    this.#failures++;
    this.#connectAfter(delayMs);
  }

  #connectAfter(delayMs: number): void {
    this.#retryTimer = this.#clock.after(delayMs, () => this.#connect());
  }

  #warn(link: PeerLink, error: Error): void {
    this.#throttle.warn("cannot pass writes on to the sequencer", {
      sequencer: link.peer.id.toString(16),
      name: link.peer.name,
      clientUrls: link.peer.clientUrls,
      error,
    });
  }
}

interface Asked<Req> {
  readonly request: Req;
  readonly call: Call;
  readonly bytes: number;
}

function forwardedCall<Req>(
  { path, request: codec }: Pick<UnaryMethod<Req, unknown>, "path" | "request">,
  request: Req,
  caller: Caller | undefined,
): ForwardedCall {
  const bytes = new Uint8Array(codec.size(request));
  codec.write(request, bytes, 0);
  return newForwardedCall({
    path,
    request: bytes,
    hasCaller: caller !== undefined,
    caller: caller?.name ?? "",
    authRevision: caller?.revision ?? 0,
  });
}

/** Nobody knows, for the moment. */
function isWithoutLeader(error: unknown): boolean {
  if (error instanceof DomainError) {
    return error.kind === "noLeader" || error.kind === "timeoutConnectionLost";
  }
  return error instanceof StatusError &&
    error.message === STATUS.noLeader.message;
}
