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
  /**
   * Writes the message in pieces, for one that is too large to be sent at once. Optional; what the message
   * refers to must not change until the last piece is written.
   */
  reader?(
    message: M,
  ): { read(out: Uint8Array, at: number, length: number): void };
}
