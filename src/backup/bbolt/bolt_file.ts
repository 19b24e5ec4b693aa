import { compareBytes, utf8 } from "../../base/bytes.ts";
import { BackupError } from "../backup_error.ts";

/** One key and its value, views of the page that holds them. */
export interface BoltEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** `common.Magic`, and the only version of the layout there is (`common.Version`). */
const MAGIC = 0xed0cdaed;
const VERSION = 2;

/** Page flags (internal/common/page.go). */
const BRANCH_PAGE = 0x01;
const LEAF_PAGE = 0x02;
const META_PAGE = 0x04;
/** Flag of a leaf's element: its value is a bucket. */
const BUCKET_ELEMENT = 0x01;

const PAGE_HEADER_BYTES = 16;
const ELEMENT_BYTES = 16;
const BUCKET_HEADER_BYTES = 16;
/** Of a meta: what its checksum is over, which stands behind it. */
const META_BYTES = 56;
/** A page's size is that of the machine that made the file. */
const MIN_PAGE_BYTES = 1024;
const MAX_PAGE_BYTES = 64 << 10;
/** etcd refuses requests far smaller; a page that claims more is damaged. */
const MAX_RUN_BYTES = 1 << 30;

/** FNV-1a of 64 bits. */
const FNV_OFFSET = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;

interface Meta {
  readonly pageBytes: number;
  readonly rootPage: number;
  /** Pages from here on do not exist. */
  readonly endPage: number;
  readonly txid: bigint;
}

/**
 * A bbolt database, read-only: the top-level buckets and their keys, in order. That is all etcd has.
 *
 *   page     id u64, flags u16, count u16, overflow u32 (further pages that belong to it), then `count` elements
 *   branch   element: pos u32, key bytes u32, page u64
 *   leaf     element: flags u32, pos u32, key bytes u32, value bytes u32; `pos` is relative to the element
 *   bucket   root page u64, sequence u64; root 0: a leaf page follows at once
 *   pages 0 and 1: metas; of those whose checksum is right, the one with the larger transaction id holds
 *
 * All numbers are little-endian. Nothing is believed: what points outside its page, or does not ascend, throws
 * `BackupError`.
 */
export class BoltFile implements Disposable {
  readonly #file: Deno.FsFile;
  readonly #path: string;
  readonly #sizeBytes: number;
  readonly #meta: Meta;

  private constructor(
    file: Deno.FsFile,
    parts: { path: string; sizeBytes: number },
  ) {
    this.#file = file;
    this.#path = parts.path;
    this.#sizeBytes = parts.sizeBytes;
    this.#meta = this.#readMeta();
  }

  static open(path: string): BoltFile {
    const file = Deno.openSync(path, { read: true });
    try {
      return new BoltFile(file, { path, sizeBytes: file.statSync().size });
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** All entries of a top-level bucket, in the order of their keys; none if there is no such bucket. */
  *entries(bucket: string): Generator<BoltEntry, void, undefined> {
    const name = utf8(bucket);
    const root = this.#readPage(this.#meta.rootPage);
    for (const element of this.#elements(root, new Set())) {
      if (compareBytes(element.key, name) !== 0) continue;
      if (!element.isBucket) throw this.#damaged(`"${bucket}" is no bucket`);
      return yield* this.#bucket(element.value);
    }
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }

  *#bucket(header: Uint8Array): Generator<BoltEntry, void, undefined> {
    if (header.length < BUCKET_HEADER_BYTES) {
      throw this.#damaged("a bucket's header is cut off");
    }
    const rootPage = this.#number(viewOf(header).getBigUint64(0, true));
    const page = rootPage === 0
      ? header.subarray(BUCKET_HEADER_BYTES)
      : this.#readPage(rootPage);
    let last: Uint8Array | undefined;
    for (const { key, value, isBucket } of this.#elements(page, new Set())) {
      if (isBucket) throw this.#damaged("a bucket is inside a bucket");
      if (last !== undefined && compareBytes(last, key) >= 0) {
        throw this.#damaged("keys do not ascend");
      }
      last = key;
      yield { key, value };
    }
  }

  /** All leaf elements below a page; `seen` are the pages that the tree has led to so far. */
  *#elements(
    page: Uint8Array,
    seen: Set<number>,
  ): Generator<LeafElement, void, undefined> {
    if (page.length < PAGE_HEADER_BYTES) {
      throw this.#damaged("a page is cut off");
    }
    const view = viewOf(page);
    const flags = view.getUint16(8, true);
    const count = view.getUint16(10, true);
    if (PAGE_HEADER_BYTES + count * ELEMENT_BYTES > page.length) {
      throw this.#damaged("a page has more elements than room");
    }
    for (let i = 0; i < count; i++) {
      const at = PAGE_HEADER_BYTES + i * ELEMENT_BYTES;
      if (flags === LEAF_PAGE) {
        const keyAt = at + view.getUint32(at + 4, true);
        const valueAt = keyAt + view.getUint32(at + 8, true);
        const end = valueAt + view.getUint32(at + 12, true);
        if (end > page.length) throw this.#damaged("an element is cut off");
        yield {
          isBucket: (view.getUint32(at, true) & BUCKET_ELEMENT) !== 0,
          key: page.subarray(keyAt, valueAt),
          value: page.subarray(valueAt, end),
        };
      } else if (flags === BRANCH_PAGE) {
        const child = this.#number(view.getBigUint64(at + 8, true));
        if (seen.has(child)) {
          throw this.#damaged(`page ${child} is there twice`);
        }
        yield* this.#elements(this.#readPage(child), seen.add(child));
      } else throw this.#damaged(`a page of a tree has the flags ${flags}`);
    }
  }

