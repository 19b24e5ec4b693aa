/** What connects to one server. */
export interface Endpoint {
  /** As the user wrote it; what messages name. */
  readonly name: string;
  /** For grpc-js: `host:port` or `unix:/path`. */
  readonly target: string;
  /** What a server's certificate must be for: a name, or an address without brackets. */
  readonly hostname: string;
  readonly isSecure: boolean;
}

/** etcd's client port, for an endpoint without one. */
const DEFAULT_PORT = 2379;

const TCP =
  /^(?:(https?):\/\/)?(\[[0-9a-fA-F:.]+\]|[^\s/:?#@[\]]+)(?::(\d{1,5}))?\/?$/;
const UNIX = /^unix(s?):(?:\/\/)?(\/?[^/].*)$/;

/**
 * Reads `http://host:port`, `https://…`, `host:port` or `unix:///path`, as etcdctl takes them.
 * Without a scheme it is plain text unless `isSecure`. Undefined if it is none of these.
 */
export function parseEndpoint(
  name: string,
  isSecure = false,
): Endpoint | undefined {
  const unix = UNIX.exec(name);
  if (unix !== null) {
    return {
      name,
      target: `unix:${unix[2]!}`,
      hostname: "localhost",
      isSecure: unix[1] === "s",
    };
  }
  const tcp = TCP.exec(name);
  if (tcp === null) return undefined;
  const [, scheme, host, port = String(DEFAULT_PORT)] = tcp;
  if (Number(port) > 65_535) return undefined;
  return {
    name,
    target: `${host}:${port}`,
    hostname: host!.replace(/^\[(.*)\]$/, "$1"),
    isSecure: scheme === undefined ? isSecure : scheme === "https",
  };
}
