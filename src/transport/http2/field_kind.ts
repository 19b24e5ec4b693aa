/**
 * What a header field means to HTTP/2 (RFC 9113 §8.2, §8.3). Found once per HPACK table entry, so that a request
 * whose fields are all in the table is checked without looking at a character.
 */
export const FieldKind = {
  Regular: 0,
  Method: 1,
  Scheme: 2,
  Path: 3,
  Authority: 4,
  ContentLength: 5,
  Host: 6,
  /** Makes the request malformed wherever it stands. */
  Malformed: 7,
} as const;

const MALFORMED: readonly string[] = [
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
];

export function classifyField(name: string, value: string): number {
  if (!isValue(value)) return FieldKind.Malformed;
  switch (name) {
    case ":method":
      return FieldKind.Method;
    case ":scheme":
      return FieldKind.Scheme;
    case ":path":
      return FieldKind.Path;
    case ":authority":
      return FieldKind.Authority;
    case "content-length":
      return isDigits(value) ? FieldKind.ContentLength : FieldKind.Malformed;
    case "host":
      return FieldKind.Host;
    case "te":
      return value === "trailers" ? FieldKind.Regular : FieldKind.Malformed;
  }
  if (!isName(name) || MALFORMED.includes(name)) return FieldKind.Malformed;
  return FieldKind.Regular;
}

/** §8.2.1: visible ASCII without upper case and colon. The known pseudo-headers have been sorted out before. */
function isName(name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    const c = name.charCodeAt(i);
    if (c <= 0x20 || c >= 0x7f || c === 0x3a || (c >= 0x41 && c <= 0x5a)) {
      return false;
    }
  }
  return name.length > 0;
}

/**
 * §8.2.1: no NUL, LF, CR. Nor may it start or end with a space or a tab; but Go takes that, clients without a token send
 * `Bearer `, and the handler's answer tells them more than a reset. Nothing here passes fields on to others.
 */
function isValue(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const c = value.charCodeAt(i);
    if (c === 0 || c === 0x0a || c === 0x0d) return false;
  }
  return true;
}

/** Fifteen digits are below 2^53. */
function isDigits(value: string): boolean {
  return /^[0-9]{1,15}$/.test(value);
}
