import assert from "node:assert/strict";
import { utf8 } from "../../../src/base/bytes.ts";
import {
  newDeleteRangeRequest,
  newPutRequest,
  newRangeRequest,
  newRequestOp,
  newTxnRequest,
  type RequestOp,
} from "../../../src/pb/etcdserverpb.ts";
import {
  checkPut,
  checkRange,
  checkTxn,
  isReadOnlyTxn,
  isSerializableTxn,
  txnCost,
} from "../../../src/rpc/check.ts";

const put = (key: string, value = "") =>
  newRequestOp({
    requestPut: newPutRequest({ key: utf8(key), value: utf8(value) }),
  });
const range = (key: string) =>
  newRequestOp({ requestRange: newRangeRequest({ key: utf8(key) }) });
const del = (key: string, rangeEnd = "") =>
  newRequestOp({
    requestDeleteRange: newDeleteRangeRequest({
      key: utf8(key),
      rangeEnd: utf8(rangeEnd),
    }),
  });
const txn = (success: RequestOp[], failure: RequestOp[] = []) =>
  newRequestOp({ requestTxn: newTxnRequest({ success, failure }) });

Deno.test("checkRange() takes every known sort option and no other", () => {
  for (let sortOrder = 0; sortOrder <= 2; sortOrder++) {
    for (let sortTarget = 0; sortTarget <= 4; sortTarget++) {
      checkRange(newRangeRequest({ key: utf8("k"), sortOrder, sortTarget }));
    }
  }
  for (const bad of [{ sortOrder: 3 }, { sortOrder: -1 }, { sortTarget: 5 }]) {
    assert.throws(
      () => checkRange(newRangeRequest({ key: utf8("k"), ...bad })),
      {
        kind: "invalidSortOption",
      },
    );
  }
});

Deno.test("checkPut() refuses a value or a lease that is to be ignored", () => {
  checkPut(newPutRequest({ key: utf8("k"), ignoreValue: true }));
  assert.throws(
    () =>
      checkPut(
        newPutRequest({ key: utf8("k"), ignoreValue: true, value: utf8("v") }),
      ),
    { kind: "valueProvided" },
  );
  assert.throws(
    () =>
      checkPut(newPutRequest({ key: utf8("k"), ignoreLease: true, lease: 1n })),
    { kind: "leaseProvided" },
  );
});

Deno.test("checkTxn() finds overlaps through open and half-open ranges, at their boundaries", () => {
  const check = (...success: RequestOp[]) =>
    checkTxn(newTxnRequest({ success }), 128);
  check(put("b"), del("a", "b"));
  check(put("b"), del("ba", "\0"));
  check(put("b"), del("c", "a"));
  for (const deletion of [del("a", "c"), del("b"), del("b", "c")]) {
    assert.throws(() => check(put("b"), deletion), { kind: "duplicateKey" });
    assert.throws(() => check(txn([deletion]), put("b")), {
      kind: "duplicateKey",
    });
    assert.throws(() => check(deletion, txn([], [put("b")])), {
      kind: "duplicateKey",
    });
  }
});

Deno.test("checkTxn() lets through the overlaps that etcd does", () => {
  const check = (...success: RequestOp[]) =>
    checkTxn(newTxnRequest({ success }), 128);
  check(del("a", "\0"), put("b"));
  check(txn([del("\0", "\0")]), put("\0"));
  check(txn([put("b")]), txn([del("a", "c")]));
  check(txn([put("b")]), txn([], [del("b")]));
  assert.throws(() => check(txn([del("b")]), txn([put("b")])), {
    kind: "duplicateKey",
  });
});

Deno.test("checkTxn() counts the largest list, and leaves the rest to nested transactions", () => {
  const check = (success: RequestOp[]) =>
    checkTxn(newTxnRequest({ success }), 3);
  check([range("a"), range("a"), range("a")]);
  assert.throws(() => check([range("a"), range("a"), range("a"), range("a")]), {
    kind: "tooManyOps",
  });
  check([txn([range("a"), range("a")])]);
  assert.throws(() => check([txn([range("a"), range("a"), range("a")])]), {
    kind: "tooManyOps",
  });
});

Deno.test("isReadOnlyTxn() is false for anything but ranges", () => {
  assert.equal(isReadOnlyTxn(newTxnRequest({ success: [range("a")] })), true);
  assert.equal(
    isReadOnlyTxn(newTxnRequest({ success: [txn([range("a")])] })),
    false,
  );
  assert.equal(isReadOnlyTxn(newTxnRequest({ failure: [del("a")] })), false);
});

Deno.test("isSerializableTxn() is true if all ranges are, and there are some", () => {
  const serializable = newRequestOp({
    requestRange: newRangeRequest({ key: utf8("k"), serializable: true }),
  });
  const is = (success: RequestOp[], failure: RequestOp[] = []) =>
    isSerializableTxn(newTxnRequest({ success, failure }));
  assert.equal(is([serializable], [serializable]), true);
  assert.equal(is([], [serializable]), true);
  assert.equal(is([serializable], [range("k")]), false);
  assert.equal(is([serializable, range("k")]), false);
  assert.equal(is([]), false);
});

Deno.test("txnCost() is that of the dearer branch, nested ones included", () => {
  assert.equal(
    txnCost(
      newTxnRequest({ success: [put("a", "12")], failure: [range("a")] }),
    ),
    259,
  );
  const nested = newTxnRequest({
    success: [put("a"), txn([], [put("bc")])],
    failure: [put("a")],
  });
  assert.equal(txnCost(nested), 257 + 258);
});
