/** Small, fast, seeded random numbers (mulberry32): a failing test prints its seed. */
export class Random {
  #state: number;

  constructor(readonly seed: number) {
    this.#state = seed | 0;
  }

  /** An integer in [0, below). */
  int(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.int(n) === 0;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.int(items.length)]!;
  }
}

/** The seeds of a random test: some fixed ones, or the one that STELE_SEED names. */
export function seeds(count: number): number[] {
  const named = Deno.env.get("STELE_SEED");
  if (named !== undefined) return [Number(named)];
  return Array.from({ length: count }, (_, i) => i + 1);
}
