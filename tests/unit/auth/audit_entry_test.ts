import { deepEqual, equal, ok } from "node:assert/strict";
import {
  type AuditEntry,
  auditLine,
  MAX_AUDIT_KEY_BYTES,
  MAX_AUDIT_RANGES,
  MAX_AUDIT_TEXT_LENGTH,
} from "../../../src/auth/audit_entry.ts";
import { EMPTY, utf8 } from "../../../src/base/bytes.ts";

const ENTRY: AuditEntry = {
  user: "alice",
  peer: "10.0.0.7:51234",
  method: "/etcdserverpb.KV/DeleteRange",
  outcome: "OK",
};

function fieldsOf(entry: AuditEntry): Record<string, unknown> {
  return JSON.parse(auditLine(entry, 0));
}

/** How one key is written. */
function shown(key: Uint8Array): unknown {
  const [range] = fieldsOf({ ...ENTRY, ranges: [{ key }] })["ranges"] as [
    unknown,
  ];
  return range;
}

Deno.test("auditLine() is one line of JSON", () => {
  equal(
    auditLine({
      ...ENTRY,
      ranges: [{ key: utf8("a"), rangeEnd: utf8("b") }],
      revision: 17,
    }, Date.UTC(2026, 0, 2, 3, 4, 5, 678)),
    '{"time":"2026-01-02T03:04:05.678Z","user":"alice","peer":"10.0.0.7:51234",' +
      '"method":"/etcdserverpb.KV/DeleteRange","ranges":[{"key":"a","rangeEnd":"b"}],' +
      '"outcome":"OK","revision":17}\n',
  );
});

Deno.test("auditLine() leaves out what there is not", () => {
  deepEqual(Object.keys(fieldsOf(ENTRY)), [
    "time",
    "user",
    "peer",
    "method",
    "outcome",
  ]);
  deepEqual(
    Object.keys(fieldsOf({ ...ENTRY, isCertificate: false, ranges: [] })),
    ["time", "user", "peer", "method", "outcome"],
  );
  equal(fieldsOf({ ...ENTRY, isCertificate: true })["certificate"], true);
  deepEqual(shown(EMPTY), { key: "" });
  const [range] = fieldsOf({
    ...ENTRY,
    ranges: [{ key: utf8("a"), rangeEnd: EMPTY }],
  })["ranges"] as [unknown];
  deepEqual(range, { key: "a" });
});

Deno.test("auditLine() writes printable UTF-8 as text and the rest as base64", () => {
  for (
    const text of ["/registry/pods/default/a", "größe 🔑", 'quo"ted\\', "a b"]
  ) {
    deepEqual(shown(utf8(text)), { key: text });
  }
  for (
    const bytes of [[0], [0xff], [0xc3], [0x61, 0x0a], [0x7f], [
      0xed,
      0xa0,
      0x80,
    ]]
  ) {
    const key = Uint8Array.from(bytes);
    deepEqual(shown(key), { keyBase64: key.toBase64() });
  }
  for (const text of ["\u2028", "\u202e", "\ufeffa", "\u0085", "\ue000"]) {
    deepEqual(shown(utf8(text)), { keyBase64: utf8(text).toBase64() });
  }
});

Deno.test("auditLine() cuts long keys between characters, and says how long they were", () => {
  const longest = "k".repeat(MAX_AUDIT_KEY_BYTES);
  deepEqual(shown(utf8(longest)), { key: longest });
  deepEqual(shown(utf8(longest + "k")), {
    key: longest,
    keyBytes: MAX_AUDIT_KEY_BYTES + 1,
  });
  for (const lead of ["", "k", "kk", "kkk"]) {
    const key = utf8(lead + "🔑".repeat(MAX_AUDIT_KEY_BYTES));
    const { key: text, keyBytes } = shown(key) as {
      key: string;
      keyBytes: number;
    };
    ok(text.endsWith("🔑"));
    ok(utf8(text).length > MAX_AUDIT_KEY_BYTES - 4);
    ok(utf8(text).length <= MAX_AUDIT_KEY_BYTES);
    equal(keyBytes, key.length);
  }
  const binary = new Uint8Array(MAX_AUDIT_KEY_BYTES + 10).fill(0x80);
  const { keyBase64 } = shown(binary) as { keyBase64: string };
  ok(Uint8Array.fromBase64(keyBase64).length >= MAX_AUDIT_KEY_BYTES - 3);
});

Deno.test("auditLine() is short however much was asked for", () => {
  const range = { key: utf8("k"), rangeEnd: utf8("l") };
  const ranges = Array(MAX_AUDIT_RANGES).fill(range);
  equal(fieldsOf({ ...ENTRY, ranges })["rangeCount"], undefined);
  const fields = fieldsOf({ ...ENTRY, ranges: [...ranges, range] });
  equal((fields["ranges"] as unknown[]).length, MAX_AUDIT_RANGES);
  equal(fields["rangeCount"], MAX_AUDIT_RANGES + 1);
  const user = "u".repeat(MAX_AUDIT_TEXT_LENGTH);
  equal(fieldsOf({ ...ENTRY, user })["user"], user);
  equal(fieldsOf({ ...ENTRY, user: user + "u" })["user"], `${user}…`);
});

Deno.test("auditLine() keeps one entry on one line, whatever the user is called", () => {
  const line = auditLine({ ...ENTRY, user: 'mallory"}\n{"user":"root' }, 0);
  equal(line.indexOf("\n"), line.length - 1);
});
