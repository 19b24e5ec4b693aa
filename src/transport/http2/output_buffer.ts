/**
 * Smallest and largest slab. A connection that is silent most of the time holds 4 KiB, a busy one 64 KiB: ten turns
 * of a hundred small answers.
 */
const MIN_SLAB_BYTES = 4 << 10;
const MAX_SLAB_BYTES = 64 << 10;
/** A new slab is made for this many flushes like the last one. */
const FLUSHES_PER_SLAB = 8;
/** Up to this much unsent output moves to a new slab, so that a turn stays one write; more is handed on as it is. */
const MAX_MOVED_BYTES = 16 << 10;

/**
 * Output gathered for one write. Frames are written in place into a slab; `take` hands out the filled part for good
 * and goes on behind it, so that nothing is copied and no byte that was handed out is ever written again.
 */
export class OutputBuffer {
  /** The slab: the caller of `reserve` writes here. */
  bytes: Uint8Array = new Uint8Array(0);
  #start = 0;
  #end = 0;
  #lastTaken = 0;
  readonly #overflow: (bytes: Uint8Array) => void;

  /** `overflow` takes output that a slab has no room for, in order. */
  constructor(overflow: (bytes: Uint8Array) => void) {
    this.#overflow = overflow;
  }

  /** Bytes waiting to be taken. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** Makes room for `size` bytes and returns where in `bytes` they go. Nothing counts before `commit`. */
  reserve(size: number): number {
    if (this.bytes.length - this.#end < size) this.#nextSlab(size);
    return this.#end;
  }

  /** The output now ends at `end`. */
  commit(end: number): void {
    this.#end = end;
  }

  /** Hands out what was gathered; the caller owns it. */
  take(): Uint8Array {
    const taken = this.bytes.subarray(this.#start, this.#end);
    this.#start = this.#end;
    this.#lastTaken = taken.length;
    return taken;
  }

  #nextSlab(size: number): void {
    if (this.length > MAX_MOVED_BYTES) this.#overflow(this.take());
    const waiting = this.length;
    const wanted = FLUSHES_PER_SLAB * Math.max(this.#lastTaken, waiting);
    const slab = new Uint8Array(Math.max(
      waiting + size,
      Math.min(Math.max(wanted, MIN_SLAB_BYTES), MAX_SLAB_BYTES),
    ));
    slab.set(this.bytes.subarray(this.#start, this.#end));
    this.bytes = slab;
    this.#start = 0;
    this.#end = waiting;
  }
}
