const OCTET = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const V4 = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);
/** What may be in one, with the zone of an interface behind it. */
const V6_LIKE = /^([\da-f:.]+)(?:%[\da-z.:-]+)?$/i;

/**
 * Whether a text is an address of IPv4 or IPv6, without brackets. As `isIP` of `node:net`, which Deno 2.9 takes 25 ms
 * to load.
 */
export function isIpAddress(text: string): boolean {
  if (V4.test(text)) return true;
  const address = V6_LIKE.exec(text)?.[1];
  return address !== undefined && address.includes(":") &&
    URL.canParse(`http://[${address}]`);
}
