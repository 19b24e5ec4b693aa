import type { HeapItem } from "../base/heap.ts";
import { AttachedKeys } from "./attached_keys.ts";
import type { LeaseRecord } from "./lease_record.ts";

/** A committed lease: what the log says of it. */
export class Lease {
  readonly keys = new AttachedKeys();
  /** The running part; undefined on a server that does not expire leases. Only the lessor touches it. */
  countdown: Countdown | undefined = undefined;

  constructor(readonly id: bigint, public record: LeaseRecord) {}

  get ttlMs(): number {
    return this.record.ttlSeconds * 1000;
  }
}

/** The running part of a lease, in memory only, on the server that expires leases. */
export class Countdown implements HeapItem {
  heapIndex = -1;
  /** A write that clears `isRenewing` is on its way: the next renewal has to set it again, behind that. */
  isCheckpointing = false;
  /** Made for those who wait until an expired lease is gone. */
  gone: PromiseWithResolvers<void> | undefined = undefined;

  /** Times are in `Clock.monotonicMs()`; `renewedMs`: when the deadline was set. */
  constructor(
    readonly lease: Lease,
    public renewedMs: number,
    public deadlineMs: number,
  ) {}
}

/** Whether the countdown's lease is still there, and counted down by it. */
export function isLive(countdown: Countdown): boolean {
  return countdown.lease.countdown === countdown;
}
