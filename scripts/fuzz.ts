import { parseArgs } from "node:util";
import {
  anySeed,
  corpusOf,
  fuzz,
  FuzzFailure,
  runCase,
  TARGETS,
} from "../tests/fuzz/fuzzer.ts";

const DEFAULT_SECONDS = 60;
const USAGE = `usage: deno task fuzz [--seconds=N] [--seed=S] [TARGET…]
  --seconds=N  for all targets together; default ${DEFAULT_SECONDS}; 0: one case of each
  --seed=S     of the first case; default: the seeds of tests/fuzz/corpus, then any
  TARGET       ${
  TARGETS.map((target) => target.name).join(", ")
}; default: all`;

/**
 * Feeds the targets of tests/fuzz with random input until the time is over, or one fails: then it prints the seed, and
 * the command that shows the failure again.
 */
async function main(args: string[]): Promise<number> {
  const { seconds, seed, targets } = readArguments(args);
  for (const target of targets) {
    const first = seed ?? anySeed();
    try {
      if (seed === undefined) {
        for (const { seed } of corpusOf(target)) await runCase(target, seed);
      }
      const options = { seed: first, seconds: seconds / targets.length };
      const cases = await fuzz(target, options);
      console.log(`${target.name}: ${cases} cases from seed ${first}`);
    } catch (error) {
      if (!(error instanceof FuzzFailure)) throw error;
      console.error(error.message);
      return 1;
    }
  }
  return 0;
}

function readArguments(args: string[]) {
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: { seconds: { type: "string" }, seed: { type: "string" } },
    });
    const targets = positionals.length === 0
      ? TARGETS
      : positionals.map((name) => {
        const target = TARGETS.find((target) => target.name === name);
        if (target === undefined) throw new Error(`no target "${name}"`);
        return target;
      });
    return {
      seconds: integer("seconds", values.seconds) ?? DEFAULT_SECONDS,
      seed: integer("seed", values.seed),
      targets,
    };
  } catch (error) {
    console.error(`Cannot fuzz: ${(error as Error).message}\n${USAGE}`);
    Deno.exit(2);
  }
}

function integer(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (!/^\d{1,10}$/.test(value)) {
    throw new Error(`--${name}=${value} is not a whole number`);
  }
  return Number(value);
}

Deno.exit(await main(Deno.args));
