/** Where to listen. */
export type ListenAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** As a URL that clients can be given. */
export function addressUrl(address: ListenAddress, isSecure = false): string {
  const s = isSecure ? "s" : "";
  if (address.kind === "unix") return `unix${s}://${address.path}`;
  return `http${s}://${hostPort(address.host, address.port)}`;
}

/** `host:port`, an IPv6 address in brackets. */
export function hostPort(host: string, port: number): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
