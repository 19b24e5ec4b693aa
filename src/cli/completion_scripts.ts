/** One option as shells complete it. Names are without dashes. */
export interface CompletedOption {
  readonly short: string | undefined;
  readonly long: string;
  readonly help: string;
  /** What its value is; undefined if it takes none. */
  readonly value: string | undefined;
  /** What its value may be; empty for anything. */
  readonly choices: readonly string[];
}

/** One command as shells complete it. */
export interface CompletedCommand {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly CompletedOption[];
  /** What its argument may be; empty for anything. */
  readonly choices: readonly string[];
  readonly subcommands: readonly CompletedCommand[];
}

/** For bash 3.2 and later, without the bash-completion package. */
export function bashScript(commands: readonly CompletedCommand[]): string {
  const cases = commands.flatMap((command) => {
    const names = command.subcommands.map(({ name }) => name);
    const all = [command, ...command.subcommands];
    const options = unique(all.flatMap((each) => each.options));
    const words = [
      ...names,
      ...command.choices,
      ...options.flatMap((option) => dashed(option)),
    ];
    const values = options.filter(({ value }) => value !== undefined);
    const chosen = values.filter(({ choices }) => choices.length > 0);
    const free = values.filter(({ choices }) => choices.length === 0);
    return [
      `    ${command.name})`,
      ...(values.length > 0 ? [`      case "$previous" in`] : []),
      ...chosen.map((option) =>
        `        ${dashed(option).join("|")}) words="${
          option.choices.join(" ")
        }" ;;`
      ),
      // Empty: the shell then completes file names.
      ...(free.length > 0
        ? [`        ${free.flatMap(dashed).join("|")}) words="" ;;`]
        : []),
      ...(values.length > 0
        ? [`        *) words="${words.join(" ")}" ;;`, "      esac"]
        : [`      words="${words.join(" ")}"`]),
      "      ;;",
    ];
  });
  const serve = commands.find(({ name }) => name === "serve");
  const first = [
    ...commands.map(({ name }) => name),
    ...(serve?.options ?? []).flatMap(dashed),
  ];
  return [
    "# bash completion of stele; made by: stele completion bash",
    "_stele() {",
    '  local current="${COMP_WORDS[COMP_CWORD]}"',
    '  local previous="${COMP_WORDS[COMP_CWORD-1]}"',
    '  local command="${COMP_WORDS[1]}"',
    '  local words=""',
    // `--name=value` arrives as three words.
    '  if [[ "$current" == "=" ]]; then',
    '    current=""',
    '  elif [[ "$previous" == "=" && COMP_CWORD -ge 2 ]]; then',
    '    previous="${COMP_WORDS[COMP_CWORD-2]}"',
    "  fi",
    "  if [[ COMP_CWORD -eq 1 ]]; then",
    '    command=""',
    '  elif [[ "$command" == -* ]]; then',
    "    command=serve",
    "  fi",
    '  case "$command" in',
    `    "") words="${first.join(" ")}" ;;`,
    ...cases,
    "  esac",
    '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
    "}",
    "complete -o default -F _stele stele",
    "",
  ].join("\n");
}

/** For zsh's completion system: a function `_stele` for a directory of `fpath`. */
export function zshScript(commands: readonly CompletedCommand[]): string {
  const cases = commands.flatMap((command) => {
    const all = [command, ...command.subcommands];
    const options = unique(all.flatMap((each) => each.options));
    const words = [
      ...command.subcommands.map(({ name }) => name),
      ...command.choices,
    ];
    const rest = words.length > 0
      ? `'1:word:(${words.join(" ")})' '*: :_files'`
      : "'*: :_files'";
    return [
      `    ${command.name})`,
      "      _arguments -s \\",
      ...options.map((option) => `        ${zshOption(option)} \\`),
      `        ${rest}`,
      "      ;;",
    ];
  });
  return [
    "#compdef stele",
    "# zsh completion of stele; made by: stele completion zsh",
    "_stele() {",
    "  local -a commands",
    "  commands=(",
    ...commands.map(({ name, summary }) => `    '${name}:${zshText(summary)}'`),
    "  )",
    "  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then",
    "    _describe -t commands command commands",
    "    return",
    "  fi",
    "  local command=$words[2]",
    '  if [[ "$command" == -* ]]; then',
    "    command=serve",
    "  else",
    "    shift words",
    "    (( CURRENT-- ))",
    "  fi",
    '  case "$command" in',
    ...cases,
    "  esac",
    "}",
    // Read with `source` it must be registered, found in `fpath` it must be run.
    'if [[ "$funcstack[1]" == _stele ]]; then',
    '  _stele "$@"',
    "else",
    "  compdef _stele stele",
    "fi",
    "",
  ].join("\n");
}

