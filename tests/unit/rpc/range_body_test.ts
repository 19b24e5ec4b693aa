import assert from "node:assert/strict";
import {
  encodeRangeResponse,
  newRangeResponse,
} from "../../../src/pb/etcdserverpb.ts";
import { RangeBody } from "../../../src/rpc/range_body.ts";
import { Random, seeds } from "../../support/random.ts";

for (const seed of seeds(5)) {
  Deno.test(`RangeBody's pieces are what the codec writes (seed ${seed})`, () => {
    const random = new Random(seed);
    for (let i = 0; i < 50; i++) {
      const response = newRangeResponse({
        header: random.oneIn(4)
          ? undefined
          : new Uint8Array(random.int(30)).fill(7),
        kvs: Array.from(
          { length: random.int(20) },
          () => new Uint8Array(random.int(40_000)).fill(random.int(256)),
        ),
        more: random.oneIn(2),
        count: random.int(1000),
      });
      const expected = encodeRangeResponse(response);
      const body = new RangeBody(response);
      const out = new Uint8Array(expected.length);
      for (let at = 0; at < out.length;) {
        const length = Math.min(
          out.length - at,
          1 + random.int(random.pick([3, 20_000])),
        );
        body.read(out, at, length);
        at += length;
      }
      assert.deepEqual(out, expected);
    }
  });
}
