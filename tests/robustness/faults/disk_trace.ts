import { Buffer } from "node:buffer";
import type { Random } from "../../support/random.ts";

/** What a process did to a file, in the order it did it. */
export type DiskEvent =
  & { readonly timeMs: number; readonly path: string }
  & (
    | {
      readonly kind: "write";
      readonly at: number;
      readonly bytes: Uint8Array;
    }
    | { readonly kind: "truncate"; readonly size: number }
    | { readonly kind: "sync" }
    | { readonly kind: "remove" }
    | { readonly kind: "rename"; readonly to: string }
  );

/** What `strace` needs to be told for `parseTrace`. */
export const STRACE_FLAGS: readonly string[] = [
  "-f", // threads too
  "-ttt", // seconds since the epoch
  "-y", // paths beside descriptors
  "-xx", // every byte as \x00
  "-s",
  "100000",
  "-e",
  "trace=pwrite64,write,fsync,fdatasync,ftruncate,unlink,rename,renameat,renameat2",
];

/** A disk writes sectors whole, and nothing larger. */
const SECTOR_BYTES = 512;

const LINE = /^(\d+) +(\d+\.\d+) (.*)$/;
const ON_DESCRIPTOR = /^(\w+)\(\d+<([^>]*)>(.*)$/;
const RESUMED = /^<\.\.\. (fsync|fdatasync) resumed>/;
const UNLINK = /^unlink\("([^"]*)"/;
const RENAME =
  /^rename(?:at2?)?\((?:AT_FDCWD[^,]*, )?"([^"]*)", (?:AT_FDCWD[^,]*, )?"([^"]*)"/;
const PWRITE = /^, "([^"]*)", (\d+), (\d+)/;
const WRITE = /^, "([^"]*)", \d+/;

/** Reads what `strace` wrote. Files of other names than `names` are left out. */
export function parseTrace(trace: string, names: RegExp): DiskEvent[] {
  const events: DiskEvent[] = [];
  /** Syncs under way, by thread: one counts when it is over. */
  const syncing = new Map<string, string>();
  for (const line of trace.split("\n")) {
    const [, thread = "", seconds, call = ""] = LINE.exec(line) ?? [];
    const timeMs = Number(seconds) * 1000;
    const unlinked = UNLINK.exec(call)?.[1];
    if (unlinked !== undefined) {
      const path = unhex(unlinked).toString();
      if (names.test(path)) events.push({ kind: "remove", timeMs, path });
      continue;
    }
    const renamed = RENAME.exec(call);
    if (renamed !== null) {
      const path = unhex(renamed[1]!).toString();
      const to = unhex(renamed[2]!).toString();
      if (names.test(path)) events.push({ kind: "rename", timeMs, path, to });
      continue;
    }
    if (RESUMED.test(call)) {
      const path = syncing.get(thread);
      if (path !== undefined) events.push({ kind: "sync", timeMs, path });
      syncing.delete(thread);
      continue;
    }
    const [, name, hexPath = "", rest = ""] = ON_DESCRIPTOR.exec(call) ?? [];
    const path = hexPath.startsWith("\\x")
      ? unhex(hexPath).toString()
      : hexPath;
    if (name === undefined || !names.test(path)) continue;
    if (name === "pwrite64") {
      const [, hex = "", , at] = PWRITE.exec(rest)!;
      events.push({
        kind: "write",
        timeMs,
        path,
        at: Number(at),
        bytes: unhex(hex),
      });
    } else if (name === "write") {
      // Only the mark is written so, each time from its beginning.
      const [, hex = ""] = WRITE.exec(rest)!;
      const bytes = unhex(hex);
      events.push({ kind: "write", timeMs, path, at: 0, bytes });
    } else if (name === "ftruncate") {
      const size = Number(/^, (\d+)/.exec(rest)![1]);
      events.push({ kind: "truncate", timeMs, path, size });
    } else if (rest.includes("unfinished")) syncing.set(thread, path);
    else events.push({ kind: "sync", timeMs, path });
  }
  return events;
}

function unhex(text: string): Buffer {
  return Buffer.from(text.replaceAll("\\x", ""), "hex");
}

/**
 * What can be on the disk when the power fails at `timeMs`: of each file all that was synced, and of what was
 * written since any sectors, or none. Directory entries count as synced, as SQLite and ext4 see to it.
 */
export function afterPowerLoss(
  events: readonly DiskEvent[],
  timeMs: number,
  random: Random,
): Map<string, Uint8Array> {
  const files = new Map<string, { image: Image; pending: DiskEvent[] }>();
  for (const event of events) {
    if (event.timeMs > timeMs) break;
    const { path } = event;
    if (event.kind === "remove") {
      files.delete(path);
      continue;
    }
    if (event.kind === "rename") {
      const moved = files.get(path);
      if (moved !== undefined) files.set(event.to, moved);
      files.delete(path);
      continue;
    }
    if (!files.has(path)) files.set(path, { image: new Image(), pending: [] });
    const file = files.get(path)!;
    if (event.kind !== "sync") file.pending.push(event);
    else {
      for (const write of file.pending) file.image.apply(write);
      file.pending = [];
    }
  }
  const disk = new Map<string, Uint8Array>();
  for (const [path, { image, pending }] of files) {
    const keeps = random.pick(["nothing", "all", "some", "sectors"]);
    for (const event of pending) {
      if (keeps === "nothing" || (keeps === "some" && random.oneIn(2))) {
        continue;
      }
      if (keeps !== "sectors" || event.kind !== "write") image.apply(event);
      else {
        for (const part of sectors(event)) {
          if (random.oneIn(2)) image.apply(part);
        }
      }
    }
    disk.set(path, image.bytes);
  }
  return disk;
}

/** The bytes of a file. */
class Image {
  #buffer = new Uint8Array(1 << 20);
  #size = 0;

  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#size);
  }

  apply(event: DiskEvent): void {
    if (event.kind === "truncate") this.#resize(event.size);
    if (event.kind !== "write") return;
    this.#resize(Math.max(this.#size, event.at + event.bytes.length));
    this.#buffer.set(event.bytes, event.at);
  }

  #resize(size: number): void {
    if (size > this.#buffer.length) {
      const larger = new Uint8Array(2 * size);
      larger.set(this.bytes);
      this.#buffer = larger;
    }
    if (size < this.#size) this.#buffer.fill(0, size, this.#size);
    this.#size = size;
  }
}

/** A write as the sectors that it consists of. */
function sectors(event: DiskEvent & { kind: "write" }): DiskEvent[] {
  const parts: DiskEvent[] = [];
  for (let from = 0; from < event.bytes.length;) {
    const at = event.at + from;
    const length = SECTOR_BYTES - at % SECTOR_BYTES;
    const bytes = event.bytes.subarray(from, from + length);
    parts.push({ ...event, at, bytes });
    from += length;
  }
  return parts;
}