function zshOption({ short, long, help, value, choices }: CompletedOption) {
  const text = `[${zshText(help)}]`;
  const action = value === undefined
    ? ""
    : `:${zshText(value)}:${
      choices.length > 0 ? `(${choices.join(" ")})` : fileAction(value)
    }`;
  // `=`: the value may follow that, or be the next word.
  const equals = value === undefined ? "" : "=";
  if (short === undefined) return `'--${long}${equals}${text}${action}'`;
  const plus = value === undefined ? "" : "+";
  return `'(-${short} --${long})'{-${short}${plus},--${long}${equals}}'${text}${action}'`;
}

/** For fish 3. */
export function fishScript(commands: readonly CompletedCommand[]): string {
  const names = commands.map(({ name }) => name).join(" ");
  const lines = [
    "# fish completion of stele; made by: stele completion fish",
  ];
  const none = `not __fish_seen_subcommand_from ${names}`;
  for (const command of commands) {
    const { name, summary, choices, subcommands, options } = command;
    lines.push(
      `complete -c stele -n "${none}" -f -a ${name} -d '${fishText(summary)}'`,
    );
    const isIt = `__fish_seen_subcommand_from ${name}`;
    // Without a command, it is `serve`.
    const conditions = name === "serve" ? [isIt, none] : [isIt];
    for (const condition of conditions) {
      for (const option of options) {
        lines.push(`complete -c stele -n "${condition}" ${fishOption(option)}`);
      }
    }
    for (const word of choices) {
      lines.push(`complete -c stele -n "${isIt}" -f -a ${word}`);
    }
    for (const sub of subcommands) {
      lines.push(
        `complete -c stele -n "${isIt}" -f -a ${sub.name} -d '${
          fishText(sub.summary)
        }'`,
      );
      const both = `${isIt}; and __fish_seen_subcommand_from ${sub.name}`;
      for (const option of sub.options) {
        lines.push(`complete -c stele -n "${both}" ${fishOption(option)}`);
      }
    }
  }
  return [...lines, ""].join("\n");
}

function fishOption({ short, long, help, value, choices }: CompletedOption) {
  const parts = [`-l ${long}`];
  if (short !== undefined) parts.unshift(`-s ${short}`);
  if (choices.length > 0) parts.push(`-x -a '${choices.join(" ")}'`);
  else if (value !== undefined) parts.push("-r");
  if (help !== "") parts.push(`-d '${fishText(help)}'`);
  return parts.join(" ");
}

/** Most values are no files; which of `serve`'s texts are, only their names could tell. */
function fileAction(value: string): string {
  return /file|dir|path|string/.test(value) ? "_files" : "";
}

function dashed({ short, long }: CompletedOption): string[] {
  return short === undefined ? [`--${long}`] : [`-${short}`, `--${long}`];
}

/** Subcommands share some. */
function unique(options: readonly CompletedOption[]): CompletedOption[] {
  return [...new Map(options.map((each) => [each.long, each])).values()];
}

/** Inside single quotes, and inside brackets or between colons of `_arguments`. */
function zshText(text: string): string {
  return text.replace(/[\\[\]:]/g, "\\$&").replaceAll("'", "'\\''");
}

function fishText(text: string): string {
  return text.replace(/[\\']/g, "\\$&");
}
