import { assert } from "../base/assert.ts";

export interface ValueStoreOptions {
  /** Bytes that all slabs together may take; the one being filled always stays, and those that are held. */
  readonly budgetBytes: number;
  /** The size of a slab once there are several: a power of two. Default 1 MiB. */
  readonly slabBytes?: number;
}

/** The first slab is small, so that an empty store costs little; each is twice as large as the one before. */
const FIRST_SLAB_BYTES = 64 << 10;
const SLAB_BYTES = 1 << 20;
/** Each record lies behind its length in four bytes: that is how cleaning finds one after the other. */
const LENGTH_BYTES = 4;
/** In a row block that was taken over, the sub-revision stands between the two (see row_block.ts). */
const ROW_HEADER_BYTES = 8;
/** Of a slab's bytes; with less than that live, the rest is moved and the slab let go. */
const CLEAN_BELOW = 0.5;

class Slab {
  used = 0;
  /** Bytes of records that have not been released. */
  live = 0;
  constructor(
    readonly address: number,
    readonly buffer: Uint8Array,
    /** From the beginning of a record's length to the record. */
    readonly headerBytes: number,
  ) {}
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
 *
 *   slab size 4      table   0     1     2     3     4        a record of 9 bytes has slabs 1 to 3 to itself
 *                          [0..3][4  ..  15][     ][16..19]   address / 4 = place in the table
 *
 * Addresses run through the sizes of slabs, not through a wide space for each: 2^53 bytes are years of
 * writing at the speed of memory.
 */
export class ValueStore {
  /** After `reserve`: write the record into this buffer, from this offset on. */
  reserveBuffer: Uint8Array;
  reserveOffset = 0;
  /** After `locate`: the record is in this buffer, from this offset on. */
  viewBuffer: Uint8Array;
  viewOffset = 0;
  readonly #budgetBytes: number;
  readonly #slabBytes: number;
  /** The slab that begins at address (#first + i) * #slabBytes; undefined where it was let go or another reaches in. */
  #slabs: (Slab | undefined)[] = [];
  #first = 0;
  #active: Slab;
  /** Where each hold begins, oldest first: one for each batch that is not applied. */
  readonly #holds: number[] = [];
  /** The address from which on slabs are held. */
  #heldFrom = Infinity;
  #bytes = 0;
  #liveBytes = 0;

