/** A name beside `path` for what is not complete yet; nothing reads it, and a crash may leave it. */
export function partPath(path: string): string {
  return `${path}.part`;
}

/** Writes all of `bytes`. */
export async function writeAll(
  file: Deno.FsFile,
  bytes: Uint8Array,
): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    at += await file.write(bytes.subarray(at));
  }
}

/** Makes what was created, renamed or removed in a directory survive a crash of the machine. */
export async function syncDirectory(path: string): Promise<void> {
  // Windows opens no directories, and needs none of this.
  if (Deno.build.os === "windows") return;
  using directory = await Deno.open(path, { read: true });
  await directory.sync();
}

/** Removes a file or a directory with all that is in it; fine if there is none. */
export async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
