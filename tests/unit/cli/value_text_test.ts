import assert from "node:assert/strict";
import { utf8 } from "../../../src/base/bytes.ts";
import {
  jsonBytes,
  shortened,
  shownBytes,
} from "../../../src/cli/value_text.ts";

Deno.test("shownBytes() keeps text in one line and away from the terminal's controls", () => {
  assert.equal(shownBytes(utf8("grün ✓")), "grün ✓");
  assert.equal(shownBytes(utf8("a\nb\tc\r")), "a\\nb\\tc\\r");
  assert.equal(shownBytes(utf8("\x1b[31mred\x07")), "\\x1b[31mred\\x07");
  assert.equal(shownBytes(utf8("\u009b1m\u2028")), "\\x9b1m\\u2028");
  assert.equal(shownBytes(utf8("a\\n")), "a\\\\n");
});

Deno.test("shownBytes() shows bytes that are no text, each of them, to a bound", () => {
  assert.equal(
    shownBytes(new Uint8Array([0x6b, 0x38, 0x73, 0x00, 0xff, 0xe9, 0x5c])),
    "k8s\\x00\\xff\\xe9\\\\",
  );
  const long = new Uint8Array(1025).fill(0xff);
  assert.equal(shownBytes(long.subarray(0, 1024)), "\\xff".repeat(1024));
  assert.equal(shownBytes(long), "\\xff".repeat(1024) + "…");
});

Deno.test("shownBytes() has other forms", () => {
  const bytes = new Uint8Array([1, 0xab]);
  assert.equal(shownBytes(bytes, "hex"), "01ab");
  assert.equal(shownBytes(bytes, "base64"), "Aas=");
  assert.equal(shownBytes(bytes, "none"), "");
});

Deno.test("shortened() says that there was more", () => {
  assert.equal(shortened("abcd", 4), "abcd");
  assert.equal(shortened("abcde", 4), "abc…");
  assert.equal(shortened("abcde", 0), "abcde");
  assert.equal(shortened("🙂🙂🙂", 3), "🙂🙂🙂");
  assert.equal(shortened("🙂🙂🙂🙂", 3), "🙂🙂…");
});

Deno.test("jsonBytes() is exact: what is no text goes by another name", () => {
  assert.deepEqual(jsonBytes("value", utf8("a\n")), { value: "a\n" });
  assert.deepEqual(jsonBytes("value", new Uint8Array([0xff])), {
    valueBase64: "/w==",
  });
  assert.deepEqual(jsonBytes("value", utf8("a"), "base64"), { value: "YQ==" });
  assert.deepEqual(jsonBytes("value", utf8("a"), "hex"), { value: "61" });
  assert.deepEqual(jsonBytes("value", utf8("a"), "none"), {});
});
