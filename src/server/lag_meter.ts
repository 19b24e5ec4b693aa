import type { Clock } from "../base/clock.ts";
import { EventLoopLag } from "../base/event_loop_lag.ts";
import { type Logger, LogThrottle } from "../base/log.ts";
import type { Registry } from "../base/metrics.ts";
import { type LoadSource, registerLoadMetrics } from "../http/load_metrics.ts";

/** A server that stalls does so again and again: one line in so long. */
const LAG_LOG_MS = 10_000;

/** Measures how late the event loop is, for metrics, and logs it when it stood still. Returns a function that ends it. */
export function startLagMeter(
  registry: Registry,
  source: LoadSource,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): () => void {
  const throttle = new LogThrottle(log, clock, { periodMs: LAG_LOG_MS });
  const histogram = registerLoadMetrics(registry, source);
  const lag = new EventLoopLag(clock, histogram, (lagMs) => {
    throttle.warn("the event loop stood still", {
      lagMs: Math.round(lagMs),
      queuedWrites: source.queuedWrites,
      activeCalls: source.activeCalls,
    });
  });
  lag.start();
  return () => lag.stop();
}
