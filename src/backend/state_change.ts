/** The tables of materialised state. */
export const StateKind = { Meta: 1, Lease: 2, Auth: 3, Alarm: 4 } as const;

/** One of the numbers in `StateKind`. */
export type StateKind = typeof StateKind[keyof typeof StateKind];

/** A change of replicated state that is not a key write: an upsert, or with `value` undefined a removal. */
export interface StateChange {
  readonly kind: StateKind;
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

/** A component whose state is a function of the log. */
export interface StateTable {
  /** Applies one committed change, at start-up or as it happens. */
  apply(key: Uint8Array, value: Uint8Array | undefined): void;
}
