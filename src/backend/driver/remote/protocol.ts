import type { ErrorParts } from "../thread_messages.ts";
import type { StateKind } from "../../state_change.ts";
import type { ReplicaRow } from "../../replica_table.ts";
import type { RowId } from "../../backend.ts";

/**
 * What the main thread and a database worker say to each other: each request is answered by exactly one `Answer`
 * with its number, apart from `loaded`, `cancelLoad` and `credentials`. Blocks of rows are moved, never copied.
 */
export type Request = { readonly request: number } & Call;

export type Call =
  | { readonly op: "open"; readonly server: ServerAddress }
  | {
    /** Answers `Answer.wantsCredentials`. */
    readonly op: "credentials";
    readonly asked: number;
    readonly answer: Credentials | ErrorParts;
  }
  | { readonly op: "append"; readonly batch: BatchMessage }
  | { readonly op: "load" }
  | { readonly op: "loaded"; readonly load: number }
  | { readonly op: "cancelLoad"; readonly load: number }
  | { readonly op: "head" }
  | { readonly op: "stateOf"; readonly kind: StateKind }
  | { readonly op: "batchIdAt"; readonly seq: number }
  | {
    readonly op: "batchesAfter";
    readonly seq: number;
    readonly limit: number;
  }
  | { readonly op: "valuesOf"; readonly rows: Float64Array }
  | {
    readonly op: "eventsAfter";
    readonly rev: number;
    readonly maxBytes: number;
  }
  | { readonly op: "remove"; readonly rows: Float64Array }
  | { readonly op: "trimBatches"; readonly belowSeq: number }
  | { readonly op: "size" }
  | { readonly op: "defragment" }
  | { readonly op: "snapshot" }
  | {
    readonly op: "readSnapshot";
    readonly snapshot: number;
    readonly offset: number;
    readonly maxBytes: number;
  }
  | { readonly op: "closeSnapshot"; readonly snapshot: number }
  | { readonly op: "watch" }
  | { readonly op: "unwatch" }
  | {
    readonly op: "announce";
    readonly self: ReplicaRow;
    readonly claimMs: number;
  }
  | {
    readonly op: "retire";
    readonly id: bigint;
    readonly incarnation: bigint;
  }
  | { readonly op: "close" };

export type Op = Call["op"];

/** Where the database is; without secrets. */
export interface ServerAddress {
  /** One at least; of several, whichever takes writes. */
  readonly hosts: readonly HostPort[];
  readonly user: string;
  readonly database: string;
  /** Default `stele_`. */
  readonly tablePrefix: string;
  /** False for a pooler that cannot keep prepared statements. Default true. */
  readonly prepare: boolean;
  /** See `DatastoreSettings`. */
  readonly maxConnections: number;
  readonly connectTimeoutMs: number;
  readonly statementTimeoutMs: number;
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** How to get in. Never logged, never kept. */
export interface Credentials {
  readonly password: string;
  /** Undefined: without TLS. */
  readonly tls: TlsMaterial | undefined;
}

/** PEM, and what is checked of the server's certificate. */
export interface TlsMaterial {
  readonly verify: "none" | "authority" | "name";
  readonly authorities: string | undefined;
  readonly certificate: string | undefined;
  readonly key: string | undefined;
}

export interface BatchMessage {
  readonly seq: number;
  readonly firstRev: number;
  readonly lastRev: number;
  readonly timeMs: number;
  readonly id: Uint8Array;
  readonly rows: Uint8Array;
  readonly ops: Uint8Array;
}

/** From the worker. `rows` and `state` are parts of a load, to be acknowledged with `loaded`. */
export type Answer =
  | { readonly request: number; readonly ok: unknown }
  | { readonly request: number; readonly error: ErrorParts }
  | { readonly request: number; readonly rows: Uint8Array }
  | { readonly request: number; readonly state: Uint8Array }
  | { readonly heardOf: number }
  /** For a new connection; answered by the call `credentials` with the same number. */
  | { readonly wantsCredentials: number }
  /** The database went away, or is back. */
  | { readonly link: LinkChange }
  | { readonly warning: string; readonly fields: Record<string, unknown> };

export type LinkChange =
  | { readonly isUp: false; readonly reason: string }
  | { readonly isUp: true; readonly awayMs: number };

export interface SnapshotAnswer {
  readonly snapshot: number;
  readonly sizeBytes: number;
}

/** The opposite of `packRowIds`, for a range of pairs. */
export function unpackRowIds(
  packed: Float64Array,
  range: { from: number; to: number },
): RowId[] {
  const ids: RowId[] = [];
  for (let i = range.from; i < range.to; i++) {
    ids.push({ rev: packed[2 * i]!, sub: packed[2 * i + 1]! });
  }
  return ids;
}
