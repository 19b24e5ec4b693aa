import type {
  ReplicaRow,
  ReplicaTable,
  RosterEntry,
} from "../backend/replica_table.ts";
import type { Clock, Timer } from "../base/clock.ts";
import { DomainError } from "../base/errors.ts";
import { type Logger, LogThrottle } from "../base/log.ts";
import { otherReplicaId } from "./replica_id.ts";
import { RosterView } from "./roster_view.ts";

export interface ReplicaSetOptions {
  /** How often this server announces itself. Default 700: less than two statements a second, three in a claim's life. */
  readonly heartbeatMs?: number;
  /** How long a claim holds after it was made. Default 2000. */
  readonly ttlMs?: number;
  /** How much earlier its holder lets go of it than others may take it: clocks run at different speeds. Default 300. */
  readonly marginMs?: number;
  /** From 0 to 1. Default `Math.random`. */
  readonly random?: () => number;
}

/** What changes of a server's row. */
export type AppliedLog = Pick<ReplicaRow, "appliedSeq" | "isStarved">;

/** Told when this server becomes the sequencer, and when it is not any more. */
export type RoleListener = (isSequencer: boolean) => void;

/**
 * Who the servers on one database are, and which of them is the sequencer, as seen from one of them.
 *
 *   new --start()--> follower --claim made--> sequencer --claim run out, lost, stop()--> follower or stopped
 *
 * Each announces itself all the time; whoever sees that nobody's claim holds makes one, and the database lets one of
 * them have it. A claim counts from the moment it was asked for, so that its holder never believes in it for longer
 * than the database does, whatever the network did in between: a process that was stopped for a while finds, before it
 * does anything, that it is not the sequencer any more.
 *
 * Even so, the sequencer is only an optimisation: the log decides what is written.
 */
export class ReplicaSet {
  readonly #table: ReplicaTable;
  readonly #self: Omit<ReplicaRow, keyof AppliedLog | "id">;
  readonly #log: AppliedLog;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #throttle: LogThrottle;
  readonly #heartbeatMs: number;
  readonly #ttlMs: number;
  readonly #marginMs: number;
  readonly #random: () => number;
  readonly #roleListeners = new Set<RoleListener>();
  readonly #changeListeners = new Set<() => void>();
  #id: bigint;
  #view: RosterView | undefined = undefined;
  /** Monotonic; in the past, this server is not the sequencer. */
  #heldUntilMs = -Infinity;
  /** What the listeners were told last. */
  #toldRole = false;
  #toldSequencer: bigint | undefined = undefined;
  #failures = 0;
  #beatTimer: Timer | undefined = undefined;
  #roleTimer: Timer | undefined = undefined;
  #beating: Promise<void> | undefined = undefined;
  /** An announcement follows the one under way at once, or the timer is set for one. */
  #isRefreshWanted = false;
  #refreshing: PromiseWithResolvers<void>[] = [];
  #hasWarnedOfRival = false;
  #isStopped = false;

  /** `log` is this server's own: what it has applied. */
  constructor(
    table: ReplicaTable,
    self: Omit<ReplicaRow, keyof AppliedLog>,
    log: AppliedLog,
    clock: Clock,
    logger: Logger,
    options: ReplicaSetOptions = {},
  ) {
    const { id, ...rest } = self;
    this.#table = table;
    this.#id = id;
    this.#self = rest;
    this.#log = log;
    this.#clock = clock;
    this.#logger = logger;
    this.#throttle = new LogThrottle(logger, clock, { periodMs: LOG_MS });
    this.#heartbeatMs = options.heartbeatMs ?? 700;
    this.#ttlMs = options.ttlMs ?? 2000;
    this.#marginMs = options.marginMs ?? 300;
    this.#random = options.random ?? Math.random;
  }

