/**
 * Things that are so or not, each changed by one client at a time: users, roles, alarms.
 *
 * After a change whose answer was lost, either may be; the next look settles it.
 */
export class Facts {
  readonly violations: string[] = [];
  readonly #known = new Map<string, boolean>();
  /** Facts whose last change had no answer. */
  readonly #open = new Set<string>();

  isSo(fact: string): boolean {
    return this.#known.get(fact) ?? false;
  }

  /** Whether any fact whose name begins like this is so, or may be. */
  isAny(prefix: string): boolean {
    const isSo = [...this.#known].some(([fact, so]) =>
      so && fact.startsWith(prefix)
    );
    return isSo || [...this.#open].some((fact) => fact.startsWith(prefix));
  }

  /** Makes a fact so or not; `change` returns undefined if no answer came, false if it was refused. */
  async set(
    fact: string,
    isSo: boolean,
    change: () => Promise<boolean | undefined>,
  ): Promise<void> {
    this.#open.add(fact);
    const isDone = await change();
    if (isDone === undefined) return;
    this.#open.delete(fact);
    if (isDone) this.#known.set(fact, isSo);
    else this.violations.push(`"${fact}" could not be made ${isSo}`);
  }

  /** Compares with what a server says; `actual` are the facts that are so. */
  look(actual: readonly string[]): void {
    const now = new Set(actual);
    for (
      const fact of new Set([...this.#known.keys(), ...this.#open, ...now])
    ) {
      if (now.has(fact) !== this.isSo(fact) && !this.#open.has(fact)) {
        this.violations.push(
          `"${fact}" is ${now.has(fact)} after a restart, not ${
            this.isSo(fact)
          }`,
        );
      }
      this.#known.set(fact, now.has(fact));
    }
    this.#open.clear();
  }
}
