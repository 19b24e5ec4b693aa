/** Where to listen. */
export type ListenAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** As a URL that clients can be given. */
export function addressUrl(address: ListenAddress): string {
  if (address.kind === "unix") return `unix://${address.path}`;
  const { host, port } = address;
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
