import type { Registry } from "../base/metrics.ts";
import type { CommitListener, Event } from "../mvcc/event.ts";
import type { EtcdMetrics } from "./etcd_metrics.ts";

/** Totals that others keep since the start; looked at for each exposition. */
export interface ActivitySources {
  readonly leases: {
    readonly counts: {
      readonly granted: number;
      readonly revoked: number;
      readonly renewed: number;
      readonly expired: number;
    };
  };
  readonly watches: { readonly stats: { readonly eventsSent: number } };
  readonly reaper: { readonly removedRows: number };
}

/** Counts what is committed, and takes over the totals of the parts that count themselves. */
export class ActivityMetrics implements CommitListener {
  constructor(
    readonly metrics: EtcdMetrics,
    registry: Registry,
    sources: ActivitySources,
  ) {
    registry.beforeRead(() => {
      const { granted, revoked, renewed, expired } = sources.leases.counts;
      metrics.leasesGranted.value = granted;
      metrics.leasesRevoked.value = revoked;
      metrics.leasesRenewed.value = renewed;
      metrics.leasesExpired.value = expired;
      metrics.eventsSent.value = sources.watches.stats.eventsSent;
      metrics.compactedKeys.value = sources.reaper.removedRows;
    });
  }

  committed(events: readonly Event[]): void {
    let deleted = 0;
    for (let i = 0; i < events.length; i++) if (events[i]!.deleted) deleted++;
    this.metrics.deletes.inc(deleted);
    this.metrics.puts.inc(events.length - deleted);
  }

  compacted(): void {
    this.metrics.lastCompaction.set(Date.now() / 1000);
  }
}
