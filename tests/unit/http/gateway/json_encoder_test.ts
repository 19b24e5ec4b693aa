import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { encodeJson } from "../../../../src/http/gateway/json_encoder.ts";
import { JsonError } from "../../../../src/http/gateway/json_syntax.ts";
import { renderJson } from "../../../../src/http/gateway/json_renderer.ts";
import { readMessageTypes } from "../../../../src/http/gateway/message_type.ts";
import { oracleRoot } from "../../pb/oracle.ts";

const TYPES = readMessageTypes();
const ROOT = oracleRoot();

function encode(type: string, json: string): Uint8Array {
  return encodeJson(TYPES.get(`etcdserverpb.${type}`)!, json);
}

/** What somebody else's code reads out of the bytes. */
function read(type: string, json: string): Record<string, unknown> {
  const codec = ROOT.lookupType(`etcdserverpb.${type}`);
  return codec.toObject(codec.decode(encode(type, json)), {
    longs: String,
    enums: String,
    bytes: String,
  });
}

Deno.test("encodeJson() takes the .proto file's names and those in camel case", () => {
  assert.deepEqual(read("RangeRequest", '{"range_end":"Zm9v"}'), {
    range_end: "Zm9v",
  });
  assert.deepEqual(read("RangeRequest", '{"rangeEnd":"Zm9v"}'), {
    range_end: "Zm9v",
  });
});

Deno.test("encodeJson() takes 64-bit integers as strings and numbers, however they are written", () => {
  for (
    const [json, value] of [
      ["5", "5"],
      ['"5"', "5"],
      ["-5", "-5"],
      ["1e3", "1000"],
      ["1.5e1", "15"],
      ["50e-1", "5"],
      ["5.0", "5"],
      ["0e999999999", "0"],
      ["9223372036854775807", "9223372036854775807"],
      ['"-9223372036854775808"', "-9223372036854775808"],
    ] as const
  ) {
    const found = read("RangeRequest", `{"limit":${json}}`);
    assert.equal(found.limit, value, json);
  }
});

Deno.test("encodeJson() takes both alphabets of base64, padded or not", () => {
  for (
    const [text, bytes] of [
      ["", ""],
      ["Zg==", "f"],
      ["Zg", "f"],
      ["Zm9v", "foo"],
      ["+/+/", "\xfb\xff\xbf"],
      ["-_-_", "\xfb\xff\xbf"],
      ["Zm9\\nv", "foo"],
    ] as const
  ) {
    const found = read("RangeRequest", `{"key":"${text}"}`);
    const key = found.key as string;
    assert.equal(Buffer.from(key, "base64").toString("latin1"), bytes, text);
  }
});

Deno.test("encodeJson() takes enums as names and numbers, and passes over names that it does not know", () => {
  const read1 = (json: string) =>
    read("WatchCreateRequest", `{"filters":${json}}`).filters;
  assert.deepEqual(read1('["NODELETE",0,"NOPUT"]'), [
    "NODELETE",
    "NOPUT",
    "NOPUT",
  ]);
  assert.deepEqual(read1('["NODELETE","NOTHING"]'), ["NODELETE"]);
});

Deno.test("encodeJson() passes over unknown fields, and null is unset", () => {
  assert.deepEqual(
    read(
      "RangeRequest",
      '{"nope":{"a":[1,{"b":"}"}]},"key":"Zm9v","limit":null,"sort_order":null}',
    ),
    { key: "Zm9v" },
  );
});

Deno.test("encodeJson() reads the first value and not what is behind it", () => {
  assert.deepEqual(read("RangeRequest", ' {"key":"Zm9v"} x'), { key: "Zm9v" });
});

Deno.test("encodeJson() takes no value at all for the empty message", () => {
  assert.equal(encode("RangeRequest", "").length, 0);
  assert.equal(encode("RangeRequest", " \n\t").length, 0);
  assert.equal(encode("RangeRequest", "{}").length, 0);
});

Deno.test("encodeJson() keeps a zero in a oneof", () => {
  const json = '{"compare":[{"target":"VERSION","key":"aw==","version":"0"}],' +
    '"success":[{"request_put":{}}]}';
  assert.deepEqual(read("TxnRequest", json), {
    compare: [{ target: "VERSION", key: "aw==", version: "0" }],
    success: [{ request_put: {} }],
  });
});

Deno.test("encodeJson() writes lengths of one, two and three bytes around each other", () => {
  for (const size of [0, 1, 60, 100, 120, 130, 16_300, 16_400, 70_000]) {
    const key = Buffer.alloc(size, 7).toString("base64");
    const json = `{"success":[{"request_txn":{"success":[` +
      `{"request_range":{"key":"${key}","limit":"3"}}]}},{"request_put":{}}]}`;
    const expected = size === 0 ? { limit: "3" } : { key, limit: "3" };
    const { success } = read("TxnRequest", json) as { success: unknown[] };
    assert.equal(success.length, 2);
    const inner = success[0] as {
      request_txn: { success: { request_range: Record<string, string> }[] };
    };
    const range = inner.request_txn.success[0]!.request_range;
    if (range.key === "") delete range.key;
    assert.deepEqual(range, expected, String(size));
  }
});

