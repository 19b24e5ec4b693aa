/** A file system of a few MiB in memory, to be filled to the last byte. Linux, as root. */
export class SmallDisk implements AsyncDisposable {
  private constructor(readonly path: string) {}

  /** Whether anything may be mounted here; prints that tests are skipped if not. */
  static async isPossible(): Promise<boolean> {
    try {
      await (await SmallDisk.mount(1))[Symbol.asyncDispose]();
      return true;
    } catch {
      console.log("skipped: tests with a small disk need root, to mount one");
      return false;
    }
  }

  static async mount(mebibytes: number): Promise<SmallDisk> {
    const path = await Deno.makeTempDir({ prefix: "stele-disk-" });
    const size = `size=${mebibytes}m`;
    if (await succeeds("mount", ["-t", "tmpfs", "-o", size, "none", path])) {
      return new SmallDisk(path);
    }
    await Deno.remove(path);
    throw new Error("nothing can be mounted here");
  }

  /** Takes all space there is. */
  async fill(): Promise<void> {
    using file = await Deno.open(`${this.path}/filler`, {
      create: true,
      append: true,
    });
    for (let bytes = 1 << 20; bytes >= 4096;) {
      try {
        await file.write(new Uint8Array(bytes));
      } catch {
        bytes /= 2; // there is no room for so much
      }
    }
  }

  async makeRoom(): Promise<void> {
    await Deno.remove(`${this.path}/filler`);
  }

  /** From now on nothing can be written; no file may be open for writing. */
  async makeReadOnly(): Promise<void> {
    if (!await succeeds("mount", ["-o", "remount,ro", this.path])) {
      throw new Error("the disk cannot be made read-only");
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await succeeds("umount", [this.path]);
    await Deno.remove(this.path, { recursive: true });
  }
}

async function succeeds(
  command: string,
  args: readonly string[],
): Promise<boolean> {
  try {
    const { success } = await new Deno.Command(command, {
      args: [...args],
      stdout: "null",
      stderr: "null",
    }).output();
    return success;
  } catch {
    return false; // there is no such program here
  }
}
