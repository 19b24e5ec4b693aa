import type { Process } from "./process.ts";

/** What every command but `serve` is given. */
export interface CommandContext {
  readonly process: Process;
  /** Aborts when the user interrupts: a command then tidies up and ends. */
  readonly signal: AbortSignal;
  /** What the process ends with if the command itself does not fail; `Ok` until it is set. */
  exitStatus: number;
}

/** The command line makes no sense: status 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** Does `act`; says of any error what could not be done: `attempt("compact", …)` → `Cannot compact: why`. */
export async function attempt<T>(
  what: string,
  act: () => Promise<T>,
): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
    // It is not what was done that failed.
    if (cause instanceof Deno.errors.BrokenPipe) throw cause;
    throw new Error(`Cannot ${what}`, { cause });
  }
}

/** For commander's options: an integer from `least` on. Throws `UsageError`. */
export function integerFrom(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(value)) {
      throw new UsageError(`Cannot use "${text}": it is not an integer`);
    }
    if (value < least) {
      throw new UsageError(
        `Cannot use "${text}": it must be ${least} or more`,
      );
    }
    return value;
  };
}
