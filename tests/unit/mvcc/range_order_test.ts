import assert from "node:assert/strict";
import { text, utf8 } from "../../../src/base/bytes.ts";
import {
  newPutRequest,
  newRangeRequest,
  RangeRequest_SortOrder as SortOrder,
  RangeRequest_SortTarget as SortTarget,
} from "../../../src/pb/etcdserverpb.ts";
import { decodeKeyValue } from "../../../src/pb/mvccpb.ts";
import { ANYBODY, openTestStore } from "../../support/store.ts";

// As etcd 3.7 (server/etcdserver/txn/range.go): what has an order is sorted whole. Found by tests/fuzz, target txn.
for (
  const [limit, sortOrder, keys, more] of [
    [0, SortOrder.NONE, "dcba", false],
    [1, SortOrder.NONE, "b", true],
    [2, SortOrder.NONE, "cb", true],
    [3, SortOrder.NONE, "dcb", true],
    [4, SortOrder.NONE, "dcba", false],
    [2, SortOrder.ASCEND, "dc", true],
    [2, SortOrder.DESCEND, "ab", true],
  ] as const
) {
  Deno.test(`Store.range() by value with limit ${limit} and order ${sortOrder} answers ${keys}`, async () => {
    const { store } = await openTestStore();
    for (const [key, value] of ["a4", "b3", "c2", "d1"]) {
      const request = newPutRequest({ key: utf8(key!), value: utf8(value!) });
      await store.put(request, 0, ANYBODY);
    }
    const { response } = await store.range(newRangeRequest({
      key: utf8("a"),
      rangeEnd: utf8("z"),
      limit,
      sortOrder,
      sortTarget: SortTarget.VALUE,
    }));
    const found = response.kvs.map((kv) => text(decodeKeyValue(kv).key));
    assert.equal(found.join(""), keys);
    assert.deepEqual([response.count, response.more], [4, more]);
  });
}
