import { type Flag, FLAG_GROUPS, type FlagGroup } from "../config/flags.ts";

const INDENT = "  ";
/** Where the explanations begin. */
const HELP_COLUMN = 36;
const LINE_WIDTH = 100;

/** What `serve --help` prints: every flag with its default, by group. */
export function helpText(): string {
  const groups: readonly FlagGroup[] = FLAG_GROUPS;
  return [
    "Usage:",
    "",
    "  stele [serve] [flags]   Start the server",
    "  stele help              The other commands",
    "",
    "Each flag can be given as --name=value or --name value, or by an environment",
    "variable: ETCD_DATA_DIR for --data-dir, STELE_ENDPOINT for Stele's own --endpoint",
    "(marked with *). Durations look like 300ms, 10m or 1h30m.",
    "",
    ...groups.flatMap((group) => [...groupLines(group), ""]),
  ].join("\n");
}

function groupLines({ title, flags }: FlagGroup): string[] {
  const isBare = flags.every((flag) => flag.help === "");
  const lines = isBare
    ? wrap(flags.map((flag) => `--${flag.name}`).join(" "), INDENT)
    : flags.flatMap(flagLines);
  return [`${title}:`, ...lines];
}

function flagLines(flag: Flag): string[] {
  const mark = flag.effect === "own" ? " *" : "";
  const head = `${INDENT}--${flag.name}${mark}`;
  const indent = " ".repeat(HELP_COLUMN);
  const lines = wrap(flag.help + fallbackText(flag), indent);
  const first = lines[0]!.trimStart();
  if (head.length + 2 > HELP_COLUMN) return [head, ...lines];
  return [head.padEnd(HELP_COLUMN) + first, ...lines.slice(1)];
}

function fallbackText({ type, fallback, help }: Flag): string {
  const isSaid = help.includes("(default: ");
  if (fallback === "" || isSaid || (type === "bool" && fallback === "false")) {
    return "";
  }
  return ` [${fallback}]`;
}

function wrap(text: string, indent: string): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (line !== "" && indent.length + longer.length > LINE_WIDTH) {
      lines.push(indent + line);
      line = word;
    } else {
      line = longer;
    }
  }
  return [...lines, indent + line];
}
