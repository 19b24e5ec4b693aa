import { type LogSink, STDERR_SINK, STDOUT_SINK } from "../base/log.ts";

/** Opens what `log-outputs` names, and closes it again. */
export class LogSinks implements Disposable {
  readonly #files: Deno.FsFile[] = [];

  /** Files are appended to, and made if need be. Throws what the file system throws. */
  open(outputs: readonly string[]): LogSink[] {
    return outputs.map((output) => this.#open(output));
  }

  /** Closes the files; the standard streams stay. */
  close(): void {
    for (const file of this.#files.splice(0)) file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #open(output: string): LogSink {
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
    this.#files.push(file);
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
}
