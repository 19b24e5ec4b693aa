import { MAX_SUB } from "../../row_block.ts";
import { type StateChange, StateKind } from "../../state_change.ts";
import type { LogReader, StoredRow } from "./dialect.ts";

/**
 * All rows in a range of revisions, a page at a time. `ahead`: the next page is asked for while the last one is being
 * used, by those who will want all of them.
 */
export async function* rowPages(
  reader: Pick<LogReader, "rows">,
  range: { afterRev: number; throughRev: number; ahead?: boolean },
): AsyncGenerator<StoredRow[], void> {
  const { throughRev } = range;
  const pageAfter = (afterRev: number, afterSub: number) => {
    const limits = { maxRows: ROWS_PER_SCAN, maxBytes: SCAN_BYTES };
    return reader.rows({ afterRev, afterSub, throughRev, ...limits });
  };
  let next = pageAfter(range.afterRev, MAX_SUB);
  try {
    for (;;) {
      const rows = await next;
      const last = rows.at(-1);
      if (last === undefined) return;
      if (range.ahead) {
        next = pageAfter(last.rev, last.sub);
        next.catch(() => {}); // until it is awaited
      }
      yield rows;
      if (!range.ahead) next = pageAfter(last.rev, last.sub);
    }
  } finally {
    // Whoever stops early must not find its session busy.
    await next.catch(() => {});
  }
}

/** All state but the driver's own, a page at a time. */
export async function* stateChanges(
  reader: Pick<LogReader, "state">,
): AsyncGenerator<StateChange[], void> {
  for (const kind of Object.values(StateKind)) {
    let afterId: Uint8Array | undefined;
    for (;;) {
      const page = { afterId, maxEntries: STATE_PER_PAGE };
      const entries = await reader.state(kind, page);
      const last = entries.at(-1);
      if (last === undefined) break;
      yield entries.map(({ key, value }) => ({ kind, key, value }));
      afterId = last.id;
    }
  }
}

/** Of a scan: dialects whose servers want less ask for less. */
const SCAN_BYTES = 1024 * 1024;
const ROWS_PER_SCAN = 4096;
/** Rows that are asked for by their ids at once. */
export const ROWS_PER_PAGE = 256;
export const STATE_PER_PAGE = 500;
