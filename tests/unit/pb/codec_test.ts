import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  CompareCodec,
  decodeCompare,
  decodeLeaseGrantRequest,
  decodeMember,
  decodePutRequest,
  decodeRangeRequest,
  decodeRangeResponse,
  decodeRequestOp,
  decodeResponseHeader,
  decodeTxnRequest,
  decodeWatchCreateRequest,
  decodeWatchRequest,
  encodeCompare,
  encodeLeaseGrantRequest,
  encodeRangeRequest,
  encodeTxnRequest,
  encodeWatchCreateRequest,
  KVService,
  newCompare,
  newLeaseGrantRequest,
  newPutRequest,
  newRangeRequest,
  newRequestOp,
  newTxnRequest,
  newWatchCreateRequest,
  RangeRequest_SortTarget,
  WatchService,
} from "../../../src/pb/etcdserverpb.ts";
import {
  allCodecs,
  encode,
  expected,
  fullName,
  messageTypes,
  oracleRoot,
  type protobuf,
  RandomMessages,
} from "./oracle.ts";

const MESSAGES_PER_TYPE = 60;

const hex = (digits: string) =>
  Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));

Deno.test("every message has a codec, and every codec a message", async () => {
  const codecs = await allCodecs();
  const types = messageTypes(oracleRoot()).map(fullName);
  // protobufjs keeps a map's pair out of its types.
  assert.deepEqual(
    [...codecs.keys()].sort(),
    [...types, "grpc.health.v1.HealthListResponse.StatusesEntry"].sort(),
  );
});

Deno.test("codecs agree with protobufjs on random messages of every type", async () => {
  const codecs = await allCodecs();
  const seed = Math.floor(Math.random() * 2 ** 31);
  for (const type of messageTypes(oracleRoot())) {
    const random = new RandomMessages(seed);
    const codec = codecs.get(fullName(type))!;
    for (let i = 0; i < MESSAGES_PER_TYPE; i++) {
      const object = random.message(type);
      const bytes = encode(type, object);
      const where = `${fullName(type)}, message ${i} of seed ${seed}`;
      const decoded = codec.decode(bytes);
      assert.deepEqual(decoded, expected(type, object), where);
      assert.equal(codec.size(decoded), bytes.length, where);
      const out = new Uint8Array(bytes.length + 7);
      assert.equal(codec.write(decoded, out, 3), bytes.length + 3, where);
      if (!hasMap(type)) assert.deepEqual(out.subarray(3, -4), bytes, where);
      assert.deepEqual(codec.decode(out, 3, out.length - 4), decoded, where);
      assert.deepEqual([...out.subarray(0, 3), ...out.subarray(-4)], [
        0,
        0,
        0,
        0,
        0,
        0,
        0,
      ], where);
    }
  }
});

/** protobufjs writes a pair's zero key, which we leave out. */
function hasMap(type: protobuf.Type): boolean {
  return type.fieldsArray.some((field) => field.map);
}

Deno.test("codecs refuse every truncation of a message, or read a prefix of it", async () => {
  const codecs = await allCodecs();
  const seed = Math.floor(Math.random() * 2 ** 31);
  for (const type of messageTypes(oracleRoot())) {
    const codec = codecs.get(fullName(type))!;
    const random = new RandomMessages(seed);
    const bytes = encode(type, random.message(type)).subarray(0, 400);
    for (let end = 0; end < bytes.length; end++) {
      const where = `${
        fullName(type)
      } cut at ${end} of ${bytes.length}, seed ${seed}`;
      try {
        codec.size(codec.decode(bytes, 0, end));
      } catch (error) {
        assert.equal((error as Error).name, "WireError", where);
      }
    }
  }
});

