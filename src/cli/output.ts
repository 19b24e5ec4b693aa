import type { Process } from "./process.ts";

/** `simple`: aligned columns. `table`: the same in a frame. `json`: one object a line. */
export const OUTPUT_FORMATS = ["simple", "table", "json"] as const;
export type OutputFormat = typeof OUTPUT_FORMATS[number];

/** What a cell of a table may hold. A list becomes its parts and commas; objects are for JSON only. */
export type Cell =
  | string
  | number
  | boolean
  | undefined
  | readonly string[]
  | { readonly [name: string]: string | number };

/** One column: what heads it, and its name in JSON. */
export interface Column {
  readonly title: string;
  readonly name: string;
  /** Numbers line up on the right. Default: left. */
  readonly align?: "right";
  /** Default: in all formats. */
  readonly only?: "json" | "people";
}

/** Rows are held back until there are this many, so that columns are as wide as what is in them. */
const ROWS_BEFORE_WIDTHS = 200;

/**
 * Writes rows as they come, in any format. With `simple`, columns that were drawn too narrow grow;
 * a `table` needs all its rows for its frame.
 */
export class RowWriter {
  readonly #process: Process;
  readonly #format: OutputFormat;
  readonly #columns: readonly Column[];
  readonly #widths: number[];
  #held: string[][] = [];
  #isHeaded = false;

  constructor(
    process: Process,
    format: OutputFormat,
    columns: readonly Column[],
  ) {
    this.#process = process;
    this.#format = format;
    this.#columns = columns.filter(({ only }) =>
      only === undefined || (only === "json") === (format === "json")
    );
    this.#widths = this.#columns.map(({ title }) => width(title));
  }

  /** One row; cells by the columns' names. */
  write(row: Readonly<Record<string, Cell>>): void {
    if (this.#format === "json") {
      writeJson(
        this.#process,
        Object.fromEntries(
          this.#columns.map(({ name }) => [name, row[name]]),
        ),
      );
      return;
    }
    const cells = this.#columns.map(({ name }) => cellText(row[name]));
    cells.forEach((cell, i) => {
      this.#widths[i] = Math.max(this.#widths[i]!, width(cell));
    });
    this.#held.push(cells);
    if (
      this.#format === "simple" && this.#held.length >= ROWS_BEFORE_WIDTHS
    ) this.flush();
  }

  /** Writes what was held back. A table is complete then. */
  flush(): void {
    const isWritten = this.#isHeaded && this.#held.length === 0;
    if (this.#format === "json" || isWritten) return;
    const lines = this.#format === "table" ? this.#framed() : this.#aligned();
    this.#held = [];
    this.#isHeaded = true;
    if (lines.length > 0) this.#process.stdout(lines.join("\n") + "\n");
  }

  #aligned(): string[] {
    const titles = this.#columns.map(({ title }) => title);
    const rows = this.#isHeaded ? this.#held : [titles, ...this.#held];
    return rows.map((cells) => this.#padded(cells).join("  ").trimEnd());
  }

  #framed(): string[] {
    const rule = `+${this.#widths.map((n) => "-".repeat(n + 2)).join("+")}+`;
    const line = (cells: readonly string[]) =>
      `| ${this.#padded(cells).join(" | ")} |`;
    return [
      rule,
      line(this.#columns.map(({ title }) => title)),
      rule,
      ...this.#held.map(line),
      rule,
    ];
  }

  #padded(cells: readonly string[]): string[] {
    return cells.map((cell, i) => {
      const spaces = " ".repeat(this.#widths[i]! - width(cell));
      return this.#columns[i]!.align === "right"
        ? spaces + cell
        : cell + spaces;
    });
  }
}

/** One object on a line. */
export function writeJson(process: Process, value: unknown): void {
  process.stdout(JSON.stringify(value) + "\n");
}

/** A size for people: `512 B`, `1.5 MiB`. */
export function byteSize(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  let size = bytes;
  let unit = "";
  for (const next of ["KiB", "MiB", "GiB", "TiB"]) {
    if (size < 1024) break;
    size /= 1024;
    unit = next;
  }
  return `${size < 10 ? size.toFixed(1) : Math.round(size)} ${unit}`;
}

/** `1 key`, `2 keys`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function cellText(cell: Cell): string {
  if (cell === undefined) return "";
  return Array.isArray(cell) ? cell.join(", ") : String(cell);
}

/** In characters; not all are equally wide on a terminal, but those of most keys are. */
function width(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
