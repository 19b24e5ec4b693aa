import type { PermissionName } from "./permissions.ts";

/** What a command needs of the process it runs in; tests bring their own. */
export interface Process {
  readonly env: Readonly<Record<string, string>>;
  readFile(path: string): Promise<string>;
  stdout(text: string): void;
  stderr(text: string): void;
  /** Whether a person sits at this end: then there is progress to show, and somebody to ask. */
  isTerminal(stream: "stdin" | "stdout" | "stderr"): boolean;
  /** Asks for one line, which is not shown while it is typed. Rejects if there is nobody to ask. */
  readSecret(prompt: string): Promise<string>;
  /** Calls `act` for each of these signals; returns a function that ends it. */
  onSignal(act: (signal: StopSignal) => void): () => void;
  /**
   * Calls `take` with each rejection that nobody handled; unless it returns true, the process ends. Returns a
   * function that ends it.
   */
  onStrayRejection(take: (error: unknown) => boolean): () => void;
  /** Gives permissions up, for good, and empties the environment. */
  drop(permissions: readonly PermissionName[]): void;
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
    // At once: what the runtime compiles of an executable until it first has to wait is what it keeps.
    readFile: (path) => Promise.try(Deno.readTextFileSync, path),
    stdout: (text) => writeAllSync(Deno.stdout, text),
    stderr: (text) => writeAllSync(Deno.stderr, text),
    isTerminal: (stream) => Deno[stream].isTerminal(),
    readSecret: readSecretLine,
    onSignal(act) {
      const signals: readonly StopSignal[] = ["SIGTERM", "SIGINT"];
      const listeners = signals.map((signal) => {
        const listener = () => act(signal);
        Deno.addSignalListener(signal, listener);
        return () => Deno.removeSignalListener(signal, listener);
      });
      return () => listeners.forEach((remove) => remove());
    },
    onStrayRejection(take) {
      const listener = (event: PromiseRejectionEvent) => {
        if (take(event.reason)) event.preventDefault();
      };
      addEventListener("unhandledrejection", listener);
      return () => removeEventListener("unhandledrejection", listener);
    },
    drop: (permissions) => {
      for (const name of Object.keys(Deno.env.toObject())) {
        Deno.env.delete(name);
      }
      for (const name of permissions) Deno.permissions.revokeSync({ name });
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

const BACKSPACE = 0x08;
const DELETE = 0x7f;
const ENTER = [0x0a, 0x0d];
/** ^C and ^D: in raw mode these are characters. */
const GIVE_UP = [0x03, 0x04];

/** Reads from the terminal in raw mode, so that nothing is echoed. */
async function readSecretLine(prompt: string): Promise<string> {
  if (!Deno.stdin.isTerminal()) {
    throw new Error("standard input is not a terminal");
  }
  writeAllSync(Deno.stderr, prompt);
  Deno.stdin.setRaw(true);
  try {
    const typed: number[] = [];
    const buffer = new Uint8Array(64);
    for (;;) {
      const count = await Deno.stdin.read(buffer);
      if (count === null) throw new Error("no answer");
      for (const byte of buffer.subarray(0, count)) {
        if (ENTER.includes(byte)) {
          return new TextDecoder().decode(new Uint8Array(typed));
        }
        if (GIVE_UP.includes(byte)) throw new Error("no answer");
        if (byte === BACKSPACE || byte === DELETE) typed.pop();
        else typed.push(byte);
      }
    }
  } finally {
    Deno.stdin.setRaw(false);
    writeAllSync(Deno.stderr, "\n");
  }
}
