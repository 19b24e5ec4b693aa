/** Repeatable random numbers (mulberry32). A failing test prints `label`; give its seed to the constructor. */
export class Random {
  #state: number;

  constructor(readonly seed: number = Math.floor(Math.random() * 2 ** 31)) {
    this.#state = seed;
  }

  get label(): string {
    return `seed ${this.seed}`;
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number in [0, n). */
  below(n: number): number {
    return Math.floor(this.next() * n);
  }

  /** True this often. */
  chance(share: number): boolean {
    return this.next() < share;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}
