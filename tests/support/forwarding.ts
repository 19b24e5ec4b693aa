import type { RosterEntry } from "../../src/backend/replica_table.ts";
import { SystemClock } from "../../src/base/clock.ts";
import { DomainError } from "../../src/base/errors.ts";
import { NO_LOG } from "../../src/base/log.ts";
import {
  KVService,
  LeaseService,
  newLeaseTimeToLiveResponse,
  newPutResponse,
  newTxnResponse,
  type PutRequest,
  type PutResponse,
} from "../../src/pb/etcdserverpb.ts";
import {
  ForwardService,
  type ForwardServiceParts,
} from "../../src/replica/forward_service.ts";
import type { SequencerSource } from "../../src/replica/forwarder.ts";
import type { ReplicatedLog } from "../../src/replica/peer_transport.ts";
import { errorMapper } from "../../src/rpc/errors.ts";
import { HeaderSource } from "../../src/rpc/header.ts";
import { GrpcServer } from "../../src/transport/grpc/server.ts";
import {
  type Call,
  type Method,
  newStreamTraffic,
  type UnaryMethod,
} from "../../src/transport/grpc/service.ts";
import { Connection } from "../../src/transport/http2/connection.ts";
import { DEFAULT_HTTP2_LIMITS } from "../../src/transport/http2/limits.ts";
import { Listener, type SecureLayer } from "../../src/transport/listener.ts";
import { newAccess } from "./access.ts";

/** What two replicas of a test know in common. */
export const SECRET = new Uint8Array(32).fill(7);

/** A log that a test moves on. */
export class FakeReplicatedLog implements ReplicatedLog {
  #seq = 0;
  #waiting: { seq: number; resolve: () => void }[] = [];

  get seq(): number {
    return this.#seq;
  }

  set seq(seq: number) {
    this.#seq = seq;
    for (const waiter of this.#waiting) {
      if (waiter.seq <= seq) waiter.resolve();
    }
    this.#waiting = this.#waiting.filter((waiter) => waiter.seq > seq);
  }

  /** The seqs of batches that were offered. */
  readonly offered: number[] = [];

  offer({ seq }: { readonly seq: number }): void {
    this.offered.push(seq);
  }

  reached(seq: number): Promise<void> {
    if (seq <= this.#seq) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ seq, resolve }));
  }
}

/** What a test says of who the sequencer is. */
export class FakeSequencer implements SequencerSource {
  isSequencer = false;
  refreshes = 0;
  #sequencer: RosterEntry | undefined = undefined;
  readonly #listeners = new Set<() => void>();

  get sequencer(): RosterEntry | undefined {
    return this.#sequencer;
  }

  set sequencer(entry: RosterEntry | undefined) {
    this.#sequencer = entry;
    for (const listener of this.#listeners) listener();
  }

  /** Without telling anybody. */
  setQuietly(entry: RosterEntry): void {
    this.#sequencer = entry;
  }

  onSequencerChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  refresh(): void {
    this.refreshes++;
  }
}

/** The API of one replica: it answers at once, or when a test lets it, and remembers what it was asked. */
export class FakeApi {
  readonly puts: PutRequest[] = [];
  readonly calls: Call[] = [];
  txns = 0;
  answer: (request: PutRequest) => PutResponse | Promise<PutResponse>;
  readonly header: HeaderSource;

  constructor(readonly memberId: bigint) {
    this.header = new HeaderSource(1n, memberId, 2);
    this.answer = () => this.putResponse(5);
  }

  putResponse(revision: number): PutResponse {
    return newPutResponse({ header: this.header.at(revision) });
  }

  get put(): UnaryMethod<PutRequest, PutResponse> {
    return {
      ...KVService.methods.put,
      kind: "unary",
      handle: (request, call) => {
        this.puts.push(request);
        this.calls.push(call);
        return this.answer(request);
      },
    };
  }

  methods(): Method[] {
    return [
      this.put,
      {
        ...KVService.methods.txn,
        kind: "unary",
        handle: () => {
          this.txns++;
          return newTxnResponse({ header: this.header.at(6) });
        },
      },
      {
        ...LeaseService.methods.leaseTimeToLive,
        kind: "unary",
        handle: ({ ID }) =>
          newLeaseTimeToLiveResponse({
            header: this.header.at(7),
            ID,
            TTL: Number(this.memberId),
          }),
      },
    ];
  }
}

/** A replica that takes what others pass on, on a port of its own. */
export class SequencerServer implements AsyncDisposable {
  readonly log = new FakeReplicatedLog();
  readonly access = newAccess();
  readonly role: { id: bigint; isSequencer: boolean };
  readonly service: ForwardService;
  ttl: () => number | Promise<number> = () => 60;
  readonly #listener: Listener;
  readonly #grpc: GrpcServer;

  constructor(
    readonly api: FakeApi,
    parts: Partial<ForwardServiceParts> = {},
    tls?: SecureLayer,
  ) {
    const clock = new SystemClock();
    this.role = { id: api.memberId, isSequencer: true };
    const mapError = errorMapper(NO_LOG);
    this.service = new ForwardService({
      replicas: this.role,
      methods: api.methods(),
      renewals: { keepAlive: () => this.ttl() },
      access: this.access,
      log: this.log,
      mapError,
      clock,
      secret: SECRET,
      ...parts,
    });
    this.#grpc = new GrpcServer([this.service.method()], clock, {
      mapError,
      observer: {
        started: () => {},
        traffic: newStreamTraffic,
        handled: () => {},
      },
    });
    this.#listener = new Listener(
      { kind: "tcp", host: "127.0.0.1", port: 0 },
      {
        http2: (sink, peer) =>
          new Connection(sink, this.#grpc, clock, DEFAULT_HTTP2_LIMITS, peer),
        http1: undefined,
        clock,
        log: NO_LOG,
        tls,
      },
    );
  }

  async listen(): Promise<this> {
    await this.#listener.listen();
    return this;
  }

  entry(incarnation = this.role.id): RosterEntry {
    return rosterEntry(this.role.id, incarnation, this.#listener.url);
  }

  /** As if it was killed. */
  async kill(): Promise<void> {
    this.#grpc.stopStreams();
    await this.#listener.shutdown(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

export function rosterEntry(
  id: bigint,
  incarnation: bigint,
  url: string,
): RosterEntry {
  return {
    id,
    incarnation,
    name: `r${id}`,
    clientUrls: [url],
    version: "1",
    appliedSeq: 0,
    isStarved: false,
    ageMs: 0,
  };
}

/** Fails a call as the domain does. */
export function failing(kind: DomainError["kind"]): () => never {
  return () => {
    throw new DomainError(kind);
  };
}
