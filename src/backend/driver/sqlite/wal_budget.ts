/** Pages of WAL after which a checkpoint is worth its two syncs: 4 MiB, about 5 ms of copying. */
const CHECKPOINT_PAGES = 1000;

/** Pages after which it is done even though requests wait, so that the WAL stays near 32 MiB under load. */
const OVERDUE_PAGES = 8000;

/** A page of the database, and of a WAL frame. */
export const PAGE_BYTES = 4096;

/** Estimates how much WAL has gathered since the last checkpoint, and says when the next one is due. */
export class WalBudget {
  /** Since a checkpoint was tried. */
  #pages = 0;
  /** Since one succeeded. */
  #pending = 0;

  /** An append with so many bytes of rows: these, and the ends of two tables and an index. */
  appended(bytes: number): void {
    this.changed(Math.ceil(bytes * 1.1 / PAGE_BYTES) + 3);
  }

  /** So many pages were changed here and there. */
  changed(pages: number): void {
    this.#pages += pages;
    this.#pending += pages;
  }

  /** To be done when nobody waits. */
  get due(): boolean {
    return this.#pages >= CHECKPOINT_PAGES;
  }

  /** To be done now. */
  get overdue(): boolean {
    return this.#pages >= OVERDUE_PAGES;
  }

  /** What the next checkpoint may add to the database, if all of it is new. */
  get pendingBytes(): number {
    return this.#pending * PAGE_BYTES;
  }

  /** A checkpoint is tried: the next one is not due before as much has gathered again. */
  tried(): void {
    this.#pages = 0;
  }

  /** It succeeded. What a reader kept it from copying counts again from here. */
  checkpointed(): void {
    this.#pages = this.#pending = 0;
  }
}
