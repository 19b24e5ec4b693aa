import {
  exponentialBuckets,
  type Histogram,
  type Registry,
} from "../base/metrics.ts";

/** What the parts of a server have to do at the moment; read for each exposition only. */
export interface LoadSource {
  /** Writes that wait for a batch, and the bytes that they hold. */
  readonly queuedWrites: number;
  readonly queuedBytes: number;
  /** Bytes of requests that are being received, and their bound. */
  readonly receivingBytes: number;
  readonly maxReceivingBytes: number;
  readonly connections: number;
  readonly activeCalls: number;
  /** The database cannot take writes. */
  readonly isFailing: boolean;
}

/** From 1 ms to 16 s. */
const LAG_BUCKETS = exponentialBuckets(0.001, 2, 15);

/** Registers Stele's own gauges of how busy it is; docs/metrics.md explains each. Returns what the lag goes into. */
export function registerLoadMetrics(
  registry: Registry,
  source: LoadSource,
): Histogram {
  const gauge = (name: string, help: string, read: () => number) =>
    registry.callback("gauge", name, help, read);
  gauge(
    "stele_write_queue_length",
    "Writes that wait for a batch.",
    () => source.queuedWrites,
  );
  gauge(
    "stele_write_queue_bytes",
    "Bytes of requests that wait in the write queue.",
    () => source.queuedBytes,
  );
  gauge(
    "stele_receive_budget_used_bytes",
    "Bytes of messages that are being received.",
    () => source.receivingBytes,
  );
  gauge(
    "stele_receive_budget_max_bytes",
    "The bound of bytes that are being received; more is refused.",
    () => source.maxReceivingBytes,
  );
  gauge(
    "stele_open_connections",
    "Connections of clients that are open.",
    () => source.connections,
  );
  gauge(
    "stele_active_calls",
    "gRPC calls under way, streams included.",
    () => source.activeCalls,
  );
  gauge(
    "stele_database_failing",
    "Whether the database cannot take writes: 1 or 0.",
    () => Number(source.isFailing),
  );
  return registry.histogram(
    "stele_event_loop_lag_seconds",
    "How late timers fired: what every request waited then.",
    LAG_BUCKETS,
  );
}
