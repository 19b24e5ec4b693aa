import assert from "node:assert/strict";
import {
  checkStrings,
  textOfJson,
} from "../../../../src/http/gateway/json_strings.ts";
import { utf8 } from "../../../../src/base/bytes.ts";

const latin1 = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));

function check(text: string): void {
  checkStrings(text, 0, text.length);
}

Deno.test("textOfJson() keeps what is UTF-8, a byte order mark included", () => {
  for (const text of ["", "{}", "\ufeff{}", '"é\u{1f600}\ufffd"']) {
    assert.equal(textOfJson(utf8(text)), text);
  }
});

Deno.test("textOfJson() tells bytes that are not UTF-8 apart from all others", () => {
  for (
    const [bytes, text] of [
      ["\xff", "\udcff"],
      ["a\x80b", "a\udc80b"],
      ["\xc3\xa9\xc3", "é\udcc3"],
      ["\xc0\x80", "\udcc0\udc80"], // longer than it may be
      ["\xed\xa0\x80", "\udced\udca0\udc80"], // a surrogate
      ["\xf0\x9f\x98\x80\xf0\x9f", "\u{1f600}\udcf0\udc9f"],
      ["\xf5\x80\x80\x80", "\udcf5\udc80\udc80\udc80"],
    ] as const
  ) assert.equal(textOfJson(latin1(bytes)), text);
});

Deno.test("checkStrings() takes every character, and escaped ones in pairs", () => {
  check('{"é\u{1f600}":"\ufffd","a":["\\ud83d\\ude00","\\\\ud800","\\ufffd"]}');
});

/** The messages are etcd 3.7.1's. */
for (
  const [json, message] of [
    ['{"key":"\xff"}', "(line 1:8): invalid UTF-8 in string"],
    ['{"x":"\xff","key":"YQ=="}', "(line 1:6): invalid UTF-8 in string"],
    ['{"\xff":1,"key":"YQ=="}', "(line 1:2): invalid UTF-8 in string"],
    ['{"a":"b",\n "c":"\xff"}', "(line 2:6): invalid UTF-8 in string"],
  ] as const
) {
  Deno.test(`checkStrings() refuses ${JSON.stringify(json)} in latin1`, () => {
    assert.throws(() => check(textOfJson(latin1(json))), {
      message: `proto: syntax error ${message}`,
    });
  });
}
