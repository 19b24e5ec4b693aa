import type { ReplicaTable, RosterEntry } from "../backend/replica_table.ts";
import { decodeState, encodeState } from "../backend/state_codec.ts";
import type { Clock } from "../base/clock.ts";
import { DomainError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { SharedGarbage } from "../compactor/shared_garbage.ts";
import type { Config } from "../config/config.ts";
import { STELE_VERSION } from "../config/version.ts";
import type { Lessor } from "../lease/lessor.ts";
import type { Store } from "../mvcc/store.ts";
import { Duties } from "../replica/duties.ts";
import { ForwardService } from "../replica/forward_service.ts";
import { Forwarder } from "../replica/forwarder.ts";
import type { ReplicatedLog } from "../replica/peer_transport.ts";
import {
  type PeerTls,
  SocketPeerTransport,
} from "../replica/socket_peer_transport.ts";
import { newIncarnation, replicaId } from "../replica/replica_id.ts";
import { ReplicaSet } from "../replica/replica_set.ts";
import type { Access } from "../rpc/access.ts";
import type { MemberInfo } from "../rpc/cluster.ts";
import type { HeaderSource } from "../rpc/header.ts";
import type { Renewals } from "../rpc/lease.ts";
import type { ErrorMapper, Method } from "../transport/grpc/service.ts";

/** So many batches in a row that came too late are no accident. */
const STARVED_AFTER = 3;
/** What is left to others before each batch while one of them is starved: time to read, evaluate and append. */
const GAP_MS = 30;
/** Who has announced itself within so long counts as alive: others wait for it. */
const ALIVE_MS = 5000;

/** What passing writes on is plugged into. */
export interface ForwardingParts {
  readonly access: Access;
  readonly header: HeaderSource;
  readonly mapError: ErrorMapper;
  /** What one message may hold. */
  readonly maxMessageBytes: number;
}

export interface ReplicationParts {
  readonly config: Config;
  readonly table: ReplicaTable;
  readonly store: Store;
  readonly lessor: Lessor;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * A server's place among those that share its database: who they are, and what this one does for all of them while
 * it is the sequencer.
 */
export class Replication {
  readonly garbage: SharedGarbage;
  readonly #set: ReplicaSet;
  readonly #duties: Duties;
  readonly #parts: ReplicationParts;
  #forwarder: Forwarder | undefined = undefined;
  #service: ForwardService | undefined = undefined;

  /** Announces this server; it may be the sequencer at once. */
  static async join(parts: ReplicationParts): Promise<Replication> {
    const { config, store, table, clock, log } = parts;
    const { name, advertiseClientUrls: clientUrls } = config;
    const { clusterId } = store.identity;
    const self = {
      id: replicaId({ clusterId, name, clientUrls }),
      incarnation: newIncarnation(),
      name,
      clientUrls,
      version: STELE_VERSION,
    };
    const applied = {
      get appliedSeq() {
        return store.seq;
      },
      get isStarved() {
        const { queue } = store;
        return queue.length > 0 && queue.lostInARow >= STARVED_AFTER;
      },
    };
    const set = new ReplicaSet(table, self, applied, clock, log);
    await set.start();
    return new Replication(set, parts);
  }

  private constructor(set: ReplicaSet, parts: ReplicationParts) {
    const { store, clock, log } = parts;
    this.#set = set;
    this.#parts = parts;
    this.garbage = new SharedGarbage(store, {
      haveApplied: (seq) =>
        set.replicas.every(({ appliedSeq, ageMs }) =>
          appliedSeq >= seq || ageMs > ALIVE_MS
        ),
    });
    // Whoever can pass its writes on is never starved; one that is cut off from the sequencer may be.
    store.gap = () =>
      store.queue.length > 0 && store.queue.lostInARow === 0 &&
        set.isAnotherStarved
        ? new Promise((resolve) => void clock.after(GAP_MS, resolve))
        : undefined;
    this.#duties = new Duties(this.#all(parts), clock, log);
    set.onRoleChange((isSequencer) => {
      log.info(
        isSequencer
          ? "this server is the sequencer"
          : "this server is not the sequencer any more",
        { memberId: set.id.toString(16) },
      );
      this.#duties.set(isSequencer);
    });
  }

  /** Takes over what is there to take over, now and whenever the role comes to this server. */
  begin(): void {
    this.#duties.set(this.#set.isSequencer);
  }

  /** Gets ready to pass writes on. */
  openForwarding(
    { access, header, mapError, maxMessageBytes }: ForwardingParts,
  ): Forwarding {
    const { config, store, clock, log } = this.#parts;
    const replicated = logOf(store);
    const { secret } = store.identity;
    const forwarder = this.#forwarder = new Forwarder(
      this.#set,
      access,
      replicated,
      header,
      new SocketPeerTransport({ secret, tls: () => peerTls(config) }),
      clock,
      log,
      { maxMessageBytes },
    );
    const here = this.#ownRenewals();
    return {
      renewals: forwarder.renewals(here),
      wrap: (methods) => forwarder.wrap(methods),
      serve: (methods) => {
        const parts = { methods, renewals: here, access, mapError, clock };
        const replicas = this.#set;
        const service = this.#service = new ForwardService({
          ...parts,
          replicas,
          log: replicated,
          secret,
        });
        store.feed = {
          get isWanted() {
            return service.hasListeners;
          },
          appended: ({ state, ...batch }) =>
            service.tell({ ...batch, ops: encodeState(state) }),
        };
        return service.method();
      },
    };
  }

  /** Begins to pass writes on. */
  startForwarding(): void {
    this.#forwarder?.start();
  }

  get memberId(): bigint {
    return this.#set.id;
  }

  /** Whether this server ends leases and removes compacted rows, and has taken over whole. */
  get isOnDuty(): boolean {
    return this.#duties.isOn && this.#set.isSequencer;
  }

  /** 0: nobody at the moment. */
  get leaderId(): bigint {
    return this.#set.sequencer?.id ?? 0n;
  }

  /** As `ReplicaSet.refreshed`. */
  refreshed(): Promise<void> {
    return this.#set.refreshed();
  }

  get members(): readonly MemberInfo[] {
    return this.#set.replicas.map((entry) => this.#member(entry));
  }

  /** Lets go of all duties, and of this server's place. The lessor has stopped, in its own way. */
  async stop(): Promise<void> {
    await this.#duties.stop();
    await this.#set.stop();
  }

  /** Takes no more writes of others, and passes none on; the store is still there. */
  async closeForwarding(): Promise<void> {
    await this.#service?.close();
    await this.#forwarder?.close();
  }

  /** A renewal counts only if nobody can have taken over before it is answered. */
  #ownRenewals(): Renewals {
    const { lessor } = this.#parts;
    const check = (ttl: number) => {
      if (!this.isOnDuty) throw new DomainError("noLeader");
      return ttl;
    };
    return {
      keepAlive: (id) => {
        check(0);
        const ttl = lessor.keepAlive(id);
        return typeof ttl === "number" ? check(ttl) : ttl.then(check);
      },
    };
  }

  #all({ store, lessor }: ReplicationParts) {
    const name = this.#set.incarnation.toString(16);
    return [
      {
        name: "taking over",
        begin: async () => {
          // Whoever had it before ends no lease from here on, however long it stood still.
          await store.write((tx) => store.sequencer.take(tx, name), {
            isOwn: true,
          });
        },
        end: () => {},
      },
      {
        name: "leases",
        begin: () => lessor.start((tx) => store.sequencer.isHeldIn(tx, name)),
        end: () => lessor.resign(),
      },
      {
        name: "compacted rows",
        begin: () => void (this.garbage.isOnDuty = true),
        end: () => void (this.garbage.isOnDuty = false),
      },
    ];
  }

  #member({ id, name, clientUrls }: RosterEntry): MemberInfo {
    const { initialAdvertisePeerUrls } = this.#parts.config;
    const peerUrls = id === this.#set.id ? initialAdvertisePeerUrls : [];
    return { id, name, clientUrls, peerUrls };
  }
}

/** How calls are passed on, for the services. */
export interface Forwarding {
  readonly renewals: Renewals;
  /** With those in front that are passed on. */
  wrap(methods: readonly Method[]): Method[];
  /** What other servers call; `methods` are not wrapped, and have no gate in front. */
  serve(methods: readonly Method[]): Method;
}

function logOf(store: Store): ReplicatedLog {
  return {
    get seq() {
      return store.seq;
    },
    reached: async (seq) => await store.follower?.reached(seq),
    offer: ({ ops, id, ...batch }) =>
      store.follower?.offer({
        ...batch,
        // It is kept, the message is not.
        id: id.slice(),
        state: decodeState(ops),
      }),
  };
}

/** Other servers are shown the certificate that clients are shown, and must have one from the same authority. */
function peerTls({ tls }: Config): PeerTls {
  const read = (path: string) =>
    path === "" ? undefined : Deno.readFileSync(path);
  return {
    authorities: read(tls.trustedCaFile),
    certificate: read(tls.certFile),
    key: read(tls.keyFile),
    verifies: !(tls.autoTls && tls.certFile === ""),
  };
}
