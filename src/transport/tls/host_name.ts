import { isIP } from "node:net";
import { equalBytes } from "../../base/bytes.ts";
import type { CertificateFields } from "./certificate.ts";

/** Longer texts are no IPv6 address. */
const IPV6_GROUPS = 8;

/**
 * Whether the certificate is one for `host`, a name or an address, by Go's `VerifyHostname`: only the alternative
 * names count, addresses must be equal, and `*` stands for the whole leftmost label.
 */
export function isForHost(
  { dnsNames, ipAddresses }: Pick<
    CertificateFields,
    "dnsNames" | "ipAddresses"
  >,
  host: string,
): boolean {
  const address = addressBytes(host.replace(/^\[(.+)\]$/, "$1"));
  if (address !== undefined) {
    return ipAddresses.some((ip) => equalBytes(fullAddress(ip), address));
  }
  const name = host.toLowerCase().replace(/\.$/, "");
  if (!isHostName(name, false)) {
    // Not a name that DNS knows: it must be there letter by letter, and no `*` matches it.
    return dnsNames.some((pattern) => pattern !== "" && pattern === host);
  }
  return dnsNames.some((pattern) => matches(pattern.toLowerCase(), name));
}

function matches(pattern: string, name: string): boolean {
  if (!isHostName(pattern, true)) return pattern !== "" && pattern === name;
  const wanted = pattern.split(".");
  const labels = name.split(".");
  return wanted.length === labels.length &&
    wanted.every((label, i) =>
      label === labels[i] || (i === 0 && label === "*")
    );
}

/** As Go has it: letters, digits, hyphens within, and underscores, which are no host names but in use. */
function isHostName(name: string, isPattern: boolean): boolean {
  return name !== "" && name !== "*" &&
    name.split(".").every((label, i) =>
      /^[a-z0-9_]([a-z0-9_-]*)$/.test(label) ||
      (isPattern && i === 0 && label === "*")
    );
}

/** Sixteen bytes; undefined if the text is no address. */
function addressBytes(text: string): Uint8Array | undefined {
  switch (isIP(text)) {
    case 4:
      return fullAddress(Uint8Array.from(text.split("."), Number));
    case 6:
      return ipv6Bytes(text);
    default:
      return undefined;
  }
}

/** An IPv4 address as the IPv6 address that stands for it. */
function fullAddress(ip: Uint8Array): Uint8Array {
  if (ip.length !== 4) return ip;
  const full = new Uint8Array(16);
  full.fill(0xff, 10, 12);
  full.set(ip, 12);
  return full;
}

function ipv6Bytes(text: string): Uint8Array | undefined {
  if (text.includes("%")) return undefined; // a zone: no certificate has one
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const plain = dotted === null ? text : dotted[1] +
    [[2, 3], [4, 5]].map(([a, b]) =>
      (Number(dotted[a!]) * 256 + Number(dotted[b!])).toString(16)
    ).join(":");
  const [head = "", tail] = plain.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = Array<string>(IPV6_GROUPS - left.length - right.length).fill(
    "0",
  );
  const bytes = new Uint8Array(2 * IPV6_GROUPS);
  [...left, ...zeros, ...right].forEach((group, i) => {
    const value = Number.parseInt(group, 16);
    bytes[2 * i] = value >> 8;
    bytes[2 * i + 1] = value & 0xff;
  });
  return bytes;
}

/** An address as a certificate carries it: four or sixteen bytes; undefined if the text is none. */
export function certificateAddress(text: string): Uint8Array | undefined {
  const full = addressBytes(text);
  return isIP(text) === 4 ? full?.subarray(12) : full;
}
