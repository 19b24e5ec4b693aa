import type { Random } from "../support/random.ts";

/** Something that is fed what nobody would send. */
export interface FuzzTarget {
  /** As on the command line, and the name of its file in corpus/. */
  readonly name: string;
  /** One case, which is the same for the same seed; throws if something is wrong. */
  run(random: Random): void | Promise<void>;
}

/** Random bytes, of lengths that are short most of the time. */
export function randomBytes(random: Random, maxBytes: number): Uint8Array {
  const length = random.int(1 + random.int(1 + maxBytes));
  return Uint8Array.from({ length }, () => random.int(256));
}

/** A copy that is damaged in some places: bytes changed, cut out, doubled, or replaced by those of the edges. */
export function mutate(random: Random, bytes: Uint8Array): Uint8Array {
  const out = [...bytes];
  for (let i = random.int(4); i >= 0 && out.length > 0; i--) {
    const at = random.int(out.length);
    switch (random.int(6)) {
      case 0:
        out[at] = random.int(256);
        break;
      case 1:
        out[at]! ^= 1 << random.int(8);
        break;
      case 2:
        out[at] = random.pick([0, 1, 0x7f, 0x80, 0xff]);
        break;
      case 3:
        out.splice(at, 1 + random.int(8));
        break;
      case 4:
        out.splice(at, 0, ...out.slice(at, at + random.int(16)));
        break;
      case 5:
        out.length = at;
        break;
    }
  }
  return Uint8Array.from(out);
}
