import assert from "node:assert/strict";
import { Decoder } from "../../../../../src/transport/http2/hpack/decoder.ts";
import { DynamicTable } from "../../../../../src/transport/http2/hpack/dynamic_table.ts";
import {
  FieldEncoder,
  Literal,
} from "../../../../../src/transport/http2/hpack/field_encoder.ts";
import { hex, unhex } from "./hex.ts";

/** The examples of RFC 7541, Appendix C. */
interface Step {
  readonly fields: readonly [name: string, value: string][];
  readonly block: string;
  /** Size of the table afterwards. */
  readonly tableBytes: number;
}

interface Example {
  readonly name: string;
  readonly tableSize: number;
  readonly huffman: boolean;
  readonly literal: Literal;
  readonly steps: readonly Step[];
}

const FIRST_REQUEST: [string, string][] = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "www.example.com"],
];
const SECOND_REQUEST: [string, string][] = [
  ...FIRST_REQUEST,
  ["cache-control", "no-cache"],
];
const THIRD_REQUEST: [string, string][] = [
  [":method", "GET"],
  [":scheme", "https"],
  [":path", "/index.html"],
  [":authority", "www.example.com"],
  ["custom-key", "custom-value"],
];
const FIRST_RESPONSE: [string, string][] = [
  [":status", "302"],
  ["cache-control", "private"],
  ["date", "Mon, 21 Oct 2013 20:13:21 GMT"],
  ["location", "https://www.example.com"],
];
const SECOND_RESPONSE: [string, string][] = [
  [":status", "307"],
  ["cache-control", "private"],
  ["date", "Mon, 21 Oct 2013 20:13:21 GMT"],
  ["location", "https://www.example.com"],
];
const THIRD_RESPONSE: [string, string][] = [
  [":status", "200"],
  ["cache-control", "private"],
  ["date", "Mon, 21 Oct 2013 20:13:22 GMT"],
  ["location", "https://www.example.com"],
  ["content-encoding", "gzip"],
  [
    "set-cookie",
    "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
  ],
];

const EXAMPLES: readonly Example[] = [
  {
    name: "C.2.1 literal with indexing",
    tableSize: 4096,
    huffman: false,
    literal: Literal.Indexing,
    steps: [{
      fields: [["custom-key", "custom-header"]],
      block: "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
      tableBytes: 55,
    }],
  },
  {
    name: "C.2.2 literal without indexing",
    tableSize: 4096,
    huffman: false,
    literal: Literal.WithoutIndexing,
    steps: [{
      fields: [[":path", "/sample/path"]],
      block: "040c 2f73 616d 706c 652f 7061 7468",
      tableBytes: 0,
    }],
  },
  {
    name: "C.2.3 literal never indexed",
    tableSize: 4096,
    huffman: false,
    literal: Literal.NeverIndexed,
    steps: [{
      fields: [["password", "secret"]],
      block: "1008 7061 7373 776f 7264 0673 6563 7265 74",
      tableBytes: 0,
    }],
  },
  {
    name: "C.2.4 indexed field",
    tableSize: 4096,
    huffman: false,
    literal: Literal.Indexing,
    steps: [{ fields: [[":method", "GET"]], block: "82", tableBytes: 0 }],
  },
  {
    name: "C.3 requests without Huffman coding",
    tableSize: 4096,
    huffman: false,
    literal: Literal.Indexing,
    steps: [
      {
        fields: FIRST_REQUEST,
        block: "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        tableBytes: 57,
      },
      {
        fields: SECOND_REQUEST,
        block: "8286 84be 5808 6e6f 2d63 6163 6865",
        tableBytes: 110,
      },
      {
        fields: THIRD_REQUEST,
        block:
          "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        tableBytes: 164,
      },
    ],
  },
  {
    name: "C.4 requests with Huffman coding",
    tableSize: 4096,
    huffman: true,
    literal: Literal.Indexing,
    steps: [
      {
        fields: FIRST_REQUEST,
        block: "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        tableBytes: 57,
      },
      {
        fields: SECOND_REQUEST,
        block: "8286 84be 5886 a8eb 1064 9cbf",
        tableBytes: 110,
      },
      {
        fields: THIRD_REQUEST,
        block: "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        tableBytes: 164,
      },
    ],
  },
  {
    name: "C.5 responses without Huffman coding",
    tableSize: 256,
    huffman: false,
    literal: Literal.Indexing,
    steps: [
      {
        fields: FIRST_RESPONSE,
        block: "4803 3330 3258 0770 7269 7661 7465 611d" +
          "4d6f 6e2c 2032 3120 4f63 7420 3230 3133" +
          "2032 303a 3133 3a32 3120 474d 546e 1768" +
          "7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        tableBytes: 222,
      },
      {
        fields: SECOND_RESPONSE,
        block: "4803 3330 37c1 c0bf",
        tableBytes: 222,
      },
      {
        fields: THIRD_RESPONSE,
        block: "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420" +
          "3230 3133 2032 303a 3133 3a32 3220 474d" +
          "54c0 5a04 677a 6970 7738 666f 6f3d 4153" +
          "444a 4b48 514b 425a 584f 5157 454f 5049" +
          "5541 5851 5745 4f49 553b 206d 6178 2d61" +
          "6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
        tableBytes: 215,
      },
    ],
  },
  {
    name: "C.6 responses with Huffman coding",
    tableSize: 256,
    huffman: true,
    literal: Literal.Indexing,
    steps: [
      {
        fields: FIRST_RESPONSE,
        block: "4882 6402 5885 aec3 771a 4b61 96d0 7abe" +
          "9410 54d4 44a8 2005 9504 0b81 66e0 82a6" +
          "2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        tableBytes: 222,
      },
      {
        fields: SECOND_RESPONSE,
        block: "4883 640e ffc1 c0bf",
        tableBytes: 222,
      },
      {
        fields: THIRD_RESPONSE,
        block: "88c1 6196 d07a be94 1054 d444 a820 0595" +
          "040b 8166 e084 a62d 1bff c05a 839b d9ab" +
          "77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b" +
          "3960 d5af 2708 7f36 72c1 ab27 0fb5 291f" +
          "9587 3160 65c0 03ed 4ee5 b106 3d50 07",
        tableBytes: 215,
      },
    ],
  },
];

for (const example of EXAMPLES) {
  Deno.test(`Decoder.decode() reads RFC 7541 ${example.name}`, () => {
    const decoder = new Decoder(example.tableSize);
    for (const step of example.steps) {
      const seen: [string, string][] = [];
      const block = unhex(step.block);
      decoder.decode(block, 0, block.length, {
        field: (name, value) => void seen.push([name, value]),
      });
      assert.deepEqual(seen, step.fields);
    }
  });

  Deno.test(`FieldEncoder.append() writes RFC 7541 ${example.name}`, () => {
    const table = new DynamicTable(example.tableSize);
    const encoder = new FieldEncoder(table, { huffman: example.huffman });
    for (const step of example.steps) {
      const out: number[] = [];
      for (const [name, value] of step.fields) {
        encoder.append(out, name, value, example.literal);
      }
      assert.equal(hex(Uint8Array.from(out)), hex(unhex(step.block)));
      assert.equal(table.bytes, step.tableBytes);
    }
  });
}
