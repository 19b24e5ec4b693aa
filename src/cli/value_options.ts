import type { Command } from "commander";
import { integerFrom } from "./command_context.ts";
import { parseValueFormat, type ValueFormat } from "./value_text.ts";

/** How values are shown to people. */
export interface ValueFlags {
  readonly values: ValueFormat;
  /** Characters; 0: all. */
  readonly width: number;
}

export function addValueOptions(command: Command, defaultWidth: number): void {
  command
    .option(
      "--values <format>",
      "how to show values: text, base64, hex or none",
      parseValueFormat,
      "text",
    )
    .option(
      "--width <characters>",
      "cut values shorter; 0 for never (json never does)",
      integerFrom(0),
      defaultWidth,
    );
}
