/** Where a replica is reached. */
export interface PeerAddress {
  readonly isSecure: boolean;
  /** `:authority` of the calls. */
  readonly authority: string;
  readonly place:
    | { readonly kind: "tcp"; readonly host: string; readonly port: number }
    | { readonly kind: "unix"; readonly path: string };
}

/** Reads an address that a replica advertises; throws an Error that says what is wrong with it. */
export function peerAddress(url: string | undefined): PeerAddress {
  if (url === undefined) throw new Error("it advertises no address");
  if (!URL.canParse(url)) {
    throw new Error(`it advertises what is no address: ${JSON.stringify(url)}`);
  }
  const { protocol, hostname, port, host, pathname } = new URL(url);
  switch (protocol) {
    case "unix:":
    case "unixs:":
      return {
        isSecure: protocol === "unixs:",
        authority: "localhost",
        place: { kind: "unix", path: host + pathname },
      };
    case "http:":
    case "https:": {
      const isSecure = protocol === "https:";
      return {
        isSecure,
        authority: host,
        place: {
          kind: "tcp",
          host: hostname.replace(/^\[(.*)\]$/, "$1"),
          port: port === "" ? (isSecure ? 443 : 80) : Number(port),
        },
      };
    }
    default:
      throw new Error(`it advertises an address of another kind: ${url}`);
  }
}
