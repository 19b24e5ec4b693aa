/** One line of numbers in an exposition. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A family with its samples, those of a histogram's `_bucket`, `_sum` and `_count` included. */
export interface ParsedFamily {
  readonly help: string;
  readonly type: string;
  readonly samples: Sample[];
}

/** Reads Prometheus' text format strictly: every sample belongs to the family whose HELP and TYPE came last. */
export function parseExposition(text: string): Map<string, ParsedFamily> {
  if (!text.endsWith("\n")) throw new Error("no newline at the end");
  const families = new Map<string, ParsedFamily>();
  let help: [string, string] | undefined;
  let current: [string, ParsedFamily] | undefined;
  for (const line of text.slice(0, -1).split("\n")) {
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment?.[1] === "HELP") {
      help = [comment[2]!, unescape(comment[3]!)];
    } else if (comment?.[1] === "TYPE") {
      const name = comment[2]!;
      if (help?.[0] !== name) throw new Error(`TYPE without HELP: ${name}`);
      if (families.has(name)) throw new Error(`family twice: ${name}`);
      current = [name, { help: help[1], type: comment[3]!, samples: [] }];
      families.set(...current);
    } else {
      const sample = parseSample(line);
      const base = current?.[1].type === "histogram"
        ? sample.name.replace(/_(bucket|sum|count)$/, "")
        : sample.name;
      if (base !== current?.[0]) throw new Error(`stray sample: ${line}`);
      current[1].samples.push(sample);
    }
  }
  return families;
}

/** The value of the one sample with this name and these labels. */
export function sampleValue(
  text: string,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const wanted = JSON.stringify(Object.entries(labels).sort());
  const found = [...parseExposition(text).values()]
    .flatMap((family) => family.samples)
    .filter((s) =>
      s.name === name &&
      JSON.stringify(Object.entries(s.labels).sort()) === wanted
    );
  if (found.length > 1) throw new Error(`sample twice: ${name}`);
  return found[0]?.value;
}

function parseSample(line: string): Sample {
  const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
  if (match === null) throw new Error(`not a sample: ${line}`);
  const labels: Record<string, string> = {};
  let rest = match[2] ?? "";
  while (rest !== "") {
    const pair = /^([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"(?:,(?=.)|$)/.exec(rest);
    if (pair === null) throw new Error(`not labels: ${line}`);
    if (pair[1]! in labels) throw new Error(`label twice: ${line}`);
    labels[pair[1]!] = unescape(pair[2]!);
    rest = rest.slice(pair[0].length);
  }
  const value = Number(match[3]!.replace("Inf", "Infinity"));
  if (Number.isNaN(value)) throw new Error(`not a number: ${line}`);
  return { name: match[1]!, labels, value };
}

function unescape(text: string): string {
  return text.replace(/\\(.)/g, (_, c) => c === "n" ? "\n" : c);
}