  /** A page with those that belong to it. */
  #readPage(id: number): Uint8Array {
    const { pageBytes, endPage } = this.#meta;
    if (id >= endPage) throw this.#damaged(`there is no page ${id}`);
    const first = this.#read(id * pageBytes, pageBytes);
    const view = viewOf(first);
    if (view.getBigUint64(0, true) !== BigInt(id)) {
      throw this.#damaged(`page ${id} says that it is another`);
    }
    const overflow = view.getUint32(12, true);
    if (overflow === 0) return first;
    const size = (overflow + 1) * pageBytes;
    if (id + overflow >= endPage || size > MAX_RUN_BYTES) {
      throw this.#damaged(`page ${id} is longer than the file`);
    }
    return this.#read(id * pageBytes, size);
  }

  #readMeta(): Meta {
    const first = this.#metaAt(0);
    let newest = first;
    // If the first is damaged, its page size is not known either.
    for (let size = MIN_PAGE_BYTES; size <= MAX_PAGE_BYTES; size *= 2) {
      if (first !== undefined && size !== first.pageBytes) continue;
      const second = this.#metaAt(size);
      if (second === undefined || second.pageBytes !== size) continue;
      if (newest === undefined || second.txid > newest.txid) newest = second;
    }
    if (newest === undefined) throw this.#damaged("neither meta page is whole");
    return newest;
  }

  /** Undefined if there is none, or its checksum is wrong. */
  #metaAt(offset: number): Meta | undefined {
    const size = PAGE_HEADER_BYTES + META_BYTES + 8;
    if (offset + size > this.#sizeBytes) return undefined;
    const page = this.#read(offset, size);
    if ((viewOf(page).getUint16(8, true) & META_PAGE) === 0) return undefined;
    const meta = page.subarray(PAGE_HEADER_BYTES);
    const view = viewOf(meta);
    const isOurs = view.getUint32(0, true) === MAGIC &&
      view.getUint32(4, true) === VERSION &&
      view.getBigUint64(META_BYTES, true) ===
        fnv1a(meta.subarray(0, META_BYTES));
    if (!isOurs) return undefined;
    const pageBytes = view.getUint32(8, true);
    if (pageBytes < MIN_PAGE_BYTES || pageBytes > MAX_PAGE_BYTES) {
      return undefined;
    }
    return {
      pageBytes,
      rootPage: this.#number(view.getBigUint64(16, true)),
      endPage: this.#number(view.getBigUint64(40, true)),
      txid: view.getBigUint64(48, true),
    };
  }

  #read(offset: number, size: number): Uint8Array {
    if (offset + size > this.#sizeBytes) throw this.#damaged("it is cut off");
    const bytes = new Uint8Array(size);
    this.#file.seekSync(offset, Deno.SeekMode.Start);
    for (let at = 0; at < size;) {
      const n = this.#file.readSync(bytes.subarray(at));
      if (n === null) throw this.#damaged("it is cut off");
      at += n;
    }
    return bytes;
  }

  /** A page's number. */
  #number(value: bigint): number {
    if (value > BigInt(this.#sizeBytes)) {
      throw this.#damaged(`there is no page ${value}`);
    }
    return Number(value);
  }

  #damaged(state: string): BackupError {
    return new BackupError(
      `Cannot read "${this.#path}": it is a damaged bbolt file: ${state}`,
    );
  }
}

interface LeafElement extends BoltEntry {
  readonly isBucket: boolean;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function fnv1a(bytes: Uint8Array): bigint {
  let hash = FNV_OFFSET;
  for (const byte of bytes) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * FNV_PRIME);
  }
  return hash;
}
