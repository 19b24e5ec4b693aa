import type { Registry } from "../base/metrics.ts";

/** How the connection to a database server has been. */
export interface DatabaseLink {
  /** False: it did not answer for a while, and calls fail at once. */
  readonly isUp: boolean;
  /** How often it went away. */
  readonly outages: number;
  /** How long it was away altogether, outages that are over. */
  readonly awayMs: number;
}

/** Registers what is known of a database server; docs/metrics.md explains each. */
export function registerDatabaseMetrics(
  registry: Registry,
  link: () => DatabaseLink,
): void {
  registry.callback(
    "gauge",
    "stele_database_up",
    "Whether the database server answers.",
    () => link().isUp ? 1 : 0,
  );
  registry.callback(
    "counter",
    "stele_database_outages_total",
    "How often the database server was away.",
    () => link().outages,
  );
  registry.callback(
    "counter",
    "stele_database_away_seconds_total",
    "How long the database server was away, outages that are over.",
    () => link().awayMs / 1000,
  );
}
