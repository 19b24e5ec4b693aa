import type { ErrorParts } from "../thread_messages.ts";
import type { Head } from "../../backend.ts";

/**
 * What the two halves of the driver say to each other. Appends that fit go through the `Mailbox`;
 * all else are these messages, each answered by exactly one `Answer` with its number.
 *
 * Requests hold plain ArrayBuffers, never views: `receiveMessageOnPort` of Deno 2.7 to 2.9 walks through a
 * typed array element by element (8 MiB took 660 ms and 270 MB of heap; as an ArrayBuffer 0.1 ms).
 */
export type Request =
  | {
    readonly request: number;
    readonly op: "append";
    readonly batch: BatchMessage;
  }
  | { readonly request: number; readonly op: "load" }
  | { readonly request: number; readonly op: "loaded"; readonly load: number }
  | {
    readonly request: number;
    readonly op: "cancelLoad";
    readonly load: number;
  }
  | { readonly request: number; readonly op: "head" }
  | { readonly request: number; readonly op: "batchIdAt"; readonly seq: number }
  | {
    readonly request: number;
    readonly op: "batchesAfter";
    readonly seq: number;
    readonly limit: number;
  }
  | {
    readonly request: number;
    readonly op: "valuesOf";
    readonly rows: ArrayBuffer;
  }
  | {
    readonly request: number;
    readonly op: "eventsAfter";
    readonly rev: number;
    readonly maxBytes: number;
  }
  | {
    readonly request: number;
    readonly op: "remove";
    readonly rows: ArrayBuffer;
  }
  | {
    readonly request: number;
    readonly op: "trimBatches";
    readonly belowSeq: number;
  }
  | { readonly request: number; readonly op: "size" }
  | { readonly request: number; readonly op: "defragment" }
  | { readonly request: number; readonly op: "snapshot" }
  | {
    readonly request: number;
    readonly op: "readSnapshot";
    readonly snapshot: number;
    readonly offset: number;
    readonly maxBytes: number;
  }
  | {
    readonly request: number;
    readonly op: "closeSnapshot";
    readonly snapshot: number;
  }
  | { readonly request: number; readonly op: "close" };

export type Op = Request["op"];

/** A batch that is too big for the mailbox's slot. */
export interface BatchMessage {
  readonly seq: number;
  readonly firstRev: number;
  readonly lastRev: number;
  readonly timeMs: number;
  readonly id: ArrayBuffer;
  readonly rows: ArrayBuffer;
  readonly ops: ArrayBuffer;
}

/**
 * From the worker. `rows` and `state` are a part of a load, to be acknowledged with `loaded`; a `notice` is for the
 * log, about work that nobody asked for.
 */
export type Answer =
  | { readonly notice: ErrorParts }
  | { readonly request: number; readonly ok: unknown }
  | { readonly request: number; readonly error: ErrorParts }
  | { readonly request: number; readonly rows: Uint8Array }
  | { readonly request: number; readonly state: Uint8Array };

/** Starts the worker. Answered as request 0, with a `Head`. */
export interface Start {
  readonly shared: SharedArrayBuffer;
  readonly port: MessagePort;
  readonly dir: string;
  readonly options: DatabaseOptions;
}

export interface DatabaseOptions {
  /** `full`: a commit is on the disk when it is answered. `off`: it survives a crash of the process only. */
  readonly synchronous: "full" | "off";
  /** Upper bound of the database file in pages of 4 KiB; 0 for none. */
  readonly maxPageCount: number;
}

export const START_REQUEST = 0;

export interface BatchAnswer {
  readonly seq: number;
  readonly id: Uint8Array;
  readonly firstRev: number;
  readonly lastRev: number;
  readonly timeMs: number;
  readonly rows: Uint8Array;
  readonly ops: Uint8Array;
}

export interface SnapshotAnswer {
  readonly snapshot: number;
  readonly sizeBytes: number;
}

export type OpenAnswer = Head;
