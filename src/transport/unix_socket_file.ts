import net from "node:net";

/** Removes the file of a Unix socket that nobody listens on: it is left from a server that died. */
export async function removeDeadSocket(path: string): Promise<void> {
  let info: Deno.FileInfo;
  try {
    info = await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw new Error(`Cannot listen on unix://${path}: ${error}`);
  }
  if (!info.isSocket) {
    throw new Error(
      `Cannot listen on unix://${path}: the file there is not a socket`,
    );
  }
  if (await isListenedOn(path)) {
    throw new Error(
      `Cannot listen on unix://${path}: another process listens there`,
    );
  }
  await Deno.remove(path);
}

/** Only a refused connection proves that there is nobody; a full backlog or missing rights do not. */
async function isListenedOn(path: string): Promise<boolean> {
  return await new Promise<boolean>((resolve) => {
    const probe = net.connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.on(
      "error",
      (error: { code?: string }) => resolve(error.code !== "ECONNREFUSED"),
    );
  });
}
