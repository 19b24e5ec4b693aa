import { join } from "node:path";
import { removeIfThere, syncDirectory } from "./file_writes.ts";

const NAME = /^stele-(\d{8}T\d{6}Z)-r(\d+)\.db$/;
const PART = /^stele-\d{8}T\d{6}Z-r\d+\.db\.part$/;

/** A snapshot in the directory. */
export interface DatedSnapshot {
  readonly path: string;
  /** When it was made, in milliseconds since the epoch; whole seconds. */
  readonly timeMs: number;
  readonly revision: number;
}

/**
 * The directory of scheduled snapshots: `stele-20260131T235959Z-r1042.db`, by time (UTC) and revision.
 * Files with other names are not ours, and are never touched.
 */
export class SnapshotDir {
  constructor(readonly path: string) {}

  /** Makes the directory, and removes what a crash left half-written. */
  async open(): Promise<void> {
    await Deno.mkdir(this.path, { recursive: true, mode: 0o700 });
    for await (const { name } of Deno.readDir(this.path)) {
      if (PART.test(name)) await removeIfThere(join(this.path, name));
    }
  }

  /** Where a snapshot made at this time belongs. */
  pathOf(timeMs: number, revision: number): string {
    const time = new Date(timeMs).toISOString()
      .replace(/\.\d+/, "").replace(/[-:]/g, "");
    return join(this.path, `stele-${time}-r${revision}.db`);
  }

  /** Oldest first. */
  async list(): Promise<DatedSnapshot[]> {
    const found: DatedSnapshot[] = [];
    for await (const { name } of Deno.readDir(this.path)) {
      const [, time, revision] = NAME.exec(name) ?? [];
      if (time === undefined) continue;
      found.push({
        path: join(this.path, name),
        timeMs: Date.parse(time.replace(TIME, "$1-$2-$3T$4:$5:$6Z")),
        revision: Number(revision),
      });
    }
    return found.sort((a, b) => a.timeMs - b.timeMs || a.revision - b.revision);
  }

  /** Removes all but the newest `count`. */
  async keepNewest(count: number): Promise<void> {
    const all = await this.list();
    const old = all.slice(0, Math.max(0, all.length - count));
    for (const { path } of old) await removeIfThere(path);
    if (old.length > 0) await syncDirectory(this.path);
  }
}

const TIME = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/;
