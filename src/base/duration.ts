const NANOSECONDS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  "µs": 1e3, // U+00B5, the micro sign
  "μs": 1e3, // U+03BC, the Greek letter
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Go counts durations in nanoseconds of 64 bits: about 292 years. */
const MAX_NANOSECONDS = 2 ** 63;

const PART = /^(\d*\.?\d*)([a-zµμ]+)/;

/**
 * A duration as Go writes it (`10m`, `1h30m`, `100ms`, `-1.5s`, `0`) in milliseconds, or undefined if it is
 * none. As in Go, a number without a unit is no duration, except 0.
 */
export function parseDurationMs(text: string): number | undefined {
  const isNegative = text.startsWith("-");
  let rest = isNegative || text.startsWith("+") ? text.slice(1) : text;
  if (rest === "0") return 0;
  if (rest === "") return undefined;
  let nanoseconds = 0;
  while (rest !== "") {
    const part = PART.exec(rest);
    const unit = NANOSECONDS[part?.[2] ?? ""];
    if (part === null || unit === undefined || !/\d/.test(part[1]!)) {
      return undefined;
    }
    nanoseconds += Number(part[1]) * unit;
    rest = rest.slice(part[0].length);
  }
  if (nanoseconds >= MAX_NANOSECONDS) return undefined;
  const ms = nanoseconds / 1e6;
  return isNegative ? -ms : ms;
}
