/** What a command needs of the process it runs in; tests bring their own. */
export interface Process {
  readonly env: Readonly<Record<string, string>>;
  readFile(path: string): Promise<string>;
  stdout(text: string): void;
  stderr(text: string): void;
  /** Calls `act` for each of these signals; returns a function that ends it. */
  onSignal(act: (signal: StopSignal) => void): () => void;
  /** Ends at once. */
  exit(status: number): void;
}

/** The signals that stop a server. */
export type StopSignal = "SIGTERM" | "SIGINT";

/** Exit statuses. */
export const ExitStatus = {
  Ok: 0,
  /** The server could not start, or could not go on. */
  Failed: 1,
  /** The command line or the configuration is wrong. */
  Usage: 2,
} as const;

const ENCODER = new TextEncoder();

/** The process that this is. */
export function systemProcess(): Process {
  return {
    env: Deno.env.toObject(),
    readFile: (path) => Deno.readTextFile(path),
    stdout: (text) => writeAllSync(Deno.stdout, text),
    stderr: (text) => writeAllSync(Deno.stderr, text),
    onSignal(act) {
      const signals: readonly StopSignal[] = ["SIGTERM", "SIGINT"];
      const listeners = signals.map((signal) => {
        const listener = () => act(signal);
        Deno.addSignalListener(signal, listener);
        return () => Deno.removeSignalListener(signal, listener);
      });
      return () => listeners.forEach((remove) => remove());
    },
    exit: (status) => Deno.exit(status),
  };
}

function writeAllSync(
  out: { writeSync(bytes: Uint8Array): number },
  text: string,
): void {
  const bytes = ENCODER.encode(text);
  for (let at = 0; at < bytes.length;) at += out.writeSync(bytes.subarray(at));
}
