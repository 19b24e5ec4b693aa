import { TcpForwarder } from "./tcp_forwarder.ts";

/**
 * A forwarder that gives each connection to the next of `addresses` (host:port), and to the one behind it where
 * nobody listens.
 */
export function startRoundRobin(
  addresses: () => readonly string[],
  port = 0,
): Promise<TcpForwarder> {
  let turn = 0;
  return TcpForwarder.start(() => {
    const all = addresses();
    const first = turn++ % Math.max(1, all.length);
    return [...all.slice(first), ...all.slice(0, first)];
  }, port);
}