  constructor(options: ValueStoreOptions) {
    this.#budgetBytes = options.budgetBytes;
    this.#slabBytes = options.slabBytes ?? SLAB_BYTES;
    assert(
      Math.log2(this.#slabBytes) % 1 === 0,
      "the size of a slab is a power of two",
    );
    this.#active = this.#addSlab(Math.min(FIRST_SLAB_BYTES, this.#slabBytes));
    this.reserveBuffer = this.#active.buffer;
    this.viewBuffer = this.#active.buffer;
  }

  /** Bytes of memory in slabs. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes of records in memory that have not been released. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** Makes room for a record; returns its address. */
  reserve(bytes: number): number {
    let slab = this.#active;
    if (slab.used + LENGTH_BYTES + bytes > slab.buffer.length) {
      slab = this.#nextSlab(LENGTH_BYTES + bytes);
    }
    const { buffer, used } = slab;
    buffer[used] = bytes;
    buffer[used + 1] = bytes >>> 8;
    buffer[used + 2] = bytes >>> 16;
    buffer[used + 3] = bytes >>> 24;
    const offset = used + LENGTH_BYTES;
    slab.used = offset + bytes;
    slab.live += bytes;
    this.#liveBytes += bytes;
    this.reserveBuffer = buffer;
    this.reserveOffset = offset;
    return slab.address + offset;
  }

  /** Copies a record in; returns its address. */
  append(record: Uint8Array): number {
    const address = this.reserve(record.length);
    this.reserveBuffer.set(record, this.reserveOffset);
    return address;
  }

  /**
   * Takes a row block over as a slab, without copying: the record that begins at `offset` in it has the
   * address that is returned plus `offset`. `recordBytes` is what its records have together. Undefined if
   * the block is larger than a slab: its records are to be appended then.
   */
  adopt(block: Uint8Array, recordBytes: number): number | undefined {
    if (block.length > this.#slabBytes || block.length === 0) return undefined;
    const before = this.#active;
    const slab = this.#pushSlab(block, ROW_HEADER_BYTES);
    slab.used = block.length;
    slab.live = recordBytes;
    this.#liveBytes += recordBytes;
    this.#active = this.#addSlab(Math.min(FIRST_SLAB_BYTES, this.#slabBytes));
    if (before.live === 0) this.#drop(before);
    this.#evict();
    return slab.address;
  }

  /** A view of the record; undefined if memory let it go. */
  get(address: number, bytes: number): Uint8Array | undefined {
    const slab = this.#slabOf(address);
    if (slab === undefined) return undefined;
    const offset = address - slab.address;
    return slab.buffer.subarray(offset, offset + bytes);
  }

  /** Sets `viewBuffer` and `viewOffset` to where the record is, without a view; false if memory let it go. */
  locate(address: number): boolean {
    const slab = this.#slabOf(address);
    if (slab === undefined) return false;
    this.viewBuffer = slab.buffer;
    this.viewOffset = address - slab.address;
    return true;
  }

  /** Nobody needs the record any more. */
  release(address: number, bytes: number): void {
    const slab = this.#slabOf(address);
    if (slab === undefined) return;
    slab.live -= bytes;
    this.#liveBytes -= bytes;
    assert(slab.live >= 0, "a record is released once");
    if (slab.live === 0 && slab !== this.#active) this.#drop(slab);
  }

  /**
   * Until the same number of calls of `letGo`, records that come from now on stay in memory whatever the budget
   * says, and are not moved. The first hold is the first that is let go.
   */
  hold(): void {
    this.#holds.push(this.#active.address);
    this.#heldFrom = this.#holds[0]!;
  }

  /** Ends the oldest hold. */
  letGo(): void {
    this.#holds.shift();
    this.#heldFrom = this.#holds[0] ?? Infinity;
    this.#evict();
  }

  /** Moves what is live out of slabs that are mostly garbage, about `maxBytes` of it; returns how much it moved. */
  clean(maxBytes: number, relocate: Relocate): number {
    let moved = 0;
    // What is moved goes to the end, into slabs that are not in the copy.
    for (const slab of this.#slabs.slice()) {
      if (slab === undefined || slab === this.#active) continue;
      if (slab.address >= this.#heldFrom) break;
      if (slab.live >= slab.buffer.length * CLEAN_BELOW) continue;
      if (this.#slabOf(slab.address) !== slab) continue; // the budget took it meanwhile
      moved += this.#cleanSlab(slab, relocate);
      if (moved >= maxBytes) break;
    }
    return moved;
  }

  #cleanSlab(slab: Slab, relocate: Relocate): number {
    let moved = 0;
    const { buffer, used, headerBytes } = slab;
    for (let at = 0; at < used;) {
      const start = at + headerBytes;
      const bytes = (buffer[at]! | buffer[at + 1]! << 8 |
        buffer[at + 2]! << 16 | buffer[at + 3]! << 24) >>> 0;
      at = start + bytes;
      const record = buffer.subarray(start, at);
      const tell = relocate(slab.address + start, bytes, record);
      if (tell === undefined) continue;
      tell(this.append(record));
      moved += bytes;
    }
    if (this.#slabOf(slab.address) === slab) this.#drop(slab);
    return moved;
  }

  #slabOf(address: number): Slab | undefined {
    const place = Math.floor(address / this.#slabBytes) - this.#first;
    // Reading an array below its beginning is slow, and what memory let go is there.
    return place < 0 ? undefined : this.#slabs[place];
  }

  #nextSlab(bytes: number): Slab {
    const full = this.#active;
    const usual = Math.min(full.buffer.length * 2, this.#slabBytes);
    this.#active = this.#addSlab(Math.max(usual, bytes));
    if (full.live === 0) this.#drop(full);
    this.#evict();
    return this.#active;
  }

  /** Lets the oldest slabs go until the rest is within the budget. */
  #evict(): void {
    while (this.#bytes > this.#budgetBytes) {
      const oldest = this.#slabs[0]!;
      if (oldest === this.#active || oldest.address >= this.#heldFrom) return;
      this.#drop(oldest);
    }
  }

  #addSlab(bytes: number): Slab {
    return this.#pushSlab(new Uint8Array(bytes), LENGTH_BYTES);
  }

  #pushSlab(buffer: Uint8Array, headerBytes: number): Slab {
    const place = this.#first + this.#slabs.length;
    const slab = new Slab(place * this.#slabBytes, buffer, headerBytes);
    const bytes = buffer.length;
    this.#slabs.push(slab);
    for (
      let rest = bytes - this.#slabBytes;
      rest > 0;
      rest -= this.#slabBytes
    ) {
      this.#slabs.push(undefined);
    }
    this.#bytes += bytes;
    return slab;
  }

  /** Lets a slab go, and keeps the table beginning with one that is there. */
  #drop(slab: Slab): void {
    this.#slabs[slab.address / this.#slabBytes - this.#first] = undefined;
    this.#bytes -= slab.buffer.length;
    this.#liveBytes -= slab.live;
    let gone = 0;
    while (this.#slabs[gone] === undefined) gone++;
    if (gone === 0) return;
    this.#slabs.splice(0, gone);
    this.#first += gone;
  }
}
