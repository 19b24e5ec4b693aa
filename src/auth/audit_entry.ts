/** Keys that a request named: `[key, rangeEnd)`, or the one key without an end. */
export interface AuditRange {
  readonly key: Uint8Array;
  readonly rangeEnd?: Uint8Array;
}

/** What is written down of one request: never values, passwords, tokens or hashes. */
export interface AuditEntry {
  /** Empty: nobody logged in. For Authenticate the name that was tried. */
  readonly user: string;
  /** Whether the name comes from a client certificate. Default false. */
  readonly isCertificate?: boolean;
  /** The client's address: `127.0.0.1:51234`. */
  readonly peer: string;
  /** gRPC path: `/etcdserverpb.KV/Put`. */
  readonly method: string;
  /** The keys that were asked for, in the request's order. */
  readonly ranges?: readonly AuditRange[];
  /** Name of the gRPC status: `OK`, `PermissionDenied`. */
  readonly outcome: string;
  /** The revision that a write made. */
  readonly revision?: number;
}

/**
 * Ranges of one request that are written down: twice the operations that a transaction may have by default, so
 * that nothing hides behind the bound, and a bigger one does not fill the disk.
 */
export const MAX_AUDIT_RANGES = 256;

/** Bytes of one key that are written down: enough to tell what it is of. */
export const MAX_AUDIT_KEY_BYTES = 1024;

/** Of a user's name and the other texts: whoever logs in can send any. */
export const MAX_AUDIT_TEXT_LENGTH = 256;

/** Everything but controls, unassigned and private characters, and breaks of lines. */
const PRINTABLE = /^[^\p{C}\p{Zl}\p{Zp}]*$/u;

const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * One line of JSON, newline included. Of what is too long the beginning is written, and beside it how long it
 * was.
 *
 *     {"time":"2026-01-02T03:04:05.678Z","user":"alice","peer":"10.0.0.7:51234",
 *      "method":"/etcdserverpb.KV/DeleteRange","ranges":[{"key":"a","rangeEnd":"b"}],"outcome":"OK","revision":17}
 */
export function auditLine(entry: AuditEntry, wallMs: number): string {
  const { ranges = [], revision } = entry;
  return JSON.stringify({
    time: new Date(wallMs).toISOString(),
    user: cut(entry.user),
    certificate: entry.isCertificate === true ? true : undefined,
    peer: cut(entry.peer),
    method: cut(entry.method),
    ranges: ranges.length === 0
      ? undefined
      : ranges.slice(0, MAX_AUDIT_RANGES).map(rangeFields),
    rangeCount: ranges.length > MAX_AUDIT_RANGES ? ranges.length : undefined,
    outcome: entry.outcome,
    revision,
  }) + "\n";
}

function rangeFields(
  { key, rangeEnd }: AuditRange,
): Record<string, string | number> {
  if (rangeEnd === undefined || rangeEnd.length === 0) {
    return keyFields("key", key);
  }
  return { ...keyFields("key", key), ...keyFields("rangeEnd", rangeEnd) };
}

/** `key` for text, else `keyBase64`; `keyBytes` if it was cut. */
function keyFields(
  name: string,
  key: Uint8Array,
): Record<string, string | number> {
  const shown = key.subarray(0, cutAt(key));
  const text = printable(shown);
  const fields: Record<string, string | number> = text === undefined
    ? { [`${name}Base64`]: shown.toBase64() }
    : { [name]: text };
  if (shown.length < key.length) fields[`${name}Bytes`] = key.length;
  return fields;
}

/** Where a long key is cut: not within a character, should it be text. */
function cutAt(key: Uint8Array): number {
  if (key.length <= MAX_AUDIT_KEY_BYTES) return key.length;
  let at = MAX_AUDIT_KEY_BYTES;
  while (at > MAX_AUDIT_KEY_BYTES - 3 && (key[at]! & 0xc0) === 0x80) at--;
  return at;
}

function printable(key: Uint8Array): string | undefined {
  try {
    const text = DECODER.decode(key);
    return PRINTABLE.test(text) ? text : undefined;
  } catch {
    return undefined; // Not UTF-8.
  }
}

function cut(text: string): string {
  return text.length <= MAX_AUDIT_TEXT_LENGTH
    ? text
    : `${text.slice(0, MAX_AUDIT_TEXT_LENGTH)}…`;
}
