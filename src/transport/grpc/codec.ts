/** Turns one message type into protobuf bytes and back. The generated `src/pb/` implements it. */
export interface Codec<M> {
  /** Full protobuf name, e.g. `etcdserverpb.RangeRequest`. */
  readonly name: string;
  /** Reads a message from `bytes[pos, end)`; byte fields are views into `bytes`. Throws `WireError`. */
  decode(bytes: Uint8Array, pos?: number, end?: number): M;
  /** The number of bytes that `write` will write. */
  size(message: M): number;
  /** Writes the message at `at`; returns the position behind it. */
  write(message: M, out: Uint8Array, at: number): number;
}