Deno.test("codecs answer random bytes with a message or a WireError", async () => {
  const codecs = [...(await allCodecs()).values()];
  const seed = Math.floor(Math.random() * 2 ** 31);
  const random = new RandomMessages(seed);
  let refused = 0;
  for (let i = 0; i < 20_000; i++) {
    const codec = codecs[random.below(codecs.length)]!;
    const bytes = Uint8Array.from(
      { length: random.below(12) },
      () => random.below(random.below(4) === 0 ? 256 : 20),
    );
    try {
      const message = codec.decode(bytes);
      const out = new Uint8Array(codec.size(message));
      assert.equal(codec.write(message, out, 0), out.length);
      assert.deepEqual(
        codec.decode(out),
        message,
        `${codec.name}, seed ${seed}`,
      );
    } catch (error) {
      refused++;
      assert.equal(
        (error as Error).name,
        "WireError",
        `${codec.name}, seed ${seed}: ${error}`,
      );
    }
  }
  assert.ok(refused > 2000 && refused < 18_000, `${refused} refused`);
});

Deno.test("int64 fields keep every safe integer and saturate beyond", () => {
  const cases: [bigint, number][] = [
    [0n, 0],
    [127n, 127],
    [128n, 128],
    [2n ** 31n - 1n, 2147483647],
    [2n ** 31n, 2147483648],
    [2n ** 32n, 4294967296],
    [2n ** 53n - 1n, Number.MAX_SAFE_INTEGER],
    [2n ** 53n, Number.MAX_SAFE_INTEGER],
    [2n ** 63n - 1n, Number.MAX_SAFE_INTEGER],
    [-1n, -1],
    [-(2n ** 31n), -2147483648],
    [-(2n ** 53n) + 1n, -Number.MAX_SAFE_INTEGER],
    [-(2n ** 53n), -Number.MAX_SAFE_INTEGER],
    [-(2n ** 63n), -Number.MAX_SAFE_INTEGER],
  ];
  for (const [value, number] of cases) {
    // LeaseGrantRequest.ID is an int64 id: it writes the varint that TTL, its neighbour, reads.
    const varint = encodeLeaseGrantRequest(newLeaseGrantRequest({ ID: value }))
      .subarray(1);
    const decoded = decodeLeaseGrantRequest(
      Uint8Array.of(0x08, ...(varint.length > 0 ? varint : [0])),
    );
    assert.equal(decoded.TTL, number, String(value));
    if (BigInt(number) === value) {
      assert.deepEqual(
        encodeLeaseGrantRequest(newLeaseGrantRequest({ TTL: number })).subarray(
          1,
        ),
        varint,
      );
    }
  }
});

Deno.test("ids keep all 64 bits, signed or not as declared", () => {
  for (
    const ID of [
      0n,
      1n,
      127n,
      128n,
      2n ** 53n,
      2n ** 63n - 1n,
      -1n,
      -(2n ** 63n),
    ]
  ) {
    assert.equal(
      decodeLeaseGrantRequest(
        encodeLeaseGrantRequest(newLeaseGrantRequest({ ID })),
      ).ID,
      ID,
    );
  }
  assert.equal(decodeMember(hex("08ffffffffffffffffff01")).ID, 2n ** 64n - 1n);
  assert.equal(decodeMember(hex("0880808080808080808001")).ID, 2n ** 63n);
  assert.equal(decodeResponseHeader(hex("2000")).raftTerm, 0);
  assert.equal(
    decodeResponseHeader(hex("20ffffffffffffffffff01")).raftTerm,
    Number.MAX_SAFE_INTEGER,
  );
});

Deno.test("enums keep unknown numbers", () => {
  const request = decodeRangeRequest(hex("3063"));
  assert.equal(request.sortTarget, 99);
  assert.deepEqual(encodeRangeRequest(request), hex("3063"));
  assert.equal(
    decodeRangeRequest(hex("30ffffffffffffffffff01")).sortTarget,
    -1,
  );
  assert.equal(RangeRequest_SortTarget.VALUE, 4);
});

Deno.test("varints may be longer than they need to be, up to ten bytes", () => {
  assert.equal(decodeRangeRequest(hex("18858000")).limit, 5);
  assert.equal(decodeRangeRequest(hex("1885808080808080808000")).limit, 5);
  assert.equal(decodeRangeRequest(hex("98008580808000")).limit, 5, "tag");
});

