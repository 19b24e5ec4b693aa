import type { ReplicaRow, Roster, RosterEntry } from "../../replica_table.ts";

/**
 * What a database server's engine does for `ReplicaTable`; each call is one attempt, as in `Dialect`.
 *
 *   replica   (id, incarnation) → name, client_urls, version, applied_seq, seen_ms
 *   sequencer (one = 1) → id, incarnation, until_ms
 *
 * Times are milliseconds of the database's clock. Ids are signed there and unsigned here.
 */
export interface ReplicaDialect {
  /** `claimMs` is 0 for no claim. */
  announce(self: ReplicaRow, claimMs: number): Promise<Roster>;
  retire(id: bigint, incarnation: bigint): Promise<void>;
  /** Removes those that have been silent for so long. */
  forget(silentMs: number): Promise<void>;
}

/** A row of an announcement's answer: a server, or whose claim holds. */
export type RosterRow =
  | { readonly kind: "replica"; readonly entry: RosterEntry }
  | { readonly kind: "claimed" | "held"; readonly holder: RosterHolder };

type RosterHolder = NonNullable<Roster["sequencer"]>;

/** Puts an answer together. A claim that was just made is newer than the one that was read. */
export function rosterOf(rows: readonly RosterRow[]): Roster {
  const replicas: RosterEntry[] = [];
  let claimed: RosterHolder | undefined;
  let held: RosterHolder | undefined;
  for (const row of rows) {
    if (row.kind === "replica") replicas.push(row.entry);
    else if (row.kind === "claimed") claimed = row.holder;
    else held = row.holder;
  }
  replicas.sort(byId);
  return { replicas, sequencer: claimed ?? held };
}

function byId(a: RosterEntry, b: RosterEntry): number {
  if (a.id !== b.id) return a.id < b.id ? -1 : 1;
  return a.ageMs - b.ageMs;
}

/** A 64-bit id as the decimal that a signed column takes. */
export function signedId(id: bigint): string {
  return BigInt.asIntN(64, id).toString();
}

/** The opposite of `signedId`. */
export function unsignedId(decimal: string): bigint {
  return BigInt.asUintN(64, BigInt(decimal));
}

/** URLs hold no spaces. */
const URL_SEPARATOR = " ";

export function joinUrls(urls: readonly string[]): string {
  return urls.join(URL_SEPARATOR);
}

export function splitUrls(text: string): string[] {
  return text === "" ? [] : text.split(URL_SEPARATOR);
}
