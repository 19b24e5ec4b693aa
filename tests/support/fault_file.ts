import type { Fault } from "./faulty_disk.ts";

/** What the disk under a directory does wrong, told to the worker that has it open. */
export class FaultFile {
  readonly #path: string;

  constructor(dir: string) {
    this.#path = `${dir}/faults.json`;
  }

  /** From now on. */
  write(faults: readonly Fault[]): void {
    const whole = `${this.#path}.new`;
    Deno.writeTextFileSync(whole, JSON.stringify(faults));
    Deno.renameSync(whole, this.#path);
  }

  read(): readonly Fault[] {
    try {
      return JSON.parse(Deno.readTextFileSync(this.#path));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    }
  }
}
