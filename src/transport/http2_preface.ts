/** What every HTTP/2 client sends first, RFC 9113 §3.4. */
const PREFACE = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** Whether a connection begins with HTTP/2's preface; undefined while too little of it has come to tell. */
export function looksLikeHttp2(head: Uint8Array): boolean | undefined {
  const n = Math.min(head.length, PREFACE.length);
  for (let i = 0; i < n; i++) if (head[i] !== PREFACE[i]) return false;
  return n === PREFACE.length ? true : undefined;
}
