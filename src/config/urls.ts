import { isIpAddress } from "../base/ip_address.ts";
import { ConfigError } from "./config_error.ts";

/** Where a URL of the configuration points. */
export type UrlTarget =
  | {
    readonly kind: "tcp";
    readonly isSecure: boolean;
    /** Without the brackets of an IPv6 address. */
    readonly host: string;
    readonly port: number;
  }
  | {
    readonly kind: "unix";
    readonly isSecure: boolean;
    readonly path: string;
  };

const MAX_PORT = 65_535;

const TCP = /^(https?):\/\/(\[[^\]]*\]|[^\/:?#@\[\]]*):(\d{1,5})$/;

/** Reads `http://host:port`, `https://…`, `unix:///path` or `unixs://…`; throws `ConfigError` for all else. */
export function parseUrl(url: string): UrlTarget {
  const unix = /^unix(s?):(?:\/\/)?([^/].*|\/[^/].*)$/.exec(url);
  if (unix !== null) {
    return { kind: "unix", isSecure: unix[1] === "s", path: unix[2]! };
  }
  const tcp = TCP.exec(url);
  if (tcp === null) throw new ConfigError(complaint(url));
  const port = Number(tcp[3]);
  if (port > MAX_PORT) {
    throw new ConfigError(
      `Cannot use URL "${url}": no port beyond ${MAX_PORT}`,
    );
  }
  const host = tcp[2]!.replace(/^\[(.*)\]$/, "$1");
  return { kind: "tcp", isSecure: tcp[1] === "https", host, port };
}

/** A list of URLs divided by commas: checked, each once, sorted; as etcd. */
export function parseUrls(text: string): readonly string[] {
  if (text === "") return [];
  const urls = text.split(",").map((url) => url.trim());
  for (const url of urls) parseUrl(url);
  return [...new Set(urls)].sort();
}

/** Throws unless the URL can be bound: a name other than localhost might be anyone's address. */
export function checkBindUrl(url: string): void {
  const target = parseUrl(url);
  if (target.kind === "unix" || target.host === "localhost") return;
  if (!isIpAddress(target.host)) {
    throw new ConfigError(
      `Cannot listen on "${url}": its host must be an IP address or localhost`,
    );
  }
}

/** Throws unless others can be told the URL: it must name a host. */
export function checkAdvertisedUrl(url: string): void {
  const target = parseUrl(url);
  if (target.kind === "tcp" && target.host === "") {
    throw new ConfigError(`Cannot advertise "${url}": it names no host`);
  }
}

function complaint(url: string): string {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1];
  if (scheme === undefined || !/^(https?|unixs?)$/.test(scheme)) {
    return `Cannot use URL "${url}": its scheme must be http, https, unix or unixs`;
  }
  if (/^https?:\/\/[^\/]+\//.test(url)) {
    return `Cannot use URL "${url}": it must not have a path`;
  }
  return `Cannot use URL "${url}": it must have the form ${scheme}://host:port`;
}
