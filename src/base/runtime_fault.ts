/** Where Deno reads from sockets for `node:net`. */
const SOCKET_READER = "(ext:deno_node/internal_binding/stream_wrap.ts:";

/**
 * Whether an error that nobody caught is one of the runtime's own, at a socket that was closed while it read: Deno 2.7
 * looks up the descriptor of a socket after each read, which throws if the socket is gone by then. Nothing is lost
 * with it, since nobody waits for that socket any more; a client's timing must not end a server.
 */
export function isRuntimeFault(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const frames = (error.stack ?? "").split("\n")
    .filter((line) => /^\s+at /.test(line));
  return frames.length > 0 &&
    frames.every((frame) => frame.includes(SOCKET_READER));
}