  /**
   * Announces this server, and claims to be the sequencer if nobody is. Rejects if the database does not answer.
   * If another process that lives has the same id, this one takes another, which takes a second to find out.
   */
  async start(): Promise<void> {
    await this.#announce();
    await this.#settleId();
    if (this.#isStopped) return;
    if (this.#wantsClaim()) await this.#announce();
    this.#schedule();
  }

  /** This server's id, which is its member id; final once `start` has resolved. */
  get id(): bigint {
    return this.#id;
  }

  get incarnation(): bigint {
    return this.#self.incarnation;
  }

  /** Whether this server is the sequencer at this moment. */
  get isSequencer(): boolean {
    return this.#clock.monotonicMs() < this.#heldUntilMs;
  }

  /** Whom to forward writes to, this server perhaps; undefined while nobody is known to be the sequencer. */
  get sequencer(): RosterEntry | undefined {
    const sequencer = this.#view?.sequencer(this.#clock.monotonicMs());
    if (sequencer?.incarnation !== this.incarnation) return sequencer;
    return this.isSequencer ? sequencer : undefined;
  }

  /** The servers that are there, this one included, in order of id. */
  get replicas(): readonly RosterEntry[] {
    return this.#view?.replicas(this.#clock.monotonicMs()) ?? [];
  }

  /** Whether another server that is there cannot append, because others always come first. */
  get isAnotherStarved(): boolean {
    return this.replicas.some(({ isStarved, id }) =>
      isStarved && id !== this.#id
    );
  }

  /** `listener` is called with every change from now on. Returns a function that stops it. */
  onRoleChange(listener: RoleListener): () => void {
    this.#roleListeners.add(listener);
    return () => void this.#roleListeners.delete(listener);
  }

  /** `listener` is called when another server is the sequencer, or none is. Returns a function that stops it. */
  onSequencerChange(listener: () => void): () => void {
    this.#changeListeners.add(listener);
    return () => void this.#changeListeners.delete(listener);
  }

  /** Looks again soon: what is known seems to be old. */
  refresh(): void {
    if (this.#isStopped || this.#isRefreshWanted) return;
    this.#isRefreshWanted = true;
    if (this.#beating === undefined) this.#scheduleIn(MIN_GAP_MS);
  }

  /** Resolves once the database was asked after the call; rejects if it does not answer. */
  refreshed(): Promise<void> {
    if (this.#isStopped) return Promise.reject(new DomainError("stopped"));
    const waiting = Promise.withResolvers<void>();
    this.#refreshing.push(waiting);
    this.refresh();
    return waiting.promise;
  }

  /** Gives up the claim, so that another one can have it at once. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#beatTimer?.cancel();
    this.#setHeldUntil(-Infinity);
    await this.#beating;
    for (const waiting of this.#refreshing.splice(0)) {
      waiting.reject(new DomainError("stopped"));
    }
    try {
      await this.#table.retire(this.#id, this.incarnation);
    } catch (error) {
      this.#logger.warn("could not retire from the roster of servers", {
        error,
      });
    }
  }

  async #beat(): Promise<void> {
    const refreshing = this.#refreshing.splice(0);
    try {
      await this.#announce();
      for (const waiting of refreshing) waiting.resolve();
      if (this.#failures > 0) {
        this.#logger.info("this server is on the roster again");
      }
      this.#failures = 0;
      this.#warnOfRival();
    } catch (error) {
      const unhealthy = new DomainError("unhealthy", { cause: error });
      for (const waiting of refreshing) waiting.reject(unhealthy);
      this.#failures++;
      this.#throttle.warn("cannot announce this server to the others", {
        error,
      });
    }
  }

  async #announce(): Promise<void> {
    const sentMs = this.#clock.monotonicMs();
    const claim = this.#wantsClaim() ? { ttlMs: this.#ttlMs } : undefined;
    const { appliedSeq, isStarved } = this.#log;
    const self = { ...this.#self, id: this.#id, appliedSeq, isStarved };
    const roster = await this.#table.announce(self, claim);
    if (this.#isStopped) return;
    const view = new RosterView(roster, this.#clock.monotonicMs());
    this.#view = view;
    if (!view.isClaimOf(this.#id, this.incarnation)) {
      this.#setHeldUntil(-Infinity);
    } else if (claim !== undefined) {
      this.#setHeldUntil(sentMs + this.#ttlMs - this.#marginMs);
    }
    this.#tell();
  }

  /** None before the id is known to be this process' own. */
  #wantsClaim(): boolean {
    const view = this.#view;
    if (view === undefined) return false;
    return view.isClaimOf(this.#id, this.incarnation) ||
      view.claimLeftMs(this.#clock.monotonicMs()) === 0;
  }

  /** Who was here under this id was perhaps this server before a crash: then it stays silent. */
  async #settleId(): Promise<void> {
    const rival = this.#rival();
    if (rival === undefined) return;
    const waitMs = this.#heartbeatMs * 1.5;
    await this.#pause(waitMs);
    this.#view = undefined; // No claim yet.
    await this.#announce();
    const still = this.#rival();
    if (still === undefined || still.incarnation !== rival.incarnation) return;
    if (still.ageMs >= rival.ageMs + waitMs) return;
    const old = this.#id;
    this.#id = otherReplicaId(old, this.incarnation);
    this.#logger.warn("another server has the same name and addresses", {
      memberId: old.toString(16),
      newMemberId: this.#id.toString(16),
      cure: "Give each server its own --name or --advertise-client-urls.",
    });
    await this.#table.retire(old, this.incarnation);
    await this.#announce();
  }

  #rival(): RosterEntry | undefined {
    const youngerThanMs = this.#ttlMs * 2;
    const { incarnation } = this;
    return this.#view?.rival(this.#id, { incarnation, youngerThanMs });
  }

  /** One that came later gives way by itself, unless both started in the same moment. */
  #warnOfRival(): void {
    const rival = this.#rival();
    if (rival === undefined || this.#hasWarnedOfRival) return;
    if (rival.ageMs > this.#heartbeatMs) return;
    this.#hasWarnedOfRival = true;
    this.#logger.warn("another server announces itself under this one's id", {
      memberId: this.#id.toString(16),
      cure: "Give each server its own --name or --advertise-client-urls.",
    });
  }

  #schedule(): void {
    if (this.#isStopped) return;
    if (this.#failures > 0) {
      const longest = Math.min(
        FIRST_RETRY_MS * 2 ** (this.#failures - 1),
        MAX_RETRY_MS,
      );
      return this.#scheduleIn(longest * (0.5 + this.#random() / 2));
    }
    const isOurs = this.#view?.isClaimOf(this.#id, this.incarnation) ?? false;
    if (isOurs) return this.#scheduleIn(this.#heartbeatMs);
    // Whoever waits for a claim to run out comes a little later than that, and not all at once.
    const leftMs = this.#view?.claimLeftMs(this.#clock.monotonicMs()) ?? 0;
    const takeoverMs = leftMs + MIN_GAP_MS + this.#random() * SPREAD_MS;
    this.#scheduleIn(Math.min(takeoverMs, this.#heartbeatMs));
  }

  #scheduleIn(delayMs: number): void {
    this.#beatTimer?.cancel();
    if (this.#isStopped) return;
    this.#beatTimer = this.#clock.after(delayMs, () => {
      this.#isRefreshWanted = false;
      this.#beating = this.#beat().finally(() => {
        this.#beating = undefined;
        if (this.#isRefreshWanted) this.#scheduleIn(MIN_GAP_MS);
        else this.#schedule();
      });
    });
  }

  #setHeldUntil(untilMs: number): void {
    this.#heldUntilMs = untilMs;
    this.#roleTimer?.cancel();
    const leftMs = untilMs - this.#clock.monotonicMs();
    if (leftMs > 0) {
      this.#roleTimer = this.#clock.after(leftMs, () => this.#tell());
    }
    this.#tell();
  }

  #tell(): void {
    const { isSequencer } = this;
    const sequencer = this.sequencer?.incarnation;
    if (sequencer !== this.#toldSequencer) {
      this.#toldSequencer = sequencer;
      for (const listener of [...this.#changeListeners]) listener();
    }
    if (isSequencer === this.#toldRole) return;
    this.#toldRole = isSequencer;
    for (const listener of [...this.#roleListeners]) listener(isSequencer);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(ms, resolve));
  }
}

/** Between two announcements, however urgent. */
const MIN_GAP_MS = 20;
/** Those who want a claim come within so long. */
const SPREAD_MS = 60;
/** After a failure; doubles. */
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 2000;
/** A database that is away is told of by those who need it more. */
const LOG_MS = 10_000;
