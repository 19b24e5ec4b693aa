/** What the password worker is asked to do; `id` comes back with the answer. */
export type PasswordJob =
  | {
    readonly id: number;
    readonly op: "hash";
    readonly password: string;
    readonly cost: number;
  }
  | {
    readonly id: number;
    readonly op: "compare";
    readonly password: string;
    readonly hash: string;
  };

/** A hash, or whether the password is that of the hash. */
export type PasswordAnswer =
  | { readonly id: number; readonly result: string | boolean }
  | { readonly id: number; readonly error: string };
