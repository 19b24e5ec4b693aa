/**
 * The Huffman code of RFC 7541, Appendix B. It is canonical: codes of one length are consecutive in the order of
 * their symbols, so the lengths are all there is to write down.
 *
 * Decoding takes four bits per step through a state machine whose states are the tree's inner nodes.
 */

const EOS = 256;

/** Bits of each symbol's code; the last one is EOS. */
// deno-fmt-ignore
const LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
];

/** Shortest code in bits: a string of n coded bytes has at most 8n/5 symbols. */
const SHORTEST_CODE_BITS = 5;

const CODES = canonicalCodes();

/** A step's fields: the next state, whether a symbol came out, and which; or that the input is invalid. */
const STATE_MASK = 0xff;
const EMITS = 0x100;
const INVALID = 0x200;
const SYMBOL_SHIFT = 10;
const { steps: STEPS, mayEnd: MAY_END } = stateMachine();

/** How many bytes `coded` bytes decode to at most. */
export function maxDecodedBytes(coded: number): number {
  return Math.floor(coded * 8 / SHORTEST_CODE_BITS);
}

/**
 * Decodes bytes[start, end) into `out`, which has room for `maxDecodedBytes`. Returns the number of symbols, or -1
 * if the string contains EOS or its padding is longer than 7 bits or not all ones (§5.2).
 */
export function huffmanDecode(
  bytes: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array,
): number {
  let state = 0;
  let n = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!;
    let step = STEPS[(state << 4) | (byte >>> 4)]!;
    if (step & EMITS) out[n++] = step >>> SYMBOL_SHIFT;
    const invalid = step & INVALID;
    step = STEPS[((step & STATE_MASK) << 4) | (byte & 15)]!;
    if (step & EMITS) out[n++] = step >>> SYMBOL_SHIFT;
    if ((invalid | step) & INVALID) return -1;
    state = step & STATE_MASK;
  }
  return MAY_END[state] === 1 ? n : -1;
}

/** The bytes that `text` (latin1) takes when coded. */
export function huffmanSize(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += LENGTHS[text.charCodeAt(i)]!;
  return (bits + 7) >>> 3;
}

/** Appends the code of `text` (latin1), padded with ones. */
export function huffmanAppend(out: number[], text: string): void {
  // At most 7 bits wait here, and at most 16 join them at a time.
  let waiting = 0;
  let bits = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i);
    const code = CODES[symbol]!;
    let left = LENGTHS[symbol]!;
    while (left > 0) {
      const take = left > 16 ? left - 16 : left;
      left -= take;
      waiting = (waiting << take) | ((code >>> left) & ((1 << take) - 1));
      bits += take;
      while (bits >= 8) {
        bits -= 8;
        out.push((waiting >>> bits) & 0xff);
      }
      waiting &= (1 << bits) - 1;
    }
  }
  if (bits > 0) {
    out.push(((waiting << (8 - bits)) | ((1 << (8 - bits)) - 1)) & 0xff);
  }
}

function canonicalCodes(): number[] {
  const symbols = LENGTHS.map((_, symbol) => symbol);
  symbols.sort((a, b) => LENGTHS[a]! - LENGTHS[b]! || a - b);
  const codes: number[] = new Array(LENGTHS.length).fill(0);
  let code = -1;
  let length = LENGTHS[symbols[0]!]!;
  for (const symbol of symbols) {
    code = (code + 1) << (LENGTHS[symbol]! - length);
    length = LENGTHS[symbol]!;
    codes[symbol] = code;
  }
  return codes;
}

/** 257 leaves make 256 inner nodes, so a state fits in a byte. */
function stateMachine(): { steps: Uint32Array; mayEnd: Uint8Array } {
  // children[2n + bit]: an inner node, or ~symbol. Node 0 is the root and nobody's child.
  const children = new Int32Array(2 * 256);
  let nodes = 1;
  for (let symbol = 0; symbol <= EOS; symbol++) {
    let node = 0;
    for (let left = LENGTHS[symbol]! - 1; left > 0; left--) {
      const slot = 2 * node + ((CODES[symbol]! >>> left) & 1);
      if (children[slot] === 0) children[slot] = nodes++;
      node = children[slot]!;
    }
    children[2 * node + (CODES[symbol]! & 1)] = ~symbol;
  }

  // Two bits at a time, and of these four: a code has five at least, so that no more than one symbol comes out.
  const steps = twice(twice(bitSteps(children), 1), 2);

  const mayEnd = new Uint8Array(256);
  let node = 0;
  for (let ones = 0; ones <= 7; ones++) {
    mayEnd[node] = 1;
    node = children[2 * node + 1]!;
  }
  return { steps, mayEnd };
}

/** A step for each bit in each state. */
function bitSteps(children: Int32Array): Uint32Array {
  return new Uint32Array(children.length).map((_, slot) => {
    const next = children[slot]!;
    if (next >= 0) return next;
    return ~next === EOS ? INVALID : EMITS | (~next << SYMBOL_SHIFT);
  });
}

/** Of steps that take `bits`, those that take twice as many. */
function twice(steps: Uint32Array, bits: number): Uint32Array {
  const choices = 1 << bits;
  const doubled = new Uint32Array(steps.length * choices);
  for (let i = 0; i < doubled.length; i++) {
    const first = steps[i >>> bits]!;
    const second = steps[((first & STATE_MASK) << bits) | (i & (choices - 1))]!;
    doubled[i] = (first | second) & INVALID
      ? INVALID
      : (first & ~STATE_MASK) | second;
  }
  return doubled;
}
