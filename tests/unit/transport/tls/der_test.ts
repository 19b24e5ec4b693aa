import assert from "node:assert/strict";
import {
  der,
  DerError,
  derObjectId,
  DerReader,
  derTime,
  derUnsigned,
  hexText,
  readDerTime,
  Tag,
} from "../../../../src/transport/tls/der.ts";

const BAD: readonly (readonly [string, readonly number[], RegExp])[] = [
  ["a tag without a length", [0x30], /cut short/],
  ["a length that is not all there", [0x30, 0x82, 0x01], /cut short/],
  ["a value that is not all there", [0x30, 0x02, 0x00], /cut short/],
  ["an indefinite length", [0x30, 0x80, 0x00, 0x00], /does not allow/],
  ["a length of five bytes", [0x30, 0x85, 1, 0, 0, 0, 0], /does not allow/],
  ["a long length that fits in one byte", [0x04, 0x81, 0x01, 0], /longer than/],
  ["a length with a zero before it", [0x04, 0x82, 0, 0x80], /longer than/],
  ["a tag of several bytes", [0x1f, 0x81, 0x01, 0x00], /several bytes/],
  ["another tag", [0x31, 0x00], /tag 49 where 48/],
  ["bytes behind it", [0x30, 0x00, 0x00], /bytes behind/],
];

for (const [what, bytes, message] of BAD) {
  Deno.test(`DerReader.of() refuses ${what}`, () => {
    assert.throws(
      () => DerReader.of(Uint8Array.from(bytes), Tag.Sequence).next(),
      (error) => error instanceof DerError && message.test(error.message),
    );
  });
}

for (const size of [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000]) {
  Deno.test(`DerReader reads ${size} bytes that der() wrote`, () => {
    const content = new Uint8Array(size).fill(7);
    const reader = new DerReader(der(Tag.OctetString, content));
    assert.deepEqual(reader.read(Tag.OctetString).content, content);
    assert.ok(reader.isAtEnd);
  });
}

const NUMBERS: readonly (readonly [readonly number[], string])[] = [
  [[0], "020100"],
  [[0, 0], "020100"],
  [[0x7f], "02017f"],
  [[0x80], "02020080"],
  [[0, 0x80], "02020080"],
  [[1, 0], "02020100"],
];

for (const [bytes, expected] of NUMBERS) {
  Deno.test(`derUnsigned() writes ${bytes} as ${expected}`, () => {
    assert.equal(hexText(derUnsigned(Uint8Array.from(bytes))), expected);
  });
}

Deno.test("derObjectId() writes parts of one byte and of several", () => {
  assert.equal(hexText(derObjectId("2.5.4.3")), "0603550403");
  assert.equal(
    hexText(derObjectId("1.2.840.113549.1.1.11")),
    "06092a864886f70d01010b",
  );
});

for (
  const text of [
    "1970-01-01T00:00:00Z",
    "1999-12-31T23:59:59Z",
    "2049-12-31T23:59:59Z",
    "2050-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
  ]
) {
  Deno.test(`readDerTime() reads ${text} as derTime() wrote it`, () => {
    const ms = Date.parse(text);
    assert.equal(readDerTime(new DerReader(derTime(ms))), ms);
  });
}

Deno.test("derTime() writes two digits of the year until 2049", () => {
  assert.equal(derTime(Date.UTC(2049, 11, 31))[0], Tag.UtcTime);
  assert.equal(derTime(Date.UTC(2050, 0, 1))[0], Tag.GeneralizedTime);
});

for (const text of ["2301010000Z", "230101000000+0100", "20230101000000Z"]) {
  Deno.test(`readDerTime() refuses ${text} as a UTCTime`, () => {
    const value = der(Tag.UtcTime, new TextEncoder().encode(text));
    assert.throws(() => readDerTime(new DerReader(value)), DerError);
  });
}
