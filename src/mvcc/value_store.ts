import { assert } from "../base/assert.ts";

export interface ValueStoreOptions {
  /** Bytes that all slabs together may take; the one being filled always stays. */
  readonly budgetBytes: number;
  /** The size of a slab once there are several. Default 1 MiB. */
  readonly slabBytes?: number;
}

/** The first slab is small, so that an empty store costs little; each is twice as large as the one before. */
const FIRST_SLAB_BYTES = 64 << 10;
const SLAB_BYTES = 1 << 20;
/** Addresses of a slab: no record can be larger. */
const SPAN = 2 ** 32;
/** Of a slab's bytes; with less than that live, the rest is moved and the slab let go. */
const CLEAN_BELOW = 0.5;

class Slab {
  used = 0;
  live = 0;
  /** Where each record begins, and the end of the last: what cleaning walks along. */
  readonly starts: number[] = [];
  constructor(readonly number: number, readonly buffer: Uint8Array) {}
}

/** Says what to do with a record of a slab that is being cleaned: where to tell its new address, or nothing if nobody needs it. */
export type Relocate = (
  address: number,
  bytes: number,
  record: Uint8Array,
) => ((moved: number) => void) | undefined;

/**
 * Records in slabs, in the order in which they came, under addresses that only grow.
 *
 * Within its budget everything stays until it is released. Beyond it the oldest slabs are let go, with all
 * that is in them: `get` then finds nothing, and the caller reads the record back from the backend.
 * A slab is never written to again once it is full, so that views stay valid for as long as somebody has them.
 */
export class ValueStore {
  /** After `reserve`: write the record into this buffer, from this offset on. */
  reserveBuffer: Uint8Array;
  reserveOffset = 0;
  readonly #budgetBytes: number;
  readonly #slabBytes: number;
  /** Slab n is at n - #first; undefined where it was let go. */
  #slabs: (Slab | undefined)[] = [];
  #first = 0;
  #active: Slab;
  #bytes = 0;
  #liveBytes = 0;

  constructor(options: ValueStoreOptions) {
    this.#budgetBytes = options.budgetBytes;
    this.#slabBytes = options.slabBytes ?? SLAB_BYTES;
    this.#active = this.#addSlab(Math.min(FIRST_SLAB_BYTES, this.#slabBytes));
    this.reserveBuffer = this.#active.buffer;
  }

  /** Bytes of memory in slabs. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes of records that have not been released. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** Makes room for a record; returns its address. */
  reserve(bytes: number): number {
    assert(bytes < SPAN, "a record fits into a slab's addresses");
    let slab = this.#active;
    if (slab.used + bytes > slab.buffer.length) slab = this.#nextSlab(bytes);
    const offset = slab.used;
    slab.starts.push(offset);
    slab.used += bytes;
    slab.live += bytes;
    this.#liveBytes += bytes;
    this.reserveBuffer = slab.buffer;
    this.reserveOffset = offset;
    return slab.number * SPAN + offset;
  }

  /** Copies a record in; returns its address. */
  append(record: Uint8Array): number {
    const address = this.reserve(record.length);
    this.reserveBuffer.set(record, this.reserveOffset);
    return address;
  }

  /** A view of the record; undefined if memory let it go. */
  get(address: number, bytes: number): Uint8Array | undefined {
    const number = Math.floor(address / SPAN);
    const slab = this.#slabs[number - this.#first];
    if (slab === undefined) return undefined;
    const offset = address - number * SPAN;
    return slab.buffer.subarray(offset, offset + bytes);
  }

  /** Nobody needs the record any more. */
  release(address: number, bytes: number): void {
    const slab = this.#slabs[Math.floor(address / SPAN) - this.#first];
    if (slab === undefined) return;
    slab.live -= bytes;
    this.#liveBytes -= bytes;
    if (slab.live === 0 && slab !== this.#active) this.#drop(slab);
  }

  /** Moves what is live out of slabs that are mostly garbage, about `maxBytes` of it; returns how much it moved. */
  clean(maxBytes: number, relocate: Relocate): number {
    let moved = 0;
    for (const slab of [...this.#slabs]) {
      if (slab === undefined || slab === this.#active) continue;
      if (slab.live >= slab.buffer.length * CLEAN_BELOW) continue;
      moved += this.#cleanSlab(slab, relocate);
      if (moved >= maxBytes) break;
    }
    return moved;
  }

  #cleanSlab(slab: Slab, relocate: Relocate): number {
    let moved = 0;
    const { starts, buffer } = slab;
    for (let i = 0; i < starts.length; i++) {
      const start = starts[i]!;
      const end = starts[i + 1] ?? slab.used;
      const record = buffer.subarray(start, end);
      const tell = relocate(slab.number * SPAN + start, end - start, record);
      if (tell === undefined) continue;
      tell(this.append(record));
      moved += record.length;
    }
    this.#drop(slab);
    return moved;
  }

  #nextSlab(bytes: number): Slab {
    const full = this.#active;
    const usual = Math.min(full.buffer.length * 2, this.#slabBytes);
    this.#active = this.#addSlab(Math.max(usual, bytes));
    if (full.live === 0) this.#drop(full);
    while (this.#bytes > this.#budgetBytes) {
      const oldest = this.#slabs.find((slab) => slab !== undefined);
      if (oldest === undefined || oldest === this.#active) break;
      this.#drop(oldest);
    }
    return this.#active;
  }

  #addSlab(bytes: number): Slab {
    const slab = new Slab(
      this.#first + this.#slabs.length,
      new Uint8Array(bytes),
    );
    this.#slabs.push(slab);
    this.#bytes += bytes;
    return slab;
  }

  #drop(slab: Slab): void {
    this.#slabs[slab.number - this.#first] = undefined;
    this.#bytes -= slab.buffer.length;
    this.#liveBytes -= slab.live;
    let gone = 0;
    while (gone < this.#slabs.length && this.#slabs[gone] === undefined) gone++;
    if (gone === 0) return;
    this.#slabs = this.#slabs.slice(gone);
    this.#first += gone;
  }
}
