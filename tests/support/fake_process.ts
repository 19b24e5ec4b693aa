import type { Process, StopSignal } from "../../src/cli/process.ts";

/** A process whose output is kept, and whose signals and answers the test gives. */
export class FakeProcess implements Process {
  readonly env: Record<string, string> = {};
  readonly files = new Map<string, string>();
  out = "";
  err = "";
  /** What `readSecret` answers; without it, there is nobody to ask. */
  secret: string | undefined;
  /** Whether all streams are a terminal. */
  isTty = false;
  readonly exits: number[] = [];
  /** Permissions that were given up. */
  readonly dropped: string[] = [];
  /** Whether somebody sees to a rejection that nobody handled. */
  takesRejection: (error: unknown) => boolean = () => false;
  #act: ((signal: StopSignal) => void) | undefined;

  /** Callers pass it on without its object. */
  readonly readFile = (path: string): Promise<string> => {
    const text = this.files.get(path);
    return text === undefined
      ? Promise.reject(new Error(`no such file ${path}`))
      : Promise.resolve(text);
  };

  stdout(text: string): void {
    this.out += text;
  }

  stderr(text: string): void {
    this.err += text;
  }

  isTerminal(): boolean {
    return this.isTty;
  }

  readSecret(prompt: string): Promise<string> {
    this.err += prompt;
    return this.secret === undefined
      ? Promise.reject(new Error("standard input is not a terminal"))
      : Promise.resolve(this.secret);
  }

  onSignal(act: (signal: StopSignal) => void): () => void {
    this.#act = act;
    return () => this.#act = undefined;
  }

  onStrayRejection(take: (error: unknown) => boolean): () => void {
    this.takesRejection = take;
    return () => this.takesRejection = () => false;
  }

  drop(permissions: readonly string[]): void {
    this.dropped.push(...permissions);
  }

  exit(status: number): void {
    this.exits.push(status);
  }

  get listensToSignals(): boolean {
    return this.#act !== undefined;
  }

  signal(signal: StopSignal): void {
    this.#act?.(signal);
  }

  /** The output as JSON, one object a line. */
  // deno-lint-ignore no-explicit-any
  json(): any[] {
    return this.out.trim().split("\n").filter((line) => line !== "").map(
      (line) => JSON.parse(line),
    );
  }
}
