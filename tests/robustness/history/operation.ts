/** One version of a key, as `mvccpb.KeyValue` has it. Keys and values of histories are ASCII. */
export interface KeyVersion {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  /** The lease's id in decimal; "0" for none. */
  readonly lease: string;
}

/** What one revision did to one key. */
export type KeyEvent =
  | { readonly kind: "put"; readonly kv: KeyVersion }
  | { readonly kind: "delete"; readonly key: string };

/** One revision of the log: its events in the order of their operations. */
export interface LoggedRevision {
  readonly revision: number;
  readonly events: readonly KeyEvent[];
  /** When a watcher heard of it, on the clock of `Operation.callMs`. */
  readonly seenMs?: number;
}

export type KeyOp =
  | {
    readonly kind: "put";
    readonly key: string;
    readonly value: string;
    readonly lease?: string;
  }
  | { readonly kind: "delete"; readonly key: string; readonly end?: string }
  | {
    readonly kind: "range";
    readonly key: string;
    readonly end?: string;
    /** 0 or missing: what is current. */
    readonly revision?: number;
  };

export interface Compare {
  readonly key: string;
  readonly target: "version" | "create" | "mod" | "value" | "lease";
  readonly relation: "=" | "!=" | "<" | ">";
  /** A number for versions and revisions, else text. */
  readonly operand: number | string;
}

/** A put, a delete and a range are transactions of one operation. */
export interface TxnRequest {
  readonly kind: "txn";
  readonly compares: readonly Compare[];
  readonly success: readonly KeyOp[];
  readonly failure: readonly KeyOp[];
  /** A read that may be answered from the past; default: false. */
  readonly isSerializable?: boolean;
}

export type Request =
  | TxnRequest
  | {
    readonly kind: "grant";
    readonly lease: string;
    readonly ttlSeconds: number;
  }
  | { readonly kind: "renew"; readonly lease: string }
  | { readonly kind: "revoke"; readonly lease: string }
  | { readonly kind: "compact"; readonly revision: number };

export type OpResult =
  | { readonly kind: "put" }
  | { readonly kind: "delete"; readonly deleted: number }
  | { readonly kind: "range"; readonly kvs: readonly KeyVersion[] };

/** Answers other than a transaction's have a revision and nothing else. */
export interface Response {
  readonly revision: number;
  readonly succeeded: boolean;
  readonly results: readonly OpResult[];
}

/** Why an operation was refused: it did nothing. */
export type Refusal =
  | "compacted"
  | "future revision"
  | "lease not found"
  | "lease exists"
  | "no space"
  | "corrupt"
  | "auth changed"
  | "other";

export type Outcome =
  | { readonly kind: "ok"; readonly response: Response }
  | { readonly kind: "failed"; readonly refusal: Refusal }
  /** No answer came: it was done whole, or not at all. */
  | { readonly kind: "unknown" };

/** One call of one client. */
export interface Operation {
  readonly client: number;
  /** Stamps come from one counter: of two calls, `a.return < b.call` says that a was over before b began. */
  readonly call: number;
  /** The time of the call, on any clock that does not jump; only needed to tell whether leases end too early. */
  readonly callMs?: number;
  /** For an unknown outcome: from when on it can no longer take effect, as its server is dead. */
  readonly return: number;
  readonly request: Request;
  readonly outcome: Outcome;
}

/** A transaction of one operation without a condition. */
export function single(op: KeyOp): TxnRequest {
  return { kind: "txn", compares: [], success: [op], failure: [] };
}

/** Whether a transaction's answer says that it changed something: each change has a revision of its own. */
export function hasChanged(response: Response): boolean {
  return response.results.some((result) =>
    result.kind === "put" || (result.kind === "delete" && result.deleted > 0)
  );
}
