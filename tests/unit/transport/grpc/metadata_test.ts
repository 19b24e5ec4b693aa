import assert from "node:assert/strict";
import {
  base64Fault,
  encodeGrpcMessage,
  metadataOf,
  parseTimeoutMs,
} from "../../../../src/transport/grpc/metadata.ts";

for (
  const [text, expected] of [
    ["1H", 3_600_000],
    ["2M", 120_000],
    ["3S", 3000],
    ["4m", 4],
    ["5u", 0.005],
    ["6n", 0.000_006],
    ["0S", 0],
    ["99999999H", 99_999_999 * 3_600_000],
    ["1", 'transport: timeout string is too short: "1"'],
    ["", 'transport: timeout string is too short: ""'],
    ["123456789S", 'transport: timeout string is too long: "123456789S"'],
    ["5X", 'transport: timeout unit is not recognized: "5X"'],
    ["-1S", 'strconv.ParseUint: parsing "-1": invalid syntax'],
    ["1.5S", 'strconv.ParseUint: parsing "1.5": invalid syntax'],
    ["1/S", 'strconv.ParseUint: parsing "1/": invalid syntax'],
    ["1:S", 'strconv.ParseUint: parsing "1:": invalid syntax'],
  ] as const
) {
  Deno.test(`parseTimeoutMs() of ${JSON.stringify(text)}`, () => {
    assert.equal(parseTimeoutMs(text), expected);
  });
}

Deno.test("metadataOf() finds the first value, and nothing else", () => {
  const fields = ["a", "1", "b", "2", "a", "3"];
  assert.equal(metadataOf(fields, "a"), "1");
  assert.equal(metadataOf(fields, "1"), undefined);
});

Deno.test("metadataOf() decodes a -bin value, padded or not, the first of several", () => {
  assert.equal(metadataOf(["x-bin", "AP8="], "x-bin"), "\x00\xff");
  assert.equal(metadataOf(["x-bin", "AP8"], "x-bin"), "\x00\xff");
  assert.equal(metadataOf(["x-bin", "AP8,AA"], "x-bin"), "\x00\xff");
  assert.equal(metadataOf(["x-bin", ""], "x-bin"), "");
});

for (
  const good of ["", "AA", "AA==", "AAA", "AAA=", "AAAA", "AA,AAA", "+/09"]
) {
  Deno.test(`base64Fault() finds none in "${good}"`, () => {
    assert.equal(base64Fault(good), undefined);
  });
}
/** The places are those that Go's encoding/base64 tells. */
for (
  const [bad, at] of [
    ["A", 0],
    ["AAAAA", 4],
    ["A!AA", 1],
    ["A===", 1],
    ["AA=", 2],
    ["AAA=A", 3],
    ["AA=A", 2],
    ["AA==AAAA", 4],
    ["=AAA", 0],
    ["AA-_", 2],
    ["AA,A", 0],
  ] as const
) {
  Deno.test(`base64Fault() finds the one in "${bad}"`, () => {
    assert.equal(
      base64Fault(bad),
      `illegal base64 data at input byte ${at}`,
    );
  });
}

for (
  const [message, encoded] of [
    ["plain text ~", "plain text ~"],
    ["100%", "100%25"],
    ["a\nb", "a%0Ab"],
    ["\x7f", "%7F"],
    ["grüße 😀", "gr%C3%BC%C3%9Fe %F0%9F%98%80"],
    ["\ud800", "%EF%BF%BD"],
    ["", ""],
  ] as const
) {
  Deno.test(`encodeGrpcMessage() of ${JSON.stringify(message)}`, () => {
    assert.equal(encodeGrpcMessage(message), encoded);
  });
}
