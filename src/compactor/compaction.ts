import type { Clock } from "../base/clock.ts";
import { DomainError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { CompactionTarget } from "./compactor.ts";

/** An empty store's revision: nothing came before it. */
const FRESH_REVISION = 1;

/**
 * Compacts at a revision on behalf of a policy: true if everything before it is gone then, whoever did it.
 * Costs nothing if it is gone already.
 */
export async function compactAt(
  revision: number,
  target: CompactionTarget,
  { clock, log, mode }: {
    readonly clock: Clock;
    readonly log: Logger;
    readonly mode: string;
  },
): Promise<boolean> {
  if (revision <= Math.max(FRESH_REVISION, target.compactRevision)) return true;
  const beganMs = clock.monotonicMs();
  try {
    await target.compact(revision);
  } catch (error) {
    if (error instanceof DomainError && error.kind === "compacted") return true;
    log.warn("automatic compaction failed", { mode, revision, error });
    return false;
  }
  const tookMs = Math.round(clock.monotonicMs() - beganMs);
  log.info("compacted automatically", { mode, revision, tookMs });
  return true;
}
