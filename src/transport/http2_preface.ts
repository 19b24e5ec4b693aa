/** What every HTTP/2 client sends first, RFC 9113 §3.4. */
const PREFACE = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** Whether a connection begins with HTTP/2's preface; undefined while too little of it has come to tell. */
export function looksLikeHttp2(head: Uint8Array): boolean | undefined {
  const n = Math.min(head.length, PREFACE.length);
  for (let i = 0; i < n; i++) if (head[i] !== PREFACE[i]) return false;
  return n === PREFACE.length ? true : undefined;
}

const SPACE = 0x20;
/** The longest method there is has 17 letters. */
const MAX_METHOD_BYTES = 32;
/** What a request's target begins with: a path, `*`, or `http`. */
const TARGET_STARTS = "/*hH";

/**
 * Whether a connection may be one of HTTP/1.1: false if what follows the first blank cannot be a request's target.
 * Such a client is not answered in a protocol that it does not speak.
 */
export function mayBeHttp1(head: Uint8Array): boolean {
  const blank = head.indexOf(SPACE);
  if (blank < 0) return head.length <= MAX_METHOD_BYTES;
  if (blank === 0 || blank > MAX_METHOD_BYTES) return false;
  const first = head[blank + 1];
  return first === undefined ||
    TARGET_STARTS.includes(String.fromCharCode(first));
}
