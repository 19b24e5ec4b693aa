import type { Backend, SizeInfo } from "../backend/backend.ts";
import { DomainError } from "../base/errors.ts";
import { AlarmOrigin, type Alarms, AlarmType } from "./alarms.ts";
import type { Store } from "./store.ts";
import type { WriteTx } from "./write_batch.ts";

/** A quota's alarm clears once usage is below this share of the quota, so that it does not flap. */
const CLEAR_BELOW = 0.9;

/**
 * The limit on the size of the data. What a write costs is known before it is queued, so that the
 * alarm is raised before the space is used up: the size at the last look plus all that was appended
 * since, plus the write itself.
 *
 * Only bytes in use count: free pages are used again by the next writes.
 *
 * Where several servers share a database, one of them is in charge of the alarm: each knows only its own appends since
 * its last look, and two that disagree would raise and clear it in turns.
 */
export class SpaceQuota {
  #size: SizeInfo = { totalBytes: 0, inUseBytes: 0 };
  #appendedAtLook = 0;
  #isRaising = false;

  constructor(
    readonly backend: Backend,
    readonly store: Store,
    readonly alarms: Alarms,
    readonly memberId: bigint,
    /** Bytes; Infinity: no quota. */
    readonly limitBytes: number,
    /** Whether this server raises the quota's alarm and clears it. Default: it does. */
    readonly isInCharge: () => boolean = () => true,
  ) {}

  /** The database's size at the last look. */
  get size(): SizeInfo {
    return this.#size;
  }

  /** What is in use now, as far as can be told without a look. */
  get usedBytes(): number {
    return this.#size.inUseBytes + this.store.bytesAppended -
      this.#appendedAtLook;
  }

  /** Throws if no write may be made at all. */
  admitAny(): void {
    if (this.alarms.has(AlarmType.Corrupt)) throw new DomainError("corrupt");
  }

  /** Throws if a write that takes space may not be made. */
  admit(costBytes: number): void {
    this.admitAny();
    if (this.alarms.has(AlarmType.NoSpace)) throw new DomainError("noSpace");
    if (this.usedBytes + costBytes < this.limitBytes) return;
    if (!this.isInCharge()) return;
    this.#raise();
    throw new DomainError("noSpace");
  }

  /** Looks at the database's size, and clears the quota's own alarm when there is room again. */
  async look(): Promise<void> {
    const appended = this.store.bytesAppended;
    this.#size = await this.backend.size();
    this.#appendedAtLook = appended;
    if (this.#size.isDiskFull === true) return this.#raise();
    if (!this.isInCharge()) return;
    // What others append nobody else looks at.
    const isShared = !this.backend.isExclusive;
    if (isShared && this.usedBytes >= this.limitBytes) return this.#raise();
    if (this.usedBytes >= this.limitBytes * CLEAR_BELOW) return;
    const raised = this.alarms.list(AlarmType.NoSpace)
      .filter((alarm) => alarm.origin === AlarmOrigin.Quota);
    if (raised.length === 0) return;
    await this.store.write((tx) => {
      for (const alarm of raised) this.alarms.deactivate(tx, alarm);
    });
  }

  /** The disk has no room for a write: raises the alarm, in what the database kept in reserve. */
  diskFull(): void {
    this.#size = { ...this.#size, isDiskFull: true };
    this.#raise();
  }

  /** Whether the disk was full when it was last looked at. */
  get isDiskFull(): boolean {
    return this.#size.isDiskFull === true;
  }

  #raise(): void {
    if (this.#isRaising || this.alarms.has(AlarmType.NoSpace)) return;
    this.#isRaising = true;
    const alarm = {
      memberId: this.memberId,
      type: AlarmType.NoSpace,
      origin: AlarmOrigin.Quota,
    };
    const activate = (tx: WriteTx) => this.alarms.activate(tx, alarm);
    this.store.write(activate, { isOwn: true })
      .catch(() => {}) // the write that was refused has said so already
      .finally(() => this.#isRaising = false);
  }
}