/** The messages are those of etcd 3.7.1 to the same requests, character for character. */
const REFUSED: readonly (readonly [string, string])[] = [
  ['{"key":"Zm9v"', "unexpected EOF"],
  ["[", "unexpected EOF"],
  ['{"key":"Zm', "unexpected EOF"],
  ['{"limit":-', "unexpected EOF"],
  ['{"key":x}', "invalid character 'x' looking for beginning of value"],
  [
    '{"key":"Zm9v",}',
    "invalid character '}' looking for beginning of object key string",
  ],
  ["{'", "invalid character '\\'' looking for beginning of object key string"],
  ['{"key" 5}', "invalid character '5' after object key"],
  ['{"a":tru}', "invalid character '}' in literal true (expecting 'e')"],
  ['{"limit":01}', "invalid character '1' after object key:value pair"],
  ['{"limit":-}', "invalid character '}' in numeric literal"],
  [
    '{"limit":1.}',
    "invalid character '}' after decimal point in numeric literal",
  ],
  ['{"limit":1e}', "invalid character '}' in exponent of numeric literal"],
  ['{"a":[1 2]}', "invalid character '2' after array element"],
  ['{"key":"\n"}', "invalid character '\\n' in string literal"],
  ['{"key":"\\x"}', "invalid character 'x' in string escape code"],
  [
    '{"key":"\\u12g4"}',
    "invalid character 'g' in \\u hexadecimal character escape",
  ],
  ["\u0000", "invalid character '\\x00' looking for beginning of value"],
  ["\u007f", "invalid character '\\x7f' looking for beginning of value"],
  ["\v", "invalid character '\\v' looking for beginning of value"],
  ["\\", "invalid character '\\\\' looking for beginning of value"],
  ['{"a" ""', `invalid character '"' after object key`],
  ["\ufeff{}", "invalid character 'ï' looking for beginning of value"],
  ["\u0440", "invalid character 'Ñ' looking for beginning of value"],
  ["\u00c0", "invalid character 'Ã' looking for beginning of value"],
  ['{"key":"\\ud800"}', "proto: unexpected EOF"],
  [
    '{"key":"\\ud800abcd"}',
    'proto: syntax error (line 1:8): invalid escape code "abcd\\"}" in string',
  ],
  [
    '{"a":[{"b\\udc00\\ud800":1}]}',
    'proto: syntax error (line 1:8): invalid escape code "\\\\ud800" in string',
  ],
  ["null", "proto: syntax error (line 1:1): unexpected token null"],
  ["[]", "proto: syntax error (line 1:1): unexpected token ["],
  ["5", "proto: syntax error (line 1:1): unexpected token 5"],
  ['"x"', 'proto: syntax error (line 1:1): unexpected token "x"'],
  ['{"key":5}', "proto: (line 1:8): invalid value for bytes field key: 5"],
  ['{"key":{}}', "proto: (line 1:8): invalid value for bytes field key: {"],
  ['{"key":"Z"}', 'proto: (line 1:8): invalid value for bytes field key: "Z"'],
  [
    '{"limit":1.5}',
    "proto: (line 1:10): invalid value for int64 field limit: 1.5",
  ],
  [
    '{"limit":" 5"}',
    'proto: (line 1:10): invalid value for int64 field limit: " 5"',
  ],
  [
    '{"limit":9223372036854775808}',
    "proto: (line 1:10): invalid value for int64 field limit: 9223372036854775808",
  ],
  [
    '{\n "é":1, "rangeEnd":true}',
    "proto: (line 2:20): invalid value for bytes field rangeEnd: true",
  ],
  [
    '{"key":"a","key":"b"}',
    'proto: (line 1:8): invalid value for bytes field key: "a"',
  ],
  ['{"key":"","key":""}', 'proto: (line 1:11): duplicate field "key"'],
];

for (const [json, message] of REFUSED) {
  Deno.test(`encodeJson() refuses ${JSON.stringify(json)}`, () => {
    assert.throws(() => encode("RangeRequest", json), (error) => {
      assert.ok(error instanceof JsonError);
      assert.equal(error.message, message);
      return true;
    });
  });
}

Deno.test("encodeJson() refuses two members of a oneof", () => {
  assert.throws(
    () => encode("RequestOp", '{"request_put":{},"request_delete_range":{}}'),
    {
      message: 'proto: (line 1:19): error parsing "request_delete_range", ' +
        "oneof etcdserverpb.RequestOp.request is already set",
    },
  );
});

Deno.test("encodeJson() takes a thousand values inside each other, and not one more", () => {
  const nested = (depth: number) =>
    `{"a":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;
  assert.equal(encode("RangeRequest", nested(1000)).length, 0);
  assert.throws(() => encode("RangeRequest", nested(1001)), {
    message: "invalid character '[' exceeded max depth",
  });
});

Deno.test("encodeJson() takes transactions as deep as etcd's limit lets them be", () => {
  const depth = 128;
  const json = '{"success":[{"request_txn":'.repeat(depth) + "{}" +
    "}]}".repeat(depth);
  const type = TYPES.get("etcdserverpb.TxnRequest")!;
  assert.equal(renderJson(type, encodeJson(type, json)), json);
});
