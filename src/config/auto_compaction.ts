import { parseDurationMs } from "../base/duration.ts";
import { ConfigError } from "./config_error.ts";

/** What history is removed without being asked. */
export type AutoCompaction =
  | { readonly mode: "off" }
  /** Keeps what happened in the last `retentionMs`. */
  | { readonly mode: "periodic"; readonly retentionMs: number }
  /** Keeps this many revisions. */
  | { readonly mode: "revision"; readonly retention: number };

const MS_PER_HOUR = 3_600_000;

/** As etcd reads it: with `periodic` a bare number counts hours, with `revision` revisions; 0 is off. */
export function parseAutoCompaction(
  mode: string,
  retention: string,
): AutoCompaction {
  if (mode !== "periodic" && mode !== "revision") {
    throw new ConfigError(
      `Cannot use auto-compaction-mode "${mode}": it must be periodic or revision`,
    );
  }
  const bare = /^\+?\d+$/.test(retention) ? Number(retention) : undefined;
  if (bare !== undefined && !Number.isSafeInteger(bare * MS_PER_HOUR)) {
    throw complaint(retention, "too large");
  }
  if (bare === 0) return { mode: "off" };
  if (mode === "revision") {
    if (bare === undefined) {
      throw complaint(retention, "a number of revisions is needed");
    }
    return { mode, retention: bare };
  }
  const retentionMs = bare === undefined
    ? parseDurationMs(retention)
    : bare * MS_PER_HOUR;
  if (retentionMs === undefined) {
    throw complaint(retention, "hours or a duration such as 30m are needed");
  }
  if (retentionMs < 0) throw complaint(retention, "negative");
  return retentionMs === 0 ? { mode: "off" } : { mode, retentionMs };
}

function complaint(retention: string, why: string): ConfigError {
  return new ConfigError(
    `Cannot use auto-compaction-retention "${retention}": ${why}`,
  );
}