Deno.test("malformed messages are refused", () => {
  const malformed: [string, string][] = [
    ["tag cut off", "80"],
    ["varint cut off", "1880"],
    ["varint missing", "18"],
    ["varint of eleven bytes", "188080808080808080808001"],
    ["varint beyond 64 bits", "18ffffffffffffffffff02"],
    ["length missing", "0a"],
    ["length beyond the end", "0a0161" + "0a05616263"],
    ["length beyond 2^53", "0affffffffffffffff7f"],
    ["length that is negative as an int64", "0affffffffffffffffff01"],
    ["field number 0", "0001"],
    ["field number 0, delimited", "0200"],
    ["field number beyond 29 bits", "8080808010" + "00"],
    ["unknown varint cut off", "a00680"],
    ["unknown fixed64 cut off", "a10600000000000000"],
    ["unknown fixed32 cut off", "a506000000"],
    ["unknown bytes cut off", "a2060261"],
    ["group", "a306a406"],
    ["end of a group", "a406"],
    ["wire type 6", "0e00"],
    ["wire type 7", "0f00"],
  ];
  for (const [what, digits] of malformed) {
    assert.throws(
      () => decodeRangeRequest(hex(digits)),
      { name: "WireError" },
      what,
    );
  }
});

Deno.test("a nested message cannot reach beyond its end", () => {
  // TxnRequest.success of 3 bytes whose RangeRequest claims 2, then a byte that must not be eaten.
  assert.throws(() => decodeTxnRequest(hex("12030a0208" + "05")), {
    name: "WireError",
  });
  assert.throws(() => decodeTxnRequest(hex("12030a0518" + "0500000000")), {
    name: "WireError",
  });
});

Deno.test("decode() stays within the range it is given", () => {
  const bytes = hex("ff" + "1805" + "1806");
  assert.equal(decodeRangeRequest(bytes, 1, 3).limit, 5);
  assert.equal(decodeRangeRequest(bytes, 3).limit, 6);
  assert.equal(decodeRangeRequest(bytes, 2, 2).limit, 0);
  assert.throws(() => decodeRangeRequest(bytes, 1, 2), { name: "WireError" });
  assert.throws(() => decodeRangeRequest(bytes, 0, 6), { name: "WireError" });
  assert.throws(() => decodeRangeRequest(bytes, 3, 2), { name: "WireError" });
  assert.throws(() => decodeRangeRequest(bytes, -1, 2), { name: "WireError" });
});

Deno.test("strings must be UTF-8", () => {
  assert.equal(decodeMember(hex("1203e4b8ad")).name, "中");
  assert.equal(
    decodeMember(hex("1206efbbbfefbbbf")).name,
    "\ufeff\ufeff",
    "a byte order mark is text",
  );
  for (
    const [what, digits] of [
      ["cut off", "1202e4b8"],
      ["lone surrogate", "1203eda080"],
      ["overlong", "1202c080"],
      ["not a start", "120180"],
    ]
  ) {
    assert.throws(
      () => decodeMember(hex(digits!)),
      { name: "WireError" },
      what,
    );
  }
});

Deno.test("unknown fields are skipped, whatever their wire type", () => {
  const unknown = "a00601" + "a1060102030405060708" + "a2060161" +
    "a50601020304";
  const request = decodeRangeRequest(hex(unknown + "1805" + unknown));
  assert.deepEqual(encodeRangeRequest(request), hex("1805"));
});

Deno.test("a known field with another wire type is skipped like an unknown one", () => {
  const request = decodeRangeRequest(
    hex("0805" + "1a0105" + "1900000000000000ff" + "1d000000ff" + "3805"),
  );
  assert.deepEqual(request, newRangeRequest({ serializable: true }));
});

Deno.test("repeated numbers are read packed and unpacked, and written packed", () => {
  const filters = [0, 1, 300];
  assert.deepEqual(
    decodeWatchCreateRequest(hex("2800" + "2801" + "28ac02")).filters,
    filters,
  );
  assert.deepEqual(
    decodeWatchCreateRequest(hex("2a0200012801" + "2a00")).filters,
    [0, 1, 1],
  );
  assert.deepEqual(
    encodeWatchCreateRequest(newWatchCreateRequest({ filters })),
    hex("2a040001ac02"),
  );
  assert.throws(() => decodeWatchCreateRequest(hex("2a0180" + "01")), {
    name: "WireError",
  });
});

