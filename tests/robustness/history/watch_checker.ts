import { isDeepStrictEqual } from "node:util";
import { KeyHistory, keyOf } from "./key_history.ts";
import type { KeyEvent, KeyVersion, LoggedRevision } from "./operation.ts";

/** An event as a watcher got it. */
export interface WatchedEvent {
  readonly revision: number;
  readonly event: KeyEvent;
  /** What was there before; undefined where there was nothing. */
  readonly previous?: KeyVersion;
  /** A compaction has reached this revision, and may have taken what was before it. */
  readonly mayLackPrevious?: boolean;
}

/** What a watcher that resumes where it left off has seen, over all its connections. */
export interface WatcherRecord {
  readonly name: string;
  readonly key: string;
  /** Undefined: `key` alone. */
  readonly end: string | undefined;
  /** The first revision it asked for. */
  readonly startRevision: number;
  readonly withPrevious: boolean;
  /** Every event and every promise that there are no others up to a revision, in the order they came. */
  readonly seen: readonly (
    | { readonly kind: "event"; readonly event: WatchedEvent }
    | { readonly kind: "progress"; readonly revision: number }
    /** The server had compacted what was asked for; the watcher went on from here. */
    | { readonly kind: "skipped"; readonly toRevision: number }
  )[];
}

/** Whether a watcher got each event of the log exactly once, in order, and what progress promised. */
export function checkWatcher(
  watcher: WatcherRecord,
  log: readonly LoggedRevision[],
): string[] {
  const keys = new KeyHistory(log);
  const expected = log.flatMap(({ revision, events }) =>
    events
      .filter((event) => isWatched(watcher, keyOf(event)))
      .map((event) => ({ revision, event }))
  );
  let next = expected.findIndex((e) => e.revision >= watcher.startRevision);
  if (next < 0) next = expected.length;
  const wrong = (what: string) => [`watcher ${watcher.name}: ${what}`];
  for (const item of watcher.seen) {
    if (item.kind === "skipped") {
      while ((expected[next]?.revision ?? Infinity) < item.toRevision) next++;
    } else if (item.kind === "progress") {
      const missed = expected[next];
      if (missed !== undefined && missed.revision <= item.revision) {
        return wrong(
          `progress ${item.revision} before the event of ${missed.revision}`,
        );
      }
    } else {
      const { revision, event, previous, mayLackPrevious } = item.event;
      const due = expected[next++];
      if (!isDeepStrictEqual({ revision, event }, due)) {
        return wrong(
          `got ${JSON.stringify({ revision, event })}, not ${
            JSON.stringify(due)
          }`,
        );
      }
      const before = keys.at(keyOf(event), revision - 1);
      const isMissing = previous === undefined && mayLackPrevious === true;
      if (
        watcher.withPrevious && !isMissing &&
        !isDeepStrictEqual(previous, before)
      ) {
        return wrong(
          `the previous version of revision ${revision} is ${
            JSON.stringify(before)
          }, not ${JSON.stringify(previous)}`,
        );
      }
    }
  }
  const missing = expected.length - next;
  return missing === 0
    ? []
    : wrong(`${missing} events never came, from ${expected[next]!.revision}`);
}

function isWatched({ key, end }: WatcherRecord, name: string): boolean {
  return end === undefined ? name === key : name >= key && name < end;
}
