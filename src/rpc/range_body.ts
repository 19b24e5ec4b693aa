import {
  newRangeResponse,
  type RangeResponse,
  RangeResponseCodec,
  sizeRangeResponse,
  writeRangeResponse,
} from "../pb/etcdserverpb.ts";
import { writeVarint } from "../pb/wire.ts";
import type { Codec } from "../transport/grpc/codec.ts";

/** Field 2 of RangeResponse, length-delimited. */
const KVS_TAG = 0x12;
/** A tag and the longest length. */
const MAX_HEAD_BYTES = 6;

/**
 * A RangeResponse in pieces: the records of a long list are copied from where they are into the frames
 * that carry them, and the list is never whole in memory.
 *
 * Fields go out in the order of their numbers, as `writeRangeResponse` writes them: header, pairs, the rest.
 */
export class RangeBody {
  readonly #kvs: readonly Uint8Array[];
  readonly #tail: Uint8Array;
  readonly #head = new Uint8Array(MAX_HEAD_BYTES);
  /** What is being copied, and how much of it is. */
  #piece: Uint8Array;
  #offset = 0;
  /** The pair whose head or record is next. */
  #next = 0;
  #isRecordNext = false;

  constructor(response: RangeResponse) {
    this.#kvs = response.kvs;
    this.#piece = encode({ header: response.header });
    this.#tail = encode({ more: response.more, count: response.count });
  }

  /** Writes the next `length` bytes. */
  read(out: Uint8Array, at: number, length: number): void {
    let left = length;
    while (left > 0) {
      const waiting = this.#piece.length - this.#offset;
      if (waiting === 0) {
        this.#advance();
        continue;
      }
      const size = waiting < left ? waiting : left;
      const whole = size === this.#piece.length;
      out.set(
        whole
          ? this.#piece
          : this.#piece.subarray(this.#offset, this.#offset + size),
        at,
      );
      this.#offset += size;
      at += size;
      left -= size;
    }
  }

  #advance(): void {
    this.#offset = 0;
    if (this.#isRecordNext) {
      this.#isRecordNext = false;
      this.#piece = this.#kvs[this.#next++]!;
    } else if (this.#next < this.#kvs.length) {
      this.#isRecordNext = true;
      this.#head[0] = KVS_TAG;
      const end = writeVarint(this.#head, 1, this.#kvs[this.#next]!.length);
      this.#piece = this.#head.subarray(0, end);
    } else this.#piece = this.#tail;
  }
}

/** RangeResponse, with long ones in pieces. */
export const RANGE_RESPONSE: Codec<RangeResponse> = {
  ...RangeResponseCodec,
  reader: (response) => new RangeBody(response),
};

function encode(part: Partial<RangeResponse>): Uint8Array {
  const response = newRangeResponse(part);
  const out = new Uint8Array(sizeRangeResponse(response));
  writeRangeResponse(response, out, 0);
  return out;
}