Deno.test("the last member of a oneof wins and clears the others", () => {
  const compare = decodeCompare(hex("2005" + "3a0161" + "4007" + "3000"));
  assert.deepEqual(compare, newCompare({ modRevision: 0 }));
  assert.deepEqual(encodeCompare(compare), hex("3000"));
  const op = decodeRequestOp(hex("0a021805" + "12030a0161"));
  assert.equal(op.requestRange, undefined);
  assert.deepEqual(op.requestPut, newPutRequest({ key: hex("61") }));
  assert.deepEqual(decodeWatchRequest(hex("1a00")).progressRequest, {});
});

Deno.test("a message field that comes twice is merged", () => {
  const op = decodeRequestOp(hex("0a021805" + "0a022007"));
  assert.deepEqual(
    op,
    newRequestOp({ requestRange: newRangeRequest({ limit: 5, revision: 7 }) }),
  );
});

Deno.test("an encoded field that comes twice is merged by being joined", () => {
  const header = decodeRangeResponse(hex("0a021805" + "0a022007")).header!;
  assert.deepEqual(header, hex("18052007"));
  assert.deepEqual(decodeResponseHeader(header), {
    clusterId: 0n,
    memberId: 0n,
    revision: 5,
    raftTerm: 7,
  });
});

Deno.test("bytes fields are plain views into the input, also of a node Buffer", () => {
  for (
    const bytes of [
      hex("ff" + "0a03616263" + "1200").subarray(1),
      Buffer.from("0a036162631200", "hex"),
    ]
  ) {
    const { key, value } = decodePutRequest(bytes);
    assert.equal(key.buffer, bytes.buffer);
    assert.equal(key.byteOffset, bytes.byteOffset + 2);
    assert.deepEqual(key, hex("616263"));
    assert.equal(Object.getPrototypeOf(key), Uint8Array.prototype);
    assert.equal(value.length, 0);
  }
});

/** Transactions inside each other: 2 * depth messages below the outermost. */
function nested(depth: number): Uint8Array {
  let bytes = new Uint8Array(0);
  for (let i = 0; i < depth; i++) {
    const op = newRequestOp({ requestTxn: newTxnRequest() });
    const outer = encodeTxnRequest(newTxnRequest({ success: [op] }));
    assert.deepEqual(outer, hex("12022200"));
    const inner = Uint8Array.of(0x22, ...varint(bytes.length), ...bytes);
    bytes = Uint8Array.of(0x12, ...varint(inner.length), ...inner);
  }
  return bytes;
}

function varint(n: number): number[] {
  return n < 0x80 ? [n] : [(n & 0x7f) | 0x80, ...varint(n >>> 7)];
}

Deno.test("messages may be nested up to MAX_NESTING, and no deeper", () => {
  const deepest = nested(500);
  assert.deepEqual(encodeTxnRequest(decodeTxnRequest(deepest)), deepest);
  assert.throws(() => decodeTxnRequest(nested(501)), {
    name: "WireError",
    message: "messages nested too deep",
  });
});

Deno.test("services name their methods as they stand on the wire", () => {
  assert.equal(KVService.name, "etcdserverpb.KV");
  assert.equal(
    KVService.methods.rangeStream.path,
    "/etcdserverpb.KV/RangeStream",
  );
  assert.deepEqual(
    Object.values(KVService.methods).map((
      { name, serverStreaming },
    ) => [name, serverStreaming]),
    [
      ["Range", false],
      ["RangeStream", true],
      ["Put", false],
      ["DeleteRange", false],
      ["Txn", false],
      ["Compact", false],
    ],
  );
  assert.equal(WatchService.methods.watch.clientStreaming, true);
  assert.equal(CompareCodec.name, "etcdserverpb.Compare");
});
