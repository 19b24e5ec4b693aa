import http, { type RequestListener, type ServerOptions } from "node:http";
import net, { type AddressInfo, type Socket } from "node:net";

/** Takes over sockets on which a client speaks HTTP/1.1. */
export interface Http1Handover {
  /** `head` is what was read already. */
  take(socket: Socket, head: Uint8Array): void;
  close(): Promise<void>;
}

/**
 * Serves HTTP/1.1 with `node:http` on sockets that somebody else accepted.
 *
 * Where it works (Deno 2.9) the bytes are put back and the socket is handed over. Deno 2.7 takes such a socket
 * and never answers; there the bytes are piped to a server on a loopback port, which accepts nobody but us.
 */
export async function openHttp1Handover(
  listener: RequestListener,
  options: ServerOptions,
): Promise<Http1Handover> {
  const server = http.createServer(options, listener);
  if (canHandOver()) {
    return {
      take(socket, head) {
        socket.unshift(head);
        server.emit("connection", socket);
      },
      close: () => Promise.resolve(),
    };
  }
  return await openPipe(server);
}

function canHandOver(): boolean {
  const [major = 0, minor = 0] = Deno.version.deno.split(".").map(Number);
  return major > 2 || (major === 2 && minor >= 9);
}

async function openPipe(server: http.Server): Promise<Http1Handover> {
  /** Local ports of the connections that we have made ourselves. */
  const ours = new Set<number>();
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    if (!ours.has(socket.remotePort ?? -1)) socket.destroy();
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    take(socket, head) {
      const inner = net.connect(port, "127.0.0.1", () => {
        ours.add(inner.localPort ?? -1);
        inner.write(head);
        socket.pipe(inner).pipe(socket);
      });
      sockets.add(inner);
      const end = () => {
        ours.delete(inner.localPort ?? -1);
        sockets.delete(inner);
        inner.destroy();
        socket.destroy();
      };
      for (const half of [inner, socket]) {
        half.on("error", end);
        half.on("close", end);
      }
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
