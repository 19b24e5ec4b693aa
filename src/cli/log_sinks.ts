import { type LogSink, STDERR_SINK, STDOUT_SINK } from "../base/log.ts";

/** Opens what `log-outputs` names; files are appended to. Throws what the file system throws. */
export function openLogSinks(outputs: readonly string[]): LogSink[] {
  return outputs.map(openLogSink);
}

function openLogSink(output: string): LogSink {
  switch (output) {
    case "default":
    case "stderr":
    // systemd takes standard error into its journal.
    case "systemd/journal":
      return STDERR_SINK;
    case "stdout":
      return STDOUT_SINK;
  }
  const file = Deno.openSync(output, { append: true, create: true });
  const encoder = new TextEncoder();
  return {
    write(line) {
      const bytes = encoder.encode(line);
      for (let at = 0; at < bytes.length;) {
        at += file.writeSync(bytes.subarray(at));
      }
    },
  };
}
